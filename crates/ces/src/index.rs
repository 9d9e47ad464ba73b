//! Index blocks: how long the last segments are, so that a range is found without reading them all.

use std::ops::Range;

use crate::error::IndexError;
use crate::geometry::Geometry;
use crate::header::HEADER_LEN;
use crate::merkle::{CHECK_LEN, Domain, check};
use crate::object::{ObjectHeader, ObjectId};
use crate::record::SEALED_LEN_MIN;

/// How many segments stand between two index blocks.
pub const BLOCK_SEGMENTS: u32 = 1024;
const LENGTH_LEN: usize = 4;

/// The number of the index block that segment `number` is in, counted from 0.
#[must_use]
pub const fn block_of(number: u32) -> u32 {
    number / BLOCK_SEGMENTS
}

/// How many index blocks as many segments have.
#[must_use]
pub const fn block_count(segments: u64) -> u64 {
    segments.div_ceil(BLOCK_SEGMENTS as u64)
}

/// How many segments are in index block `block` of an object of `segments` segments.
#[must_use]
pub const fn segments_in_block(block: u32, segments: u64) -> u32 {
    let left = segments.saturating_sub(block as u64 * BLOCK_SEGMENTS as u64);
    if left < BLOCK_SEGMENTS as u64 {
        #[allow(clippy::cast_possible_truncation, reason = "it is less than 1,024")]
        let left = left as u32;
        left
    } else {
        BLOCK_SEGMENTS
    }
}

/// Length of an index block over as many segments, in bytes.
#[must_use]
pub const fn block_len(segments: u32) -> usize {
    segments as usize * LENGTH_LEN + CHECK_LEN
}

/// Where the segments before an index block begin in a shard, given where the block before it does.
#[must_use]
pub const fn block_start(before: Option<u64>) -> u64 {
    match before {
        // Every block but the last one is full.
        Some(offset) => offset.saturating_add(block_len(BLOCK_SEGMENTS) as u64),
        None => HEADER_LEN as u64,
    }
}

/// Collects the sealed lengths of segments while they are written, block by block.
#[derive(Debug, Clone, Default)]
pub struct IndexWriter {
    block: u32,
    lengths: Vec<u8>,
}

impl IndexWriter {
    /// The index of an object without a segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the sealed length of the next segment.
    pub fn push(&mut self, sealed: u32) {
        self.lengths.extend_from_slice(&sealed.to_be_bytes());
    }

    /// Whether the block has to be written before the next segment.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lengths.len() >= BLOCK_SEGMENTS as usize * LENGTH_LEN
    }

    /// Whether there is nothing to write: no segment since the last block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Appends the block to `out`, and begins the next one.
    pub fn write(&mut self, object: &ObjectId, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lengths);
        out.extend_from_slice(&block_check(object, self.block, &self.lengths));
        self.lengths.clear();
        self.block = self.block.saturating_add(1);
    }
}

/// An index block that was read. It leads to segments; only their records say whether it is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexBlock {
    first: u32,
    start: u64,
    geometry: Geometry,
    lengths: Vec<u32>,
}

/// Where an index block stands in a shard, and what it has to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// Its number, counted from 0.
    pub number: u32,
    /// Where its segments begin in the shard, in bytes: see [`block_start`].
    pub start: u64,
    /// Where it begins itself, in bytes from the shard's beginning.
    pub offset: u64,
    /// How many segments are in it: see [`segments_in_block`].
    pub segments: u32,
}

impl IndexBlock {
    /// Reads the block that stands at `place`.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn parse(
        bytes: &[u8],
        place: BlockPlace,
        object: &ObjectHeader,
    ) -> Result<Self, IndexError> {
        let BlockPlace { number, start, .. } = place;
        if bytes.len() != block_len(place.segments) {
            return Err(IndexError::Length { number });
        }
        let (lengths, found) = bytes.split_at(bytes.len() - CHECK_LEN);
        if block_check(&object.id, number, lengths) != *found {
            return Err(IndexError::Check { number });
        }
        let max = object.segment_size.bytes() + SEALED_LEN_MIN;
        let lengths: Vec<u32> = lengths
            .as_chunks()
            .0
            .iter()
            .map(|length| u32::from_be_bytes(*length))
            .collect();
        let outside = |length: &&u32| !(SEALED_LEN_MIN..=max).contains(*length);
        if let Some(&got) = lengths.iter().find(outside) {
            return Err(IndexError::SealedLength { number, got });
        }
        let block = Self {
            first: number.saturating_mul(BLOCK_SEGMENTS),
            start,
            geometry: object.geometry,
            lengths,
        };
        if block.end() != place.offset {
            return Err(IndexError::Place { number });
        }
        Ok(block)
    }

    /// Where segment `number` stands in the shard, in bytes, if it is in this block.
    ///
    /// Its record comes first there, then its path and its piece.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<Range<u64>> {
        let at = number.checked_sub(self.first)? as usize;
        let length = self.geometry.entry_len(*self.lengths.get(at)?);
        let from = self.start.checked_add(self.entries(&self.lengths[..at]))?;
        Some(from..from.checked_add(length)?)
    }

    /// The sealed lengths of the segments in this block, in bytes.
    #[must_use]
    pub fn sealed_lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.entries(&self.lengths))
    }

    /// At most 1,024 segments of 8 MiB, far below 2⁶⁴.
    fn entries(&self, lengths: &[u32]) -> u64 {
        let lengths = lengths.iter();
        lengths.map(|sealed| self.geometry.entry_len(*sealed)).sum()
    }
}

fn block_check(object: &ObjectId, number: u32, lengths: &[u8]) -> [u8; CHECK_LEN] {
    check(
        Domain::IndexBlock,
        &[&object.0, &number.to_be_bytes(), lengths],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Cipher;
    use crate::geometry::SegmentSize;
    use crate::key::Label;

    fn object() -> ObjectHeader {
        ObjectHeader {
            cipher: Cipher::Aes256Gcm,
            geometry: Geometry::new(2, 1).unwrap(),
            segment_size: SegmentSize::MIN,
            id: ObjectId([1; 16]),
            label: Label::NONE,
        }
    }

    fn written(lengths: &[u32]) -> Vec<u8> {
        let mut index = IndexWriter::new();
        let mut bytes = Vec::new();
        lengths.iter().for_each(|sealed| index.push(*sealed));
        index.write(&object().id, &mut bytes);
        assert!(index.is_empty());
        bytes
    }

    /// Where the first block of a shard with segments of these lengths stands.
    fn place(lengths: &[u32]) -> BlockPlace {
        let entries = lengths
            .iter()
            .map(|sealed| object().geometry.entry_len(*sealed));
        BlockPlace {
            number: 0,
            start: HEADER_LEN as u64,
            offset: HEADER_LEN as u64 + entries.sum::<u64>(),
            segments: u32::try_from(lengths.len()).unwrap(),
        }
    }

    #[test]
    fn a_block_leads_to_its_segments() {
        let lengths = [65_552, 17, 100];
        let block = IndexBlock::parse(&written(&lengths), place(&lengths), &object()).unwrap();
        let head = 97 + 64;
        let starts = [120, 120 + head + 32_776, 120 + 2 * head + 32_776 + 9];
        assert_eq!(block.segment(0), Some(starts[0]..starts[1]));
        assert_eq!(block.segment(1), Some(starts[1]..starts[2]));
        assert_eq!(block.segment(2), Some(starts[2]..starts[2] + head + 50));
        assert_eq!(block.segment(3), None);
        assert_eq!(block.sealed_lengths(), lengths);
    }

    #[test]
    fn later_blocks_begin_behind_the_one_before() {
        let start = block_start(Some(1_000_000));
        assert_eq!(start, 1_000_000 + 4 * 1024 + 16);
        let mut index = IndexWriter::new();
        let mut bytes = Vec::new();
        for _ in 0..BLOCK_SEGMENTS {
            assert!(!index.is_full());
            index.push(16);
        }
        assert!(index.is_full());
        index.write(&object().id, &mut bytes);
        assert_eq!(bytes.len(), block_len(BLOCK_SEGMENTS));
        bytes.clear();
        index.push(18);
        index.write(&object().id, &mut bytes);
        let offset = start + object().geometry.entry_len(18);
        let place = BlockPlace {
            number: 1,
            start,
            offset,
            segments: 1,
        };
        let block = IndexBlock::parse(&bytes, place, &object()).unwrap();
        assert_eq!(block.segment(1024), Some(start..offset));
        assert_eq!(block.segment(1023), None);
    }

    #[test]
    fn what_is_wrong_with_a_block_is_named() {
        let good = [65_552, 17];
        let parse = |bytes: &[u8], place| IndexBlock::parse(bytes, place, &object());
        let bytes = written(&good);
        let number = 0;
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = parse(&damaged, place(&good));
            assert_eq!(error, Err(IndexError::Check { number }), "bit {bit}");
        }
        let length = Err(IndexError::Length { number });
        assert_eq!(parse(&bytes[1..], place(&good)), length);
        assert_eq!(parse(&bytes, place(&good[1..])), length);
        assert_eq!(parse(b"", place(&good)), length);
        for got in [15, 65_553, u32::MAX] {
            let error = parse(&written(&[17, got]), place(&good));
            assert_eq!(error, Err(IndexError::SealedLength { number, got }));
        }
        let lies = parse(&written(&[65_552, 19]), place(&good));
        assert_eq!(lies, Err(IndexError::Place { number }));
        let moved = BlockPlace {
            number: 1,
            ..place(&good)
        };
        let error = parse(&bytes, moved);
        assert_eq!(error, Err(IndexError::Check { number: 1 }));
    }

    #[test]
    fn blocks_hold_1024_segments_and_the_last_one_the_rest() {
        let check = |segments, blocks, in_last| {
            assert_eq!(block_count(segments), blocks, "{segments}");
            let last = u32::try_from(blocks - 1).unwrap();
            assert_eq!(segments_in_block(last, segments), in_last, "{segments}");
            assert_eq!(segments_in_block(last + 1, segments), 0, "{segments}");
        };
        check(1, 1, 1);
        check(1023, 1, 1023);
        check(1024, 1, 1024);
        check(1025, 2, 1);
        check(1 << 32, 1 << 22, 1024);
        assert_eq!((block_of(1023), block_of(1024)), (0, 1));
    }
}
