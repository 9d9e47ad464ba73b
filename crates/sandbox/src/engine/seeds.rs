//! The randomness of guests.
//!
//! An ordinary guest in this process has generators of its own from Wasmtime, which makes them for
//! every guest anyway, from a generator of the thread that the operating system has seeded. One in
//! a process of its own has its seed from the process that has the keys, because what was forked
//! shares the state of every generator with its siblings. A deterministic guest's seed is the
//! digest of its module: the same module draws the same numbers everywhere, and nobody who knows the
//! module is surprised by them.
//!
//! What comes from a seed is ChaCha20 (RFC 8439) as a generator. Stream 0 is for what asks for
//! secure randomness, stream 1 for what does not, and stream 2 for the seeds of hash maps.

#[cfg(target_os = "linux")]
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use wasmtime_wasi::WasiCtxBuilder;

use super::world::World;
use crate::job::Job;
#[cfg(target_os = "linux")]
use crate::runtime::RunError;

/// What a guest's randomness is made of.
pub(crate) type Seed = [u8; 32];

/// The seed of the guest of `job` in this process. Without one its generators are Wasmtime's.
pub(super) fn seed_here(job: &Job) -> Option<Seed> {
    match World::of(job.profile) {
        World::Virtual => Some(job.key.digest.0),
        World::Real | World::Unmetered => None,
    }
}

/// The seed of the guest of `job` in a process of its own.
#[cfg(target_os = "linux")]
pub(crate) fn seed(job: &Job) -> Result<Seed, RunError> {
    if let Some(seed) = seed_here(job) {
        return Ok(seed);
    }
    let mut seed = Seed::default();
    let filled = getrandom::fill(&mut seed);
    filled.map_err(|error| RunError::Runtime(Arc::new(error)))?;
    Ok(seed)
}

/// Gives a guest generators from its seed.
pub(super) fn sow(wasi: &mut WasiCtxBuilder, seed: &Seed) {
    let mut for_maps = [0; 16];
    stream(seed, 2).fill_bytes(&mut for_maps);
    wasi.secure_random(stream(seed, 0))
        .insecure_random(stream(seed, 1))
        .insecure_random_seed(u128::from_le_bytes(for_maps));
}

fn stream(seed: &Seed, number: u64) -> ChaCha20Rng {
    let mut generator = ChaCha20Rng::from_seed(*seed);
    generator.set_stream(number);
    generator
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keystream of RFC 8439, A.1, test vector 1: an all-zero key.
    #[test]
    fn the_generator_is_chacha20() {
        let mut bytes = [0; 8];
        stream(&[0; 32], 0).fill_bytes(&mut bytes);
        assert_eq!(bytes, [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
    }
}
