//! An object of as many segments as the format has, 256 TiB, of which only those are there that are
//! looked at.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use propeller_ces::format::{
    BLOCK_SEGMENTS, DataKey, Footer, HEADER_LEN, Header, ObjectCoder, ObjectHeader, Position,
    SEGMENTS_MAX, SealedSegment, SegmentWriter, TAG_LEN, Trailer, block_count, block_len,
};
use propeller_ces::{
    Audit, Cipher, Compression, Geometry, Label, Object, ObjectId, ReadAt, SegmentSize, Threads,
    Wanted,
};

use crate::objects::{SEGMENT, key, random, ring};

const GEOMETRY: (u8, u8) = (2, 1);
const BLOCKS: u64 = block_count(SEGMENTS_MAX);
const LAST: u32 = u32::MAX;

/// Where everything stands, in bytes from a shard's beginning: no segment is compressed.
fn segment_at(number: u64) -> u64 {
    let blocks = number / u64::from(BLOCK_SEGMENTS);
    HEADER_LEN as u64 + number * entry_len() + blocks * block_len(BLOCK_SEGMENTS) as u64
}

fn block_at(number: u64) -> u64 {
    let behind = segment_at((number + 1) * u64::from(BLOCK_SEGMENTS));
    behind - block_len(BLOCK_SEGMENTS) as u64
}

fn sealed_len() -> u32 {
    u32::try_from(SEGMENT + TAG_LEN).unwrap()
}

fn entry_len() -> u64 {
    geometry().entry_len(sealed_len())
}

fn geometry() -> Geometry {
    Geometry::new(GEOMETRY.0, GEOMETRY.1).unwrap()
}

/// One shard, as far as it is there: what stands where.
#[derive(Debug)]
struct Shard {
    parts: Rc<Vec<(u64, Vec<u8>)>>,
    own: Vec<(u64, Vec<u8>)>,
}

impl ReadAt for Shard {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let inside =
            |(at, bytes): &&(u64, Vec<u8>)| (*at..at + bytes.len() as u64).contains(&offset);
        let part = self.parts.iter().chain(&self.own).find(inside);
        let (at, bytes) = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.read_at(buf, offset - at)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(segment_at(SEGMENTS_MAX) + Trailer::len_of(SEGMENTS_MAX))
    }
}

/// An index block, as the specification says: here are some that are far from the first.
fn block(number: u64, object: ObjectId) -> Vec<u8> {
    let mut bytes = sealed_len().to_be_bytes().repeat(BLOCK_SEGMENTS as usize);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[3]).update(&object.0);
    hasher.update(&u32::try_from(number).unwrap().to_be_bytes());
    hasher.update(&bytes);
    bytes.extend_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes
}

/// The plaintext of a segment.
fn plain(number: u32) -> Vec<u8> {
    random(SEGMENT, number.into())
}

/// All shards of an object that has these segments.
fn shards(numbers: &[u32]) -> Vec<Shard> {
    let object = ObjectHeader {
        cipher: Cipher::Aes256Gcm,
        geometry: geometry(),
        segment_size: SegmentSize::MIN,
        id: ObjectId([7; 16]),
        label: Label::default(),
    };
    let data_key = DataKey::from_random([5; 32]);
    let coder = Arc::new(ObjectCoder::new(object, &data_key));
    let plain_len = SEGMENTS_MAX * SEGMENT as u64;
    let footer = Footer::new(SEGMENTS_MAX, plain_len, [0; 32], coder.keys().mac());
    let mut trailer = Vec::new();
    let offsets = (0..BLOCKS).map(block_at).collect();
    Trailer::new(offsets, footer.footer()).write(&object.id, &mut trailer);
    let mut parts = vec![(segment_at(SEGMENTS_MAX), trailer)];
    parts.extend((BLOCKS - 2..BLOCKS).map(|number| (block_at(number), block(number, object.id))));
    let parts = Rc::new(parts);

    let header = Header::new(object, &data_key, &key());
    let shard = |index| Shard {
        parts: Rc::clone(&parts),
        own: vec![(0, header.of_shard(index).unwrap().to_bytes().to_vec())],
    };
    let mut shards: Vec<Shard> = (0..GEOMETRY.0 + GEOMETRY.1).map(shard).collect();
    let mut writer = SegmentWriter::new(coder, Compression::Off);
    let mut sealed = SealedSegment::new();
    for &number in numbers {
        let is_last = number == LAST;
        let position = Position { number, is_last };
        let nonce = std::array::from_fn(|i| number.to_be_bytes()[i % 4]);
        writer
            .seal(&plain(number), position, nonce, &mut sealed)
            .unwrap();
        for (index, shard) in (0..).zip(&mut shards) {
            let entry = [sealed.head_of(index), sealed.piece_of(index)].concat();
            shard.own.push((segment_at(number.into()), entry));
        }
    }
    shards
}

#[test]
fn the_last_segments_that_the_format_has_are_found_and_read() {
    // Beside the first of the last index block, and the very last.
    let first_of_last = LAST - BLOCK_SEGMENTS + 1;
    let numbers = [first_of_last - 1, first_of_last, LAST - 1, LAST];
    let shards = shards(&numbers);
    assert!(shards[0].size().unwrap() > 1 << 46);
    for lost in [3, 0] {
        let there = shards.iter().enumerate();
        let there = there
            .filter(|(index, _)| *index != lost)
            .map(|(_, shard)| shard);
        let mut object =
            Object::open(there.collect(), &ring(), Wanted::default(), Audit::none()).unwrap();
        assert_eq!(object.segments(), SEGMENTS_MAX);
        assert_eq!(object.plain_len(), 1 << 48);
        for pair in numbers.chunks(2) {
            let start = u64::from(pair[0]) * SEGMENT as u64 + 9;
            let expected = [&plain(pair[0])[9..], &plain(pair[1])].concat();
            let mut out = Vec::new();
            let range = start..start + expected.len() as u64;
            let read = object.read_range(range, &mut out, Threads::ONE, &mut |_| ());
            read.unwrap();
            assert!(out == expected, "{pair:?} without {lost}");
        }
    }
}
