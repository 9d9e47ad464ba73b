//! A module of a megabyte, for a proplet with encryption and for one without, in turns.
//!
//! The module has hardly any code and a long custom section, so that its bytes are on the way and
//! its compilation is not. The proplet without encryption is in plain compatibility mode, which is
//! as far off as encryption can be: the manager still seals what rests in its store. What that may
//! cost at most is measured by itself.

use std::time::{Duration, Instant};

use propeller_api::{Results, TaskRequest};
use propeller_envelope::{Context, Keyring, open, seal};
use serde::Serialize;

use crate::bed::{Bed, PLAIN, PROPLET};
use crate::e2e::Plan;
use crate::error::BenchError;
use crate::module::{custom_section, upload};
use crate::round::{add_request, round};
use crate::samples::Samples;

/// `examples/guests/add`: a function that adds.
const ADD: &[u8] = include_bytes!("../../examples/guests/add.wasm");
/// The custom section that makes a megabyte of it.
const PADDING_LEN: usize = 1_000_000;
/// How often sealing and opening is measured by itself.
const AT_REST_RUNS: usize = 20;

/// Medians of one thing with encryption and without.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Pair {
    pub(crate) sealed_ms: Option<f64>,
    pub(crate) plain_ms: Option<f64>,
}

impl Pair {
    fn of([sealed, plain]: &[Vec<Duration>; 2]) -> Self {
        let median = |took: &[Duration]| took.iter().copied().collect::<Samples>().median_ms();
        Self {
            sealed_ms: median(sealed),
            plain_ms: median(plain),
        }
    }

    /// How many times as long it takes with encryption.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (sealed, plain) = (self.sealed_ms?, self.plain_ms?);
        (plain > 0.0).then(|| sealed / plain)
    }
}

/// Medians over modules that differ, so that none is known before its first run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sealed {
    pub(crate) bytes: usize,
    pub(crate) modules: usize,
    pub(crate) later_runs: usize,
    /// Upload and first run: everything that a new module costs.
    pub(crate) first: Pair,
    /// A run after that.
    pub(crate) later: Pair,
    /// Sealing the module once and opening it once, which the manager does in plain mode too.
    pub(crate) at_rest_ms: Option<f64>,
}

impl Sealed {
    /// How many times as long a first run without encryption takes as one of a manager would that
    /// did not even seal what rests in its store: at most this.
    pub(crate) fn plain_over_nothing(&self) -> Option<f64> {
        let (plain, at_rest) = (self.first.plain_ms?, self.at_rest_ms?);
        (plain > at_rest).then(|| plain / (plain - at_rest))
    }
}

/// Measures on a bed with one proplet of each kind.
pub(crate) async fn measure(bed: &Bed, plan: &Plan) -> Result<Sealed, BenchError> {
    const PROPLETS: [&str; 2] = [PROPLET, PLAIN];
    let mut connection = bed.connect().await?;
    let (mut firsts, mut laters) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let is_right = |results: &Results| results.results == "42";
    // One more than asked for: the first pair is for warming up.
    for number in 0..=plan.modules {
        let mut requests = Vec::new();
        for turn in 0..2 {
            // Whoever comes first with one module comes last with the next.
            let side = (turn + number) % 2;
            let (took, module) =
                upload(bed, &request(None, None), padded(2 * number + side)).await?;
            let request = request(Some(module), Some(PROPLETS[side]));
            let first = round(&mut connection, &request, is_right).await?;
            if number > 0 {
                firsts[side].push(took + first.total());
            }
            requests.push((side, request));
        }
        for _ in 0..plan.cached_runs {
            for (side, request) in &requests {
                let later = round(&mut connection, request, is_right).await?;
                if number > 0 {
                    laters[*side].push(later.total());
                }
            }
        }
    }
    Ok(Sealed {
        bytes: padded(0).len(),
        modules: firsts[0].len(),
        later_runs: laters[0].len(),
        first: Pair::of(&firsts),
        later: Pair::of(&laters),
        at_rest_ms: at_rest(bed)?,
    })
}

fn request(module: Option<String>, proplet: Option<&str>) -> TaskRequest {
    TaskRequest {
        module,
        proplet_id: proplet.map(ToOwned::to_owned),
        ..add_request("", 2, 40)
    }
}

/// How long it takes to seal the module and to open it.
fn at_rest(bed: &Bed) -> Result<Option<f64>, BenchError> {
    let keys = Keyring::new(bed.key().clone());
    let wasm = padded(0);
    let context = Context::Record {
        owner: "bench",
        name: "module",
    };
    let mut took = Vec::new();
    for _ in 0..AT_REST_RUNS {
        let begun = Instant::now();
        let sealed = seal(&keys, &context, &wasm)?;
        let opened = open(&keys, &context, &sealed)?;
        took.push(begun.elapsed());
        assert_eq!(*opened, wasm, "what was sealed is what is opened");
    }
    Ok(took.into_iter().collect::<Samples>().median_ms())
}

/// The module with a megabyte of noise that every runtime ignores: same work, other digest.
fn padded(number: usize) -> Vec<u8> {
    // Xorshift (Marsaglia 2003); its state must not be 0.
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let content: Vec<u8> = noise.flatten().take(PADDING_LEN).collect();
    let mut wasm = ADD.to_vec();
    wasm.extend(custom_section(&content));
    wasm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_a_megabyte_and_differ() {
        let [one, other] = [padded(0), padded(1)];
        assert_ne!(one, other);
        assert_eq!(one, padded(0));
        assert!(one.starts_with(ADD) && (1_000_000..1_001_000).contains(&one.len()));
    }
}
