//! Random faults among shards of several objects, where no digest says which one is wanted.
//!
//! ```text
//!  ours (key)  ──┐ some of each, some of them harmed, in any order
//!  twin (key)  ──┼──▶ the plaintext of the only one that is there, or an error
//!  theirs      ──┘    and never silently one of two
//! ```

use fastrand::Rng;
use propeller_ces::format::{Header, ObjectHeader};
use propeller_ces::{
    GatherError, ObjectError, Summary, Threads, Wanted, WitnessError, repair, verify,
};

use crate::objects::{Failure, key, options, other_key, read_with, ring, sealed_under};
use crate::trials::{by, harm, plain};

/// Nobody knows what else there is of which object: some of each are always away.
const PARTIAL: Wanted = Wanted {
    object: None,
    digest: None,
    label: None,
    is_partial: true,
};

/// How a trial ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The plaintext came back.
    pub(crate) recovered: u64,
    /// The digest was asked for.
    pub(crate) ambiguous: u64,
    /// Too much was lost.
    pub(crate) refused: u64,
}

/// An object, and what of it is in a trial.
struct Made {
    plain: Vec<u8>,
    shards: Vec<Vec<u8>>,
    summary: Summary,
}

/// The shards of a trial.
struct Pool {
    /// The first two are of the key at hand.
    made: [Made; 3],
    shards: Vec<Vec<u8>>,
    /// How many of each object's are there as they were made, and different from each other.
    whole: [usize; 3],
    parity: usize,
}

fn pool(rng: &mut Rng) -> Pool {
    let (data, parity) = (rng.u8(1..5), rng.u8(0..4));
    let shape = options(data, parity);
    let made = [key(), key(), other_key()].map(|key| {
        let plain = plain(rng);
        let (shards, summary) = sealed_under(&plain, &shape, &key);
        Made {
            plain,
            shards,
            summary,
        }
    });
    let mut shards = Vec::new();
    let mut whole = [0; 3];
    for (number, object) in made.iter().enumerate() {
        let count = object.shards.len();
        let mut left: Vec<usize> = (0..count).collect();
        rng.shuffle(&mut left);
        // Of ours often all, and of each other often none.
        let kept = match (number, rng.u8(..3)) {
            (0, 0) => count,
            (0, _) | (_, 0) => rng.usize(..=count),
            (_, _) => 0,
        };
        let harmed = rng.usize(..=usize::from(parity) + 1);
        for (place, index) in left.into_iter().take(kept).enumerate() {
            let mut copies = object.shards.clone();
            if place < harmed && rng.bool() {
                // Most often of ours: that of another key has a part in it as well.
                harm(rng, &mut copies, &made[(number + 1) % 3].shards, index);
            }
            whole[number] += usize::from(copies[index] == object.shards[index]);
            shards.push(copies.swap_remove(index));
        }
    }
    rng.shuffle(&mut shards);
    Pool {
        made,
        shards,
        whole,
        parity: usize::from(parity),
    }
}

impl Pool {
    /// The objects that shards say they are of, and whether the key at hand opens them.
    fn claims(&self) -> Vec<(ObjectHeader, bool)> {
        let mut claims: Vec<(ObjectHeader, bool)> = Vec::new();
        for header in self.shards.iter().filter_map(|s| Header::parse(s).ok()) {
            let opens = header.key_id() == key().id() && header.unwrap_key(&key()).is_ok();
            match claims
                .iter_mut()
                .find(|(object, _)| object == header.object())
            {
                Some((_, opened)) => *opened |= opens,
                None => claims.push((*header.object(), opens)),
            }
        }
        claims
    }

    fn number_of(&self, object: &ObjectHeader) -> Option<usize> {
        let mut made = self.made.iter();
        made.position(|made| made.summary.object == object.id)
    }

    /// Whether so much of an object is as it was that it survives what was done to the rest.
    fn is_survivable(&self, number: usize) -> bool {
        let harmed = self.made[number].shards.len() - self.whole[number];
        harmed <= self.parity
    }
}

/// One trial, without a digest and then with ours.
pub(crate) fn run(seed: u64, counts: &mut Counts) {
    let mut rng = Rng::with_seed(seed);
    let pool = pool(&mut rng);
    let threads = Threads::new(rng.usize(1..3));
    read(seed, &pool, threads, counts);
    judged(seed, &pool);
    rebuilt(seed, &pool);
    let wanted = by(pool.made[0].summary.digest);
    match read_with(pool.shards.clone(), &ring(), wanted, threads) {
        Ok((found, _)) => assert!(found == pool.made[0].plain, "seed {seed}: other bytes"),
        Err(error) => assert!(!pool.is_survivable(0), "seed {seed}: {error:?}"),
    }
}

/// With the key alone: one object, if it is the only one that the key opens.
fn read(seed: u64, pool: &Pool, threads: Threads, counts: &mut Counts) {
    let opened: Vec<_> = pool
        .claims()
        .into_iter()
        .filter(|(_, opens)| *opens)
        .collect();
    let read = read_with(pool.shards.clone(), &ring(), PARTIAL, threads);
    match &read {
        Ok((found, _)) => {
            counts.recovered += 1;
            let [(object, _)] = opened.as_slice() else {
                panic!("seed {seed}: one of {} objects", opened.len());
            };
            let number = pool.number_of(object).filter(|number| *number < 2);
            let number = number.expect("the key opens ours and its twin");
            assert!(
                *found == pool.made[number].plain,
                "seed {seed}: other bytes"
            );
        }
        Err(Failure::Open(ObjectError::Gather(GatherError::Ambiguous { .. }))) => {
            counts.ambiguous += 1;
            assert!(opened.len() != 1, "seed {seed}: there is one");
        }
        Err(error) => {
            counts.refused += 1;
            if let [(object, _)] = opened.as_slice() {
                let number = pool.number_of(object).expect("no other opens");
                assert!(!pool.is_survivable(number), "seed {seed}: {error:?}");
            }
        }
    }
}

/// Without a key: one object, if no other says that it is there.
fn judged(seed: u64, pool: &Pool) {
    let claims = pool.claims();
    match verify(pool.shards.clone(), PARTIAL, &mut |_| ()) {
        Ok(report) => {
            assert_eq!(claims.len(), 1, "seed {seed}: one of several");
            let number = pool
                .number_of(&report.object)
                .expect("nobody makes another");
            let made = &pool.made[number];
            assert_eq!(report.digest, made.summary.digest, "seed {seed}");
            // Nothing but the key vouches for the wrapped keys.
            let named = |shard: &[u8]| (shard[..56].to_vec(), shard[120..].to_vec());
            let mut there: Vec<_> = pool.shards.iter().collect();
            there.sort_by_key(|shard| shard.get(11).copied());
            let is_whole = there.iter().all(|shard| Header::parse(shard).is_ok())
                && there
                    .iter()
                    .map(|s| named(s))
                    .eq(made.shards.iter().map(|s| named(s)));
            assert_eq!(
                report.is_whole(),
                is_whole,
                "seed {seed}: {}",
                report.damage
            );
        }
        Err(WitnessError::Gather(GatherError::Ambiguous { .. })) => {
            assert!(claims.len() > 1, "seed {seed}: there is one");
        }
        Err(error) => {
            assert!(claims.len() < 2, "seed {seed}: {error}");
        }
    }
}

/// What is rebuilt without a digest is what was lost of the only object.
fn rebuilt(seed: u64, pool: &Pool) {
    let claims = pool.claims();
    let Some((object, _)) = claims.first() else {
        return;
    };
    for index in 0..object.geometry.pieces() {
        let index = u8::try_from(index).unwrap();
        let mut rebuilt = Vec::new();
        let sinks = vec![(index, &mut rebuilt)];
        if repair(pool.shards.clone(), sinks, PARTIAL, &mut |_| ()).is_ok() {
            assert_eq!(claims.len(), 1, "seed {seed}: one of several");
            let number = pool.number_of(object).expect("nobody makes another");
            let ours = &pool.made[number].shards[usize::from(index)];
            assert!(
                rebuilt[120..] == ours[120..],
                "seed {seed}: another shard {index}"
            );
        }
    }
}
