//! Random faults: the plaintext or an error, and never anything else.

use fastrand::Rng;
use propeller_ces::format::Header;
use propeller_ces::{Audit, Digest, Object, Options, Summary, Threads, Wanted, repair, verify};

use crate::hostile::recheck_header;
use crate::objects::{SEGMENT, options, read_with, ring, sealed};
use crate::unnamed::{self, Counts};

/// Objects that trials take pieces of others from.
struct Trial {
    plain: Vec<u8>,
    shards: Vec<Vec<u8>>,
    summary: Summary,
    other: Vec<Vec<u8>>,
    parity: usize,
}

pub(crate) fn plain(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(..20) {
        0 => 0,
        1 => rng.usize(SEGMENT - 2..SEGMENT + 2),
        2 => rng.usize(2 * SEGMENT..3 * SEGMENT),
        _ => rng.usize(1..300),
    };
    let alphabet = rng.u8(1..=255);
    (0..len).map(|_| rng.u8(..alphabet)).collect()
}

fn trial(rng: &mut Rng) -> Trial {
    let (data, parity) = (rng.u8(1..5), rng.u8(0..4));
    let options: Options = options(data, parity);
    let plain = plain(rng);
    let (shards, summary) = sealed(&plain, &options);
    let len = plain.len();
    let (other, _) = sealed(&vec![7; len], &options);
    Trial {
        plain,
        shards,
        summary,
        other,
        parity: usize::from(parity),
    }
}

/// Does something to one shard.
pub(crate) fn harm(rng: &mut Rng, shards: &mut [Vec<u8>], other: &[Vec<u8>], index: usize) {
    let count = shards.len();
    let others = rng.usize(..count);
    let shard = &mut shards[index];
    let len = shard.len();
    let at = rng.usize(..len);
    match rng.u8(..12) {
        0 => shard.clear(),
        1 => shard.truncate(at),
        2 => shard[at] ^= 1 << rng.u8(..8),
        3 => (0..rng.usize(1..20)).for_each(|_| shard[rng.usize(..len)] = rng.u8(..)),
        4 => {
            let end = rng.usize(at..=len);
            shard[at..end].fill(0);
        }
        5 => shard.extend((0..rng.usize(1..200)).map(|_| rng.u8(..))),
        6 => *shard = other[index].clone(),
        // Another object's bytes under this one's header.
        7 => {
            let end = other[others].len().min(len);
            shard[120..end].copy_from_slice(&other[others][120..end]);
        }
        8 => {
            shard[rng.usize(..104)] ^= 1 << rng.u8(..8);
            recheck_header(shard);
        }
        9 => {
            shard[11] = u8::try_from(others).unwrap();
            recheck_header(shard);
        }
        10 => shard.drain(at..).for_each(drop),
        _ => shard.insert(at, rng.u8(..)),
    }
}

pub(crate) fn by(digest: Digest) -> Wanted {
    Wanted {
        digest: Some(digest),
        ..Wanted::default()
    }
}

/// One trial; whether the plaintext came back.
fn run(seed: u64) -> bool {
    let mut rng = Rng::with_seed(seed);
    let Trial {
        plain,
        shards,
        summary,
        other,
        parity,
    } = trial(&mut rng);
    let mut harmed: Vec<usize> = (0..shards.len()).collect();
    rng.shuffle(&mut harmed);
    harmed.truncate(rng.usize(..=(parity + 2).min(shards.len())));
    let mut bad = shards.clone();
    for index in &harmed {
        harm(&mut rng, &mut bad, &other, *index);
    }
    let wanted = Wanted {
        object: Some(summary.object),
        ..by(summary.digest)
    };
    let threads = Threads::new(rng.usize(1..3));
    let is_survivable = harmed.len() <= parity;

    let whole = read_with(bad.clone(), &ring(), wanted, threads);
    match &whole {
        Ok((found, _)) => assert!(*found == plain, "seed {seed}: other bytes"),
        Err(error) => assert!(!is_survivable, "seed {seed}: {error:?}"),
    }
    if let Ok(mut object) = Object::open(bad.clone(), &ring(), wanted, Audit::none())
        && !plain.is_empty()
    {
        let start = rng.usize(..plain.len());
        let end = rng.usize(start..=plain.len());
        let mut out = Vec::new();
        let range = start as u64..end as u64;
        match object.read_range(range, &mut out, threads, &mut |_| ()) {
            Ok(()) => assert!(out == plain[start..end], "seed {seed}: other bytes"),
            Err(error) => assert!(!is_survivable, "seed {seed}: {error}"),
        }
    }
    repaired(seed, &shards, bad, &harmed, wanted, is_survivable);
    whole.is_ok()
}

/// What repair makes of it is what was lost, or an error.
fn repaired(
    seed: u64,
    shards: &[Vec<u8>],
    bad: Vec<Vec<u8>>,
    harmed: &[usize],
    wanted: Wanted,
    is_survivable: bool,
) {
    match verify(bad.clone(), wanted, &mut |_| ()) {
        Ok(report) => {
            // Nothing but the key vouches for the wrapped keys.
            let named = |shard: &Vec<u8>| [&shard[..56], &shard[120..]].concat();
            let is_whole = bad.iter().all(|shard| Header::parse(shard).is_ok())
                && shards.iter().map(named).eq(bad.iter().map(named));
            assert_eq!(
                report.is_whole(),
                is_whole,
                "seed {seed}: {}",
                report.damage
            );
        }
        Err(error) => assert!(!is_survivable, "seed {seed}: {error}"),
    }
    let mut rebuilt = vec![Vec::new(); harmed.len()];
    let indices = harmed.iter().map(|index| u8::try_from(*index).unwrap());
    let sinks = indices.zip(&mut rebuilt).collect();
    match repair(bad, sinks, wanted, &mut |_| ()) {
        Ok(_) => {
            for (index, rebuilt) in harmed.iter().zip(&rebuilt) {
                // No digest vouches for wrapped keys: a header may be another one.
                let (ours, theirs) = (&rebuilt[120..], &shards[*index][120..]);
                assert!(ours == theirs, "seed {seed}: another shard {index}");
            }
        }
        Err(error) => assert!(!is_survivable, "seed {seed}: {error}"),
    }
}

/// How often a long run says where it is, in trials.
const TOLD_EVERY: u64 = 10_000;

/// Of so many trials, one goes without a digest, among shards of other objects.
const UNNAMED_EVERY: u64 = 4;

fn trials(first: u64, count: u64) {
    let mut recovered = 0;
    let mut unnamed = Counts::default();
    for done in 1..=count {
        let seed = first + done - 1;
        match seed % UNNAMED_EVERY {
            0 => unnamed::run(seed, &mut unnamed),
            _ => recovered += u64::from(run(seed)),
        }
        if done == count || done % TOLD_EVERY == 0 {
            println!(
                "{done} trials from seed {first}: {recovered} recovered, the others refused; \
                 without a digest {unnamed:?}"
            );
        }
    }
    let named = count - unnamed.recovered - unnamed.ambiguous - unnamed.refused;
    assert!(recovered > 0 && recovered < named);
    assert!(unnamed.recovered > 0 && unnamed.ambiguous > 0 && unnamed.refused > 0);
}

#[test]
fn random_faults_are_recovered_or_refused() {
    trials(1, 1_500);
}

#[test]
#[ignore = "takes a quarter of an hour: run by `cargo xtask soak`"]
fn soak_a_million() {
    trials(1_000_000, 1_000_000);
}
