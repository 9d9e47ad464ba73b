//! Parts of an object, and how little is read for them.

use propeller_ces::format::{HEADER_LEN, RECORD_LEN};
use propeller_ces::{Audit, Object, ReadAt, ReadError, Threads, Wanted};

use crate::objects::{Counting, SEGMENT, options, random, ring, sealed, text};

fn open<S: ReadAt>(shards: Vec<S>) -> Object<S> {
    Object::open(shards, &ring(), Wanted::default(), Audit::none()).unwrap()
}

fn range<S: ReadAt>(object: &mut Object<S>, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    object
        .read_range(range, &mut out, Threads::ONE, &mut |_| ())
        .unwrap();
    out
}

#[test]
fn any_range_is_that_part_of_the_whole() {
    let plain = [text(3 * SEGMENT, 1), random(3 * SEGMENT + 77, 2)].concat();
    let (shards, _) = sealed(&plain, &options(3, 2));
    let mut object = open(shards);
    let seed = 20;
    let mut rng = fastrand::Rng::with_seed(seed);
    for trial in 0..200 {
        let start = rng.usize(..=plain.len());
        let furthest = plain.len().min(start + 2 * SEGMENT);
        let end = rng.usize(start..=furthest);
        let read = range(&mut object, start as u64..end as u64);
        assert!(read == plain[start..end], "seed {seed}, trial {trial}");
    }
    assert!(object.damage().is_none());
}

#[test]
fn borders_of_segments_are_no_borders() {
    let plain = random(2 * SEGMENT + 1, 3);
    let (shards, _) = sealed(&plain, &options(2, 1));
    let mut object = open(shards);
    let len = plain.len();
    for start in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, len] {
        for end in [0, 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, len - 1, len] {
            if start <= end {
                let read = range(&mut object, start as u64..end as u64);
                assert!(read == plain[start..end], "{start}..{end}");
            }
        }
    }
}

#[test]
fn a_range_beyond_the_end_is_refused() {
    let (shards, _) = sealed(&random(10, 4), &options(2, 1));
    let mut object = open(shards);
    #[allow(
        clippy::reversed_empty_ranges,
        reason = "a reversed range is one of those to be refused"
    )]
    for bad in [0..11, 11..11, 5..4, 0..u64::MAX] {
        let error = object
            .read_range(bad.clone(), &mut Vec::new(), Threads::ONE, &mut |_| ())
            .unwrap_err();
        assert!(
            matches!(&error, ReadError::Range { range, len: 10 } if *range == bad),
            "{error}"
        );
    }
}

/// Reads behind the headers and the footers, which opening reads.
fn reads(shards: &[Counting<'_>]) -> Vec<(usize, std::ops::Range<u64>)> {
    let all = shards.iter().enumerate();
    all.flat_map(|(index, shard)| {
        let reads = shard.reads.take();
        reads.into_iter().map(move |read| (index, read))
    })
    .collect()
}

#[test]
fn a_range_reads_the_pieces_of_its_segments_and_one_index_block() {
    const SEGMENTS: usize = 1_030;
    let plain = vec![0; SEGMENTS * SEGMENT];
    let (bytes, _) = sealed(&plain, &options(4, 2));
    let shards: Vec<Counting<'_>> = bytes.iter().map(|bytes| Counting::new(bytes)).collect();
    let mut object = open(shards.iter().collect());
    let opened = reads(&shards);
    let headers = opened
        .iter()
        .filter(|(_, read)| *read == (0..HEADER_LEN as u64));
    assert_eq!(headers.count(), 6);
    // And one trailer: the last 96 bytes, then all of it.
    assert_eq!(opened.len(), 6 + 2, "{opened:?}");

    let start = 1_025 * SEGMENT as u64 + 5;
    let read = range(&mut object, start..start + SEGMENT as u64);
    assert_eq!(read.len(), SEGMENT);
    let reads = reads(&shards);
    let shard_len = bytes[0].len() as u64;
    let trailer = reads.iter().filter(|(_, read)| read.end == shard_len);
    assert_eq!(trailer.count(), 2, "the footer, and the trailer");
    let records = reads
        .iter()
        .filter(|(_, read)| read.end - read.start == RECORD_LEN as u64);
    assert_eq!(
        records.count(),
        2 + 3,
        "of two segments, and of more shards than may be bad to confirm where the first one is"
    );
    assert!(reads.iter().all(|(index, _)| *index < 4), "{reads:?}");
    // And the index block, and of each segment path and piece of the four data shards.
    assert_eq!(reads.len(), 2 + 2 + 3 + 1 + 2 * 2 * 4, "{reads:?}");
}

#[test]
fn what_follows_is_found_without_an_index() {
    let plain = random(4 * SEGMENT, 5);
    let (bytes, _) = sealed(&plain, &options(2, 1));
    let shards: Vec<Counting<'_>> = bytes.iter().map(|bytes| Counting::new(bytes)).collect();
    let mut object = open(shards.iter().collect());
    drop(reads(&shards));
    let segment = SEGMENT as u64;
    for number in 0..4 {
        let part = number * segment..(number + 1) * segment;
        let expected = &plain[SEGMENT * usize::try_from(number).unwrap()..][..SEGMENT];
        assert!(range(&mut object, part) == expected);
        assert_eq!(
            reads(&shards).len(),
            1 + 2 * 2,
            "a record, two paths, two pieces"
        );
    }
}

#[test]
fn good_data_pieces_are_read_and_no_parity() {
    let (bytes, _) = sealed(&random(3 * SEGMENT, 6), &options(3, 3));
    let shards: Vec<Counting<'_>> = bytes.iter().map(|bytes| Counting::new(bytes)).collect();
    let mut object = open(shards.iter().collect());
    drop(reads(&shards));
    object
        .read_to(&mut Vec::new(), Threads::new(2), &mut |_| ())
        .unwrap();
    assert!(reads(&shards).iter().all(|(index, _)| *index < 3));
}
