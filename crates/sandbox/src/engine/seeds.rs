//! The randomness of guests: ChaCha20 (RFC 8439) as a generator, with a seed for each guest.
//!
//! An ordinary guest's seed comes from the operating system, and from the process that has the
//! keys: one that was forked shares the state of every generator in it with its siblings. A
//! deterministic guest's seed is the digest of its module: the same module draws the same numbers
//! everywhere, and nobody who knows the module is surprised by them. Stream 0 is for what asks for
//! secure randomness, stream 1 for what does not, and stream 2 for the seeds of hash maps.

use std::sync::Arc;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use wasmtime_wasi::WasiCtxBuilder;

use super::world::World;
use crate::job::Job;
use crate::runtime::RunError;

/// What a guest's randomness is made of.
pub(crate) type Seed = [u8; 32];

/// The seed of the guest of `job`.
pub(crate) fn seed(job: &Job) -> Result<Seed, RunError> {
    match World::of(job.profile) {
        World::Virtual => Ok(job.key.digest.0),
        World::Real | World::Unmetered => {
            let mut seed = Seed::default();
            let filled = getrandom::fill(&mut seed);
            filled.map_err(|error| RunError::Runtime(Arc::new(error)))?;
            Ok(seed)
        }
    }
}

/// Gives a guest its generators.
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
