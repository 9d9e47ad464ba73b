//! What is lost or damaged by accident.

use propeller_ces::{Threads, Wanted, Why};

use crate::objects::{Counting, SEGMENT, options, random, read, read_with, ring, sealed};

/// Damages a shard in one of the ways there are.
fn damage(shard: &mut Vec<u8>, way: usize) {
    let middle = shard.len() / 2;
    match way {
        0 => shard[middle] ^= 0x10,
        1 => shard.truncate(middle),
        2 => shard[3] ^= 1,
        _ => shard.clear(),
    }
}

#[test]
fn any_two_of_2_and_2_may_be_lost_or_bad_and_a_third_is_told() {
    let plain = random(SEGMENT + 100, 1);
    let (shards, _) = sealed(&plain, &options(2, 2));
    for bad in 0_u32..16 {
        for way in 0..4 {
            let mut damaged = shards.clone();
            for (index, shard) in damaged.iter_mut().enumerate() {
                if bad >> index & 1 == 1 {
                    damage(shard, way);
                }
            }
            let case = format!("bad shards {bad:04b}, way {way}");
            match (read(damaged), bad.count_ones()) {
                (Ok((found, _)), 0..=2) => assert!(found == plain, "{case}"),
                (Err(failed), 3..=4) => {
                    let text = format!("{failed:?}");
                    for input in (0..4).filter(|input| bad >> input & 1 == 1) {
                        assert!(text.contains(&format!("input: {input}")), "{case}: {text}");
                    }
                }
                (result, _) => panic!("{case}: {:?}", result.map(|(_, damage)| damage)),
            }
            let rest: Vec<&Vec<u8>> = shards
                .iter()
                .enumerate()
                .filter(|(index, _)| bad >> index & 1 == 0)
                .map(|(_, shard)| shard)
                .collect();
            assert_eq!(read(rest).is_ok(), bad.count_ones() <= 2, "{case}, missing");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_shard_is_survived() {
    let plain = b"a small object".to_vec();
    let (shards, _) = sealed(&plain, &options(1, 1));
    for bit in 0..shards[0].len() * 8 {
        for shard in 0..2 {
            let mut flipped = shards.clone();
            flipped[shard][bit / 8] ^= 1 << (bit % 8);
            let (found, _) = read(flipped).unwrap();
            assert!(found == plain, "bit {bit} of shard {shard}");
        }
    }
}

#[test]
fn every_cut_of_a_shard_is_survived_and_of_all_shards_refused_or_harmless() {
    let plain = random(SEGMENT + 9, 2);
    let (shards, _) = sealed(&plain, &options(2, 1));
    let small = sealed(b"tiny", &options(2, 1)).0;
    for len in 0..small[0].len() {
        let mut cut = small.clone();
        cut[1].truncate(len);
        assert_eq!(read(cut.clone()).unwrap().0, b"tiny", "cut to {len}");
        // Behind the last piece is nothing that records cannot make up for.
        cut[0].truncate(len);
        cut[2].truncate(len);
        let end = small[0].len() - 96 - 8 - 16 - 4;
        assert_eq!(read(cut).is_ok(), len >= end, "all cut to {len}");
    }
    // The object ends with the segment that says so: one that ends before it was cut.
    let first = 120 + 97 + 2 * 32 + (SEGMENT + 16) / 2;
    let cut: Vec<&[u8]> = shards.iter().map(|shard| &shard[..first]).collect();
    let failed = read(cut).unwrap_err();
    assert_eq!(failed.damage().shards().len(), 3);
    assert!(failed.damage().to_string().contains("it was cut"));
}

#[test]
fn what_is_cut_away_in_all_shards_is_an_error_after_what_was_there() {
    let plain = random(3 * SEGMENT, 3);
    let (shards, _) = sealed(&plain, &options(2, 1));
    // The trailers are there, and a piece in the middle is not.
    let sources: Vec<Counting<'_>> = shards
        .iter()
        .map(|bytes| Counting {
            fails_from: bytes.len() as u64,
            ..Counting::new(bytes)
        })
        .collect();
    assert!(read(sources).is_ok());
    let mut zeroed = shards.clone();
    for shard in &mut zeroed {
        let middle = shard.len() / 2;
        shard[middle..middle + 100].fill(0);
    }
    let failed = read(zeroed).unwrap_err();
    assert_eq!(failed.damage().shards().len(), 3);
}

#[test]
fn a_source_that_fails_is_a_missing_shard_in_its_own_words() {
    let plain = random(3 * SEGMENT, 4);
    let (shards, _) = sealed(&plain, &options(2, 2));
    for threads in [1, 2].map(Threads::new) {
        for fails_from in [0, 150, 40_000, 80_000] {
            let sources: Vec<Counting<'_>> = shards
                .iter()
                .enumerate()
                .map(|(index, bytes)| Counting {
                    fails_from: if index < 2 { fails_from } else { u64::MAX },
                    ..Counting::new(bytes)
                })
                .collect();
            let (found, damage) = read_with(sources, &ring(), Wanted::default(), threads).unwrap();
            assert!(found == plain);
            let Why::Read { message, .. } = &damage.of(0).unwrap().first[0].why else {
                panic!("another fault")
            };
            assert_eq!(message, "the disk is on fire");
        }
    }
}

#[test]
fn a_shard_that_is_bad_throughout_is_asked_no_more() {
    let plain = random(20 * SEGMENT, 5);
    let (mut shards, _) = sealed(&plain, &options(2, 1));
    for at in (120..shards[0].len()).step_by(1000) {
        shards[0][at] ^= 1;
    }
    let sources: Vec<Counting<'_>> = shards.iter().map(|bytes| Counting::new(bytes)).collect();
    let (found, damage) = read(sources.iter().collect()).unwrap();
    assert!(found == plain);
    assert!(damage.of(0).is_some());
    assert!(sources[0].reads.borrow().len() < 10);
}
