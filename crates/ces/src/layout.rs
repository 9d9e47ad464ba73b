//! Where everything stands in the shards of an object: the same in all of them.

use crate::error::TooManySegments;
use crate::header::HEADER_LEN;
use crate::index::IndexWriter;
use crate::merkle::{Hash, RootBuilder};
use crate::object::ObjectHeader;
use crate::record::RECORD_LEN;
use crate::trailer::{Footer, Trailer};

/// Follows an object from its first segment to its trailer, and knows every byte that is not of a
/// segment.
///
/// Before every segment, and before the trailer, comes a call of [`block`](Self::block).
#[derive(Debug)]
pub(crate) struct Layout {
    object: ObjectHeader,
    offset: u64,
    index: IndexWriter,
    /// 8 bytes for 1,024 segments.
    blocks: Vec<u64>,
    root: RootBuilder,
    block: Vec<u8>,
}

/// Bytes that stand in every shard, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Segment,
    Trailer,
}

impl Layout {
    pub(crate) fn new(object: ObjectHeader) -> Self {
        Self {
            object,
            offset: HEADER_LEN as u64,
            index: IndexWriter::new(),
            blocks: Vec::new(),
            root: RootBuilder::new(),
            block: Vec::new(),
        }
    }

    /// The index block that stands before what follows, if one does.
    pub(crate) fn block(&mut self, next: Next) -> Option<Placed<'_>> {
        let stands = match next {
            Next::Segment => self.index.is_full(),
            Next::Trailer => !self.index.is_empty(),
        };
        if !stands {
            return None;
        }
        self.block.clear();
        self.index.write(&self.object.id, &mut self.block);
        let offset = self.offset;
        self.blocks.push(offset);
        self.offset += self.block.len() as u64;
        Some(Placed {
            offset,
            bytes: &self.block,
        })
    }

    /// Adds the next segment.
    pub(crate) fn segment(
        &mut self,
        record: &[u8; RECORD_LEN],
        sealed_len: u32,
    ) -> Result<(), TooManySegments> {
        self.root.push(record)?;
        self.index.push(sealed_len);
        self.offset += self.object.geometry.entry_len(sealed_len);
        Ok(())
    }

    /// The trailer behind the last block.
    pub(crate) fn trailer(&self, footer: Footer) -> Vec<u8> {
        let mut bytes = Vec::new();
        Trailer::new(self.blocks.clone(), footer).write(&self.object.id, &mut bytes);
        bytes
    }

    /// Where what follows begins, in bytes from a shard's beginning.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> u64 {
        self.root.segments()
    }

    /// The root over the records of all segments, of which there is one at least.
    pub(crate) fn root(&self) -> Hash {
        self.root.root()
    }
}
