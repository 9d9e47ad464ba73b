//! Looking at everything and rebuilding, without the key.

use propeller_ces::format::{
    FOOTER_LEN, Footer, HEADER_LEN, Header, IndexError, Trailer, TrailerError,
};
use propeller_ces::{RepairError, Report, Trust, Wanted, Why, WitnessError, repair, verify};

use crate::hostile::recheck_header;
use crate::objects::{Counting, SEGMENT, key, options, random, sealed, text, uncompressed};

fn by(digest: propeller_ces::Digest) -> Wanted {
    Wanted {
        digest: Some(digest),
        ..Wanted::default()
    }
}

fn report(shards: &[Vec<u8>], digest: propeller_ces::Digest) -> Report {
    verify(shards.to_vec(), by(digest), &mut |_| ()).unwrap()
}

#[test]
fn a_whole_object_is_verified_without_a_key() {
    let plain = text(3 * SEGMENT + 8, 1);
    let (shards, summary) = sealed(&plain, &options(4, 2));
    let found = report(&shards, summary.digest);
    assert!(found.is_whole() && found.is_readable());
    assert_eq!(found.trust, Trust::Digest);
    assert_eq!(found.plain_len, plain.len() as u64);
    assert_eq!(found.segments, 4);
    let found = verify(shards, Wanted::default(), &mut |_| ()).unwrap();
    assert_eq!(found.trust, Trust::Agreement { shards: 6 });
    assert_eq!(found.digest, summary.digest);
}

#[test]
fn every_flipped_bit_behind_the_header_is_found_and_placed() {
    let (shards, summary) = sealed(b"a small object", &options(1, 2));
    for bit in 120 * 8..shards[0].len() * 8 {
        let mut flipped = shards.clone();
        flipped[1][bit / 8] ^= 1 << (bit % 8);
        let found = report(&flipped, summary.digest);
        assert_eq!(
            found.damage.shards().len(),
            1,
            "bit {bit}: {}",
            found.damage
        );
        assert_eq!(found.damage.shards()[0].input, 1);
        assert!(found.is_readable());
    }
}

#[test]
fn what_is_added_or_cut_at_the_end_is_found() {
    let (mut shards, summary) = sealed(&random(100, 2), &options(1, 2));
    shards[0].push(0);
    let len = shards[1].len();
    shards[1].truncate(len - 1);
    let found = report(&shards, summary.digest);
    let first = |input: usize| found.damage.of(input).unwrap().first[0].why.clone();
    assert_eq!(first(0), Why::Trailer(TrailerError::End));
    assert!(matches!(first(1), Why::Read { .. }));
}

#[test]
fn an_index_block_that_lies_is_found() {
    let (mut shards, summary) = sealed(&random(100, 3), &options(1, 1));
    let at = shards[0].len() - 96 - 8 - 16 - 4;
    shards[0][at + 3] ^= 1;
    let found = report(&shards, summary.digest);
    let index = Why::Index(IndexError::Check { number: 0 });
    assert_eq!(found.damage.of(0).unwrap().first[0].why, index);
}

#[test]
fn segments_that_cannot_be_read_any_more_are_counted() {
    let (mut shards, summary) = sealed(&random(3 * SEGMENT, 4), &uncompressed(2, 1));
    for shard in &mut shards[..2] {
        let middle = shard.len() / 2;
        shard[middle] ^= 1;
    }
    let found = report(&shards, summary.digest);
    assert_eq!((found.lost, found.first_lost), (1, Some(1)));
    assert!(!found.is_readable());
}

fn rebuild(
    shards: Vec<Vec<u8>>,
    indices: &[u8],
    wanted: Wanted,
) -> Result<Vec<Vec<u8>>, RepairError> {
    let mut rebuilt = vec![Vec::new(); indices.len()];
    let sinks = indices.iter().copied().zip(&mut rebuilt).collect();
    let repaired = repair(shards, sinks, wanted, &mut |_| ())?;
    for shard in &rebuilt {
        assert_eq!(shard.len() as u64, repaired.shard_len);
    }
    Ok(rebuilt)
}

#[test]
fn rebuilt_shards_are_the_lost_ones_bit_for_bit() {
    let sizes = [0, 1, SEGMENT, 2 * SEGMENT + 77];
    for (data, parity) in [(1, 1), (2, 1), (8, 4), (3, 9), (128, 128)] {
        for (seed, size) in (0..).zip(sizes) {
            let (shards, summary) = sealed(&text(size, seed), &options(data, parity));
            // The first ones, the last ones, and every other one.
            let count = u16::from(data) + u16::from(parity);
            let indices = || (0..=u8::MAX).take(usize::from(count));
            let first: Vec<u8> = (0..parity).collect();
            let last = indices().skip(usize::from(data)).collect();
            let other = indices().step_by(2).take(usize::from(parity)).collect();
            for lost in [first, last, other] {
                let rest: Vec<Vec<u8>> = indices()
                    .zip(&shards)
                    .filter(|(index, _)| !lost.contains(index))
                    .map(|(_, shard)| shard.clone())
                    .collect();
                let rebuilt = rebuild(rest, &lost, by(summary.digest)).unwrap();
                for (index, rebuilt) in lost.iter().zip(rebuilt) {
                    let original = &shards[usize::from(*index)];
                    assert!(rebuilt == *original, "{data}+{parity}, {size}: {index}");
                }
            }
        }
    }
}

#[test]
fn an_object_of_several_index_blocks_is_rebuilt() {
    let (mut shards, summary) = sealed(&vec![0; 1_026 * SEGMENT], &options(2, 1));
    let lost = shards.remove(0);
    let rebuilt = rebuild(shards, &[0], by(summary.digest)).unwrap();
    assert!(rebuilt[0] == lost);
}

#[test]
fn damaged_shards_help_as_far_as_they_are_good() {
    let (shards, summary) = sealed(&random(3 * SEGMENT, 5), &uncompressed(2, 1));
    let mut damaged = shards.clone();
    // One of the three is bad in each segment, and another one each time.
    for (index, shard) in damaged.iter_mut().enumerate() {
        let at = 120 + index * (97 + 64 + (SEGMENT + 16) / 2) + 500;
        shard[at] ^= 1;
    }
    let rebuilt = rebuild(damaged, &[0, 1, 2], by(summary.digest)).unwrap();
    assert!(rebuilt == shards);
}

#[test]
fn one_good_piece_too_few_is_an_error_that_names_the_bad_ones() {
    let (mut shards, summary) = sealed(&random(SEGMENT, 6), &uncompressed(2, 2));
    for shard in &mut shards[1..] {
        shard[500] ^= 1;
    }
    let failed = rebuild(shards, &[1], by(summary.digest)).unwrap_err();
    let RepairError::Lost {
        segment: 0,
        needed: 2,
        good: 1,
        damage,
    } = failed
    else {
        panic!("{failed}")
    };
    assert_eq!(damage.shards().len(), 3);
}

#[test]
fn what_cannot_be_rebuilt_is_refused() {
    let (shards, summary) = sealed(b"x", &options(2, 1));
    let failed = rebuild(shards.clone(), &[3], by(summary.digest)).unwrap_err();
    assert!(matches!(failed, RepairError::NoSuchShard(_)), "{failed}");
    let failed = rebuild(shards, &[1, 1], by(summary.digest)).unwrap_err();
    assert!(
        matches!(failed, RepairError::Twice { index: 1 }),
        "{failed}"
    );
}

/// A shard that is another one from the second pass on.
struct Turncoat<'a> {
    first: Counting<'a>,
    then: &'a [u8],
    reads: usize,
}

impl propeller_ces::ReadAt for Turncoat<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        match self.first.reads.borrow().len() < self.reads {
            true => {}
            false => return self.then.read_at(buf, offset),
        }
        self.first.read_at(buf, offset)
    }

    fn size(&self) -> std::io::Result<u64> {
        self.first.size()
    }
}

#[test]
fn shards_that_change_while_they_are_read_are_an_error() {
    let (good, summary) = sealed(&random(2 * SEGMENT, 7), &uncompressed(1, 1));
    let (mut bad, _) = sealed(&random(2 * SEGMENT, 8), &uncompressed(1, 1));
    bad[0][..120].copy_from_slice(&good[0][..120]);
    let mut outcomes = [0, 0];
    for reads in 0..20 {
        let shard = Turncoat {
            first: Counting::new(&good[0]),
            then: &bad[0],
            reads,
        };
        let mut rebuilt = Vec::new();
        let sinks = vec![(1, &mut rebuilt)];
        match repair(vec![shard], sinks, by(summary.digest), &mut |_| ()) {
            Ok(_) => {
                assert!(rebuilt == good[1], "{reads} reads");
                outcomes[0] += 1;
            }
            Err(_) => outcomes[1] += 1,
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// Has a shard of two segments say that its object is so long, as whoever has the key can. It
/// returns the digest that the object has then.
fn recount(shard: &mut Vec<u8>, plain_len: u64) -> propeller_ces::Digest {
    let begins = shard.len() - FOOTER_LEN - 8;
    let header = Header::parse(&shard[..HEADER_LEN]).unwrap();
    let object = *header.object();
    let keys = header.unwrap_key(&key()).unwrap().keys(&object);
    let trailer = Trailer::parse(&shard[begins..], begins as u64, &object).unwrap();
    let root = *shard[begins + 8 + 12..].first_chunk().unwrap();
    let footer = Footer::new(2, plain_len, root, keys.mac());
    let mut bytes = Vec::new();
    Trailer::new(trailer.offsets().to_vec(), footer.footer()).write(&object.id, &mut bytes);
    shard.truncate(begins);
    shard.extend_from_slice(&bytes);
    footer.digest(&object)
}

#[test]
fn a_shard_whose_footer_counts_otherwise_than_its_records_vouches_for_nothing() {
    let plain = random(2 * SEGMENT, 31);
    let (mut shards, _) = sealed(&plain, &options(2, 1));
    let mut digest = None;
    for shard in &mut shards {
        digest = Some(recount(shard, plain.len() as u64 - 1));
    }
    let refused = verify(shards.clone(), Wanted::default(), &mut |_| ()).unwrap_err();
    let nobody = matches!(refused, WitnessError::Disagreement { agreeing: 0, .. });
    assert!(nobody, "{refused}");
    let refused = verify(shards.clone(), by(digest.unwrap()), &mut |_| ()).unwrap_err();
    assert!(matches!(refused, WitnessError::Digest { .. }), "{refused}");
    let mut rebuilt = Vec::new();
    let refused = repair(
        shards,
        vec![(0, &mut rebuilt)],
        Wanted::default(),
        &mut |_| (),
    );
    assert!(refused.is_err() && rebuilt.is_empty());
}

/// A shard of another object with a header of this one, as anybody can make it who sees that.
fn disguised(other: &[u8], header: &[u8]) -> Vec<u8> {
    let object = |bytes: &[u8]| *Header::parse(&bytes[..HEADER_LEN]).unwrap().object();
    let begins = other.len() - FOOTER_LEN - 8;
    let trailer = Trailer::parse(&other[begins..], begins as u64, &object(other)).unwrap();
    let mut shard = header[..HEADER_LEN].to_vec();
    shard.extend_from_slice(&other[HEADER_LEN..begins]);
    trailer.write(&object(header).id, &mut shard);
    shard
}

#[test]
fn shards_that_agree_outvote_none_that_is_whole_however_many_they_are() {
    let (honest, summary) = sealed(&random(SEGMENT, 32), &uncompressed(4, 2));
    let (others, _) = sealed(&random(SEGMENT, 33), &uncompressed(4, 2));
    let pairs = others.iter().zip(&honest);
    let mut shards: Vec<_> = pairs.map(|(o, h)| disguised(o, h)).collect();
    // By themselves they are as good as any.
    let alone = verify(shards.clone(), Wanted::default(), &mut |_| ()).unwrap();
    assert_ne!(alone.digest, summary.digest);
    shards[0].clone_from(&honest[0]);
    let refused = verify(shards.clone(), Wanted::default(), &mut |_| ()).unwrap_err();
    assert!(
        matches!(refused, WitnessError::Contested { .. }),
        "{refused}"
    );
    // Nor does it help to spoil the honest one.
    shards.push(shards[0].clone());
    shards[0].pop();
    let refused = verify(shards, Wanted::default(), &mut |_| ()).unwrap_err();
    assert!(
        matches!(refused, WitnessError::Contested { .. }),
        "{refused}"
    );
}

#[test]
fn two_shards_with_one_index_that_differ_are_for_the_digest_to_tell_apart() {
    let (mut shards, summary) = sealed(&random(SEGMENT, 34), &uncompressed(4, 2));
    let good = shards.clone();
    shards.push(shards[2].clone());
    let found = verify(shards.clone(), Wanted::default(), &mut |_| ()).unwrap();
    assert_eq!(found.trust, Trust::Agreement { shards: 6 });
    shards[6].pop();
    let refused = verify(shards.clone(), Wanted::default(), &mut |_| ()).unwrap_err();
    assert!(
        matches!(
            refused,
            WitnessError::Rivals {
                index: 2,
                one: 2,
                other: 6,
                ..
            }
        ),
        "{refused}"
    );
    let mut rebuilt = Vec::new();
    let sinks = vec![(2, &mut rebuilt)];
    repair(shards, sinks, by(summary.digest), &mut |_| ()).unwrap();
    assert!(rebuilt == good[2]);
}

#[test]
fn forged_wrapped_keys_of_forged_shards_are_not_handed_on() {
    let (mut shards, summary) = sealed(&random(SEGMENT, 35), &uncompressed(2, 2));
    let (others, _) = sealed(&random(SEGMENT, 36), &uncompressed(2, 2));
    let lost = shards.pop().unwrap();
    let header = Header::parse(&lost).unwrap();
    for (index, other) in (0..).zip(&others) {
        let mut header = header.of_shard(index).unwrap().to_bytes();
        header[64] ^= 1;
        recheck_header(&mut header);
        shards.push(disguised(other, &header));
    }
    let mut rebuilt = Vec::new();
    let sinks = vec![(3, &mut rebuilt)];
    repair(shards, sinks, by(summary.digest), &mut |_| ()).unwrap();
    assert!(rebuilt == lost);
}
