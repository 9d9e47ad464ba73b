//! Shards that somebody made to mislead, without the key.

use propeller_ces::format::{FOOTER_LEN, Footer, HEADER_LEN, Header, RECORD_LEN, Trailer};
use propeller_ces::{
    Audit, GatherError, Object, ObjectError, Threads, Trust, Wanted, Why, WitnessError, repair,
    verify,
};

use crate::objects::{SEGMENT, key, options, random, read, read_with, ring, sealed, uncompressed};

/// `B3(parts)[..16]`.
fn check(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes().first_chunk().unwrap()
}

/// Makes the check of a header right again, as anybody can.
pub(crate) fn recheck_header(shard: &mut [u8]) {
    let right = check(&[&[0], &shard[..104]]);
    shard[104..HEADER_LEN].copy_from_slice(&right);
}

/// The same with the trailer of an object that has one index block.
fn recheck_trailer(shard: &mut [u8]) {
    let from = shard.len() - FOOTER_LEN - 8;
    let to = shard.len() - 20;
    let right = check(&[&[4], &shard[16..32], &shard[from..to]]);
    shard[to..to + 16].copy_from_slice(&right);
}

/// What stands in each shard for a full segment that is not compressed: record, path and piece.
fn entry_len(data: usize, parity: usize) -> usize {
    let depth = (data + parity).next_power_of_two().trailing_zeros() as usize;
    RECORD_LEN + 32 * depth + (SEGMENT + 16).div_ceil(data)
}

/// One thing that is said of an input.
pub(crate) fn first_of(damage: &propeller_ces::Damage, input: usize) -> Why {
    let shard = damage.of(input).expect("something is wrong with it");
    shard.first[0].why.clone()
}

#[test]
fn a_shard_of_another_object_is_refused_by_name() {
    let (plain, other) = (random(SEGMENT, 1), random(SEGMENT, 2));
    let (mut shards, _) = sealed(&plain, &options(3, 2));
    let (others, summary) = sealed(&other, &options(3, 2));
    shards[1] = others[1].clone();
    let (found, damage) = read(shards).unwrap();
    assert!(found == plain);
    let object = summary.object;
    assert_eq!(first_of(&damage, 1), Why::Foreign { object });
    assert_eq!(damage.missing(), [1]);
}

#[test]
fn as_many_shards_of_one_object_as_of_another_are_no_answer() {
    let (mut shards, summary) = sealed(b"one", &options(2, 2));
    let (others, other) = sealed(b"other", &options(2, 2));
    shards.extend(others);
    let failed = read(shards.clone()).unwrap_err().open();
    let ambiguous = matches!(failed, ObjectError::Gather(GatherError::Ambiguous { .. }));
    assert!(ambiguous, "{failed}");
    for (wanted, expected) in [(summary, "one"), (other, "other")] {
        let by_id = Wanted {
            object: Some(wanted.object),
            ..Wanted::default()
        };
        let by_digest = Wanted {
            digest: Some(wanted.digest),
            ..Wanted::default()
        };
        for wanted in [by_id, by_digest] {
            let read = read_with(shards.clone(), &ring(), wanted, Threads::ONE);
            assert_eq!(read.unwrap().0, expected.as_bytes());
        }
    }
}

#[test]
fn a_shard_that_says_it_is_of_the_object_and_describes_another_is_refused() {
    let plain = random(100, 3);
    let (mut shards, _) = sealed(&plain, &options(2, 2));
    shards[0][9] = 3;
    recheck_header(&mut shards[0]);
    let (found, damage) = read(shards).unwrap();
    assert!(found == plain);
    assert_eq!(first_of(&damage, 0), Why::Disguised);
}

#[test]
fn the_same_shard_twice_is_one() {
    let plain = random(SEGMENT, 4);
    let (mut shards, _) = sealed(&plain, &options(3, 1));
    shards[2] = shards[0].clone();
    let (found, damage) = read(shards.clone()).unwrap();
    assert!(found == plain);
    assert_eq!(first_of(&damage, 2), Why::Twice { other: 0 });
    shards[3] = shards[1].clone();
    let failed = read(shards).unwrap_err().open();
    let too_few = matches!(
        failed,
        ObjectError::Gather(GatherError::TooFew {
            needed: 3,
            got: 2,
            ..
        })
    );
    assert!(too_few, "{failed}");
}

#[test]
fn a_shard_that_takes_the_place_of_another_is_found_out() {
    let plain = random(SEGMENT, 5);
    let (shards, _) = sealed(&plain, &options(2, 2));
    for (from, to) in [(0, 1), (2, 0), (3, 1)] {
        let mut changed = shards.clone();
        changed[from][11] = to;
        recheck_header(&mut changed[from]);
        // The true one is there as well, or lost.
        let (found, _) = read(changed.clone()).unwrap();
        assert!(found == plain);
        changed.remove(usize::from(to));
        let (found, damage) = read(changed).unwrap();
        assert!(found == plain);
        assert!(!damage.is_none());
    }
}

#[test]
fn pieces_of_another_segment_or_object_are_found_out() {
    let plain = random(3 * SEGMENT, 6);
    let (mut shards, _) = sealed(&plain, &uncompressed(2, 2));
    let (others, _) = sealed(&random(3 * SEGMENT, 7), &uncompressed(2, 2));
    let len = entry_len(2, 2);
    let entry = |number: usize| HEADER_LEN + number * len..HEADER_LEN + (number + 1) * len;
    // Shard 0: segments 0 and 1 change places. Shard 1: segment 1 is another object's.
    let (zero, one) = (shards[0][entry(0)].to_vec(), shards[0][entry(1)].to_vec());
    shards[0][entry(0)].copy_from_slice(&one);
    shards[0][entry(1)].copy_from_slice(&zero);
    shards[1][entry(1)].copy_from_slice(&others[1][entry(1)]);
    for threads in [1, 3].map(Threads::new) {
        let (found, damage) =
            read_with(shards.clone(), &ring(), Wanted::default(), threads).unwrap();
        assert!(found == plain);
        assert_eq!(damage.of(0).unwrap().index, Some(0));
        assert_eq!(damage.of(1).unwrap().first[0].segment, Some(1));
    }
}

#[test]
fn an_older_version_of_a_segment_is_found_out() {
    // The same object is never written twice; the nearest an attacker comes is a piece of it with
    // the record of another object.
    let plain = random(SEGMENT, 8);
    let (mut shards, _) = sealed(&plain, &uncompressed(1, 1));
    let (others, _) = sealed(&random(SEGMENT, 9), &uncompressed(1, 1));
    shards[0][HEADER_LEN..].copy_from_slice(&others[0][HEADER_LEN..]);
    let (found, damage) = read(shards).unwrap();
    assert!(found == plain);
    assert!(damage.of(0).is_some());
}

#[test]
fn a_forged_record_is_another_shards_to_correct() {
    let plain = random(2 * SEGMENT, 10);
    let (mut shards, _) = sealed(&plain, &uncompressed(2, 1));
    // Its flags, its lengths, its nonce, its root and its MAC.
    for at in [0, 2, 6, 12, 40, 80] {
        let mut forged = shards.clone();
        forged[0][HEADER_LEN + at] ^= 1;
        let (found, damage) = read(forged).unwrap();
        assert!(found == plain, "byte {at}");
        assert!(matches!(first_of(&damage, 0), Why::Record(_)));
    }
    // Where no shard has the true one, the segment is lost, and nothing is made of it.
    for shard in &mut shards {
        shard[HEADER_LEN] ^= 1;
    }
    let failed = read(shards).unwrap_err();
    assert_eq!(failed.damage().shards().len(), 3);
}

#[test]
fn an_index_that_lies_costs_time_and_nothing_else() {
    let plain = random(4 * SEGMENT, 11);
    let (mut shards, _) = sealed(&plain, &options(2, 1));
    // Compressed, segments differ in length.
    let plain_text = crate::objects::text(4 * SEGMENT, 12);
    let (mut texts, _) = sealed(&plain_text, &options(2, 1));
    for (shards, plain) in [(&mut shards, &plain), (&mut texts, &plain_text)] {
        for shard in shards.iter_mut() {
            let block = shard.len() - FOOTER_LEN - 8 - 16 - 4 * 4;
            let (first, second) = (block + 4, block + 8);
            // A swap keeps the sum, and with it the place of the block.
            let a: [u8; 4] = *shard[first..].first_chunk().unwrap();
            let b: [u8; 4] = *shard[second..].first_chunk().unwrap();
            shard[first..first + 4].copy_from_slice(&b);
            shard[second..second + 4].copy_from_slice(&a);
            let id = shard[16..32].to_vec();
            let right = check(&[&[3], &id, &[0; 4], &shard[block..block + 16]]);
            shard[block + 16..block + 32].copy_from_slice(&right);
        }
        let wanted = Wanted::default();
        let mut object = Object::open(shards.clone(), &ring(), wanted, Audit::none()).unwrap();
        for number in [2, 1, 3, 0] {
            let from = number * SEGMENT;
            let mut out = Vec::new();
            let range = from as u64..(from + SEGMENT) as u64;
            object
                .read_range(range, &mut out, Threads::ONE, &mut |_| ())
                .unwrap();
            assert!(out == plain[from..from + SEGMENT], "segment {number}");
        }
    }
}

/// Each bad shard has a copy of a genuine record at another place, and an index that leads there.
#[test]
fn a_record_that_was_copied_to_where_an_index_leads_keeps_nobody_from_reading() {
    const RECORD_LEN: usize = 97;
    // The last segment has room for what the first one is said to lack.
    let plain = random(4 * SEGMENT - 20_000, 21);
    let (good, _) = sealed(&plain, &options(4, 2));
    let entry_len = |sealed: u32| RECORD_LEN + 3 * 32 + sealed.div_ceil(4) as usize;
    for bad in 1..=2 {
        let mut shards = good.clone();
        for shard in &mut shards[..bad] {
            let block = shard.len() - FOOTER_LEN - 8 - 16 - 4 * 4;
            let first = u32::from_be_bytes(*shard[block..].first_chunk().unwrap());
            let true_place = 120 + entry_len(first);
            let record = shard[true_place..][..RECORD_LEN].to_vec();
            // The first segment is said to be shorter, and the next one to be where that ends; the
            // last one is as much longer, so that the block stays where it is.
            let shorter = first - 4 * 1000;
            let last = u32::from_be_bytes(*shard[block + 12..].first_chunk().unwrap());
            shard[block..block + 4].copy_from_slice(&shorter.to_be_bytes());
            shard[block + 12..block + 16].copy_from_slice(&(last + 4 * 1000).to_be_bytes());
            let id = shard[16..32].to_vec();
            let right = check(&[&[3], &id, &[0; 4], &shard[block..block + 16]]);
            shard[block + 16..block + 32].copy_from_slice(&right);
            let place = 120 + entry_len(shorter);
            shard[place..place + RECORD_LEN].copy_from_slice(&record);
        }
        let wanted = Wanted::default();
        let mut object = Object::open(shards, &ring(), wanted, Audit::none()).unwrap();
        let mut out = Vec::new();
        let range = SEGMENT as u64..2 * SEGMENT as u64;
        object
            .read_range(range, &mut out, Threads::ONE, &mut |_| ())
            .unwrap();
        assert!(out == plain[SEGMENT..2 * SEGMENT], "{bad} bad shards");
    }
}

#[test]
fn a_footer_that_lies_is_not_believed() {
    let plain = random(2 * SEGMENT, 13);
    let (mut shards, summary) = sealed(&plain, &options(2, 1));
    let lie = |shard: &mut [u8]| {
        // One byte less of plaintext.
        let at = shard.len() - FOOTER_LEN + 4 + 7;
        shard[at] = shard[at].wrapping_sub(1);
        recheck_trailer(shard);
    };
    lie(&mut shards[0]);
    let (found, damage) = read(shards.clone()).unwrap();
    assert!(found == plain);
    assert!(matches!(first_of(&damage, 0), Why::Trailer(_)));
    // Where all lie, the records say what is true.
    lie(&mut shards[1]);
    lie(&mut shards[2]);
    let wanted = Wanted {
        digest: Some(summary.digest),
        ..Wanted::default()
    };
    let (found, _) = read_with(shards, &ring(), wanted, Threads::ONE).unwrap();
    assert!(found == plain);
}

/// Only who has the key can write one, and whoever reads gets all of the object or an error.
#[test]
fn a_footer_of_who_has_the_key_is_held_against_the_records() {
    let plain = random(2 * SEGMENT, 22);
    let (mut shards, _) = sealed(&plain, &options(2, 1));
    for shard in &mut shards {
        let begins = shard.len() - FOOTER_LEN - 8;
        let header = Header::parse(&shard[..120]).unwrap();
        let object = *header.object();
        let keys = header.unwrap_key(&key()).unwrap().keys(&object);
        let trailer = Trailer::parse(&shard[begins..], begins as u64, &object).unwrap();
        let root = *shard[begins + 8 + 12..].first_chunk().unwrap();
        let short = Footer::new(2, plain.len() as u64 - 1, root, keys.mac());
        let mut bytes = Vec::new();
        Trailer::new(trailer.offsets().to_vec(), short.footer()).write(&object.id, &mut bytes);
        shard.truncate(begins);
        shard.extend_from_slice(&bytes);
    }
    let error = format!("{:?}", read(shards).unwrap_err());
    assert!(error.contains("Records"), "{error}");
}

#[test]
fn another_digest_than_the_wanted_one_is_refused() {
    let (shards, summary) = sealed(b"new", &options(2, 1));
    let (_, other) = sealed(b"old", &options(2, 1));
    let wanted = Wanted {
        digest: Some(other.digest),
        ..Wanted::default()
    };
    let failed = read_with(shards.clone(), &ring(), wanted, Threads::ONE);
    let ObjectError::Digest { found, .. } = failed.unwrap_err().open() else {
        panic!("another error")
    };
    assert_eq!(found, summary.digest);
    let failed = verify(shards, wanted, &mut |_| ()).unwrap_err();
    assert!(matches!(failed, WitnessError::Digest { .. }), "{failed}");
}

/// A whole object that somebody with another key made with the same header.
fn impostors(shards: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut false_ones, _) = sealed(&random(SEGMENT, 99), &uncompressed(2, 2));
    for (false_one, shard) in false_ones.iter_mut().zip(shards) {
        false_one[..HEADER_LEN].copy_from_slice(&shard[..HEADER_LEN]);
        recheck_trailer(false_one);
    }
    false_ones
}

#[test]
fn without_a_digest_repair_goes_by_what_all_agree_on_and_says_so() {
    let (mut shards, summary) = sealed(&random(SEGMENT, 14), &uncompressed(2, 2));
    let lost = shards.remove(3);
    let mut rebuilt = Vec::new();
    let sinks = vec![(3, &mut rebuilt)];
    let repaired = repair(shards, sinks, Wanted::default(), &mut |_| ()).unwrap();
    assert_eq!(repaired.trust, Trust::Agreement { shards: 3 });
    assert_eq!(repaired.digest, summary.digest);
    assert!(rebuilt == lost);
}

#[test]
fn shards_that_disagree_are_not_repaired_without_a_digest() {
    let (mut shards, summary) = sealed(&random(SEGMENT, 15), &uncompressed(2, 2));
    let false_ones = impostors(&shards);
    let (two, three) = (shards[2].clone(), shards[3].clone());
    shards[2].clone_from(&false_ones[2]);
    shards[3].clone_from(&false_ones[3]);
    let mut rebuilt = Vec::new();
    let sinks = vec![(2, &mut rebuilt)];
    let failed = repair(shards.clone(), sinks, Wanted::default(), &mut |_| ());
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("give the object's digest"), "{failed}");
    // Who knows the digest knows whom to believe.
    let wanted = Wanted {
        digest: Some(summary.digest),
        ..Wanted::default()
    };
    let mut rebuilt = (Vec::new(), Vec::new());
    let sinks = vec![(2, &mut rebuilt.0), (3, &mut rebuilt.1)];
    let repaired = repair(shards, sinks, wanted, &mut |_| ()).unwrap();
    assert_eq!(repaired.trust, Trust::Digest);
    assert!(rebuilt == (two, three));
}
