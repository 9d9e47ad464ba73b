//! Runs a target on its corpus and on mutations of it, each of which one seed makes again.

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Target;
use crate::mutate::mutate;

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// So many inputs.
    Runs(u64),
    /// As many inputs as fit into this time.
    Time(Duration),
}

/// An input that breaks a promise.
#[derive(Debug)]
pub struct Failure {
    /// Makes the input again as the first one, as long as the corpus is the same.
    pub seed: u64,
    /// The input.
    pub input: Vec<u8>,
}

/// The inputs that mutation starts from, in a fixed order.
///
/// # Errors
/// Fails if the folder cannot be read or is empty.
pub fn corpus(target: &Target) -> io::Result<Vec<(String, Vec<u8>)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.push((name, fs::read(entry.path())?));
    }
    if inputs.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    inputs.sort();
    Ok(inputs)
}

/// Runs every input as it is; returns the name of the first that fails.
#[must_use]
pub fn replay(target: &Target, corpus: &[(String, Vec<u8>)]) -> Option<String> {
    let mut names = corpus.iter().filter(|(_, input)| !passes(target, input));
    names.next().map(|(name, _)| name.clone())
}

/// Runs mutations from `seed` on; returns how many, or the first that fails.
///
/// # Errors
/// See [`Failure`].
pub fn fuzz(
    target: &Target,
    corpus: &[(String, Vec<u8>)],
    seed: u64,
    limit: Limit,
) -> Result<u64, Failure> {
    let start = Instant::now();
    let mut count = 0;
    let goes_on = |count| match limit {
        Limit::Runs(runs) => count < runs,
        Limit::Time(time) => start.elapsed() < time,
    };
    while goes_on(count) {
        let seed = seed.wrapping_add(count);
        let mut rng = Rng::with_seed(seed);
        let (_, input) = &corpus[rng.usize(0..corpus.len())];
        let (_, other) = &corpus[rng.usize(0..corpus.len())];
        let input = mutate(&mut rng, input, other);
        if !passes(target, &input) {
            return Err(Failure { seed, input });
        }
        count += 1;
    }
    Ok(count)
}

fn passes(target: &Target, input: &[u8]) -> bool {
    catch_unwind(|| (target.run)(input)).is_ok()
}
