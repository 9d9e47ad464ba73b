//! Segments: compressed, sealed, coded and hashed, and back.
//!
//! A writer and a reader keep their buffers: after the first segment nothing is allocated.

mod coder;
mod compression;
#[cfg(test)]
mod tests;

pub use coder::ObjectCoder;
pub use compression::{Compression, Level};

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroize;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, compress_bound, find_frame_compressed_size, get_error_name,
};

use crate::cipher::{NONCE_LEN, TAG_LEN};
use crate::error::{OpenError, SealError};
use crate::merkle::{HASH_LEN, PieceTree, leaf};
use crate::object::ObjectHeader;
use crate::record::{Fields, Position, RECORD_LEN, Record, SEALED_LEN_MIN};
use crate::wiped::Wiped;

/// Makes pieces of plaintext.
pub struct SegmentWriter {
    coder: Arc<ObjectCoder>,
    compressor: Option<CCtx<'static>>,
    tree: PieceTree,
}

/// A segment as it stands in the shards. Before the first one was sealed into it, it is empty.
#[derive(Default)]
pub struct SealedSegment {
    sealed_len: u32,
    piece_len: usize,
    data_len: usize,
    head_len: usize,
    /// Of each shard, the record and the path.
    heads: Vec<u8>,
    /// The data pieces, and room behind them. Plaintext stands here while it is compressed.
    data: Wiped,
    parity: Vec<u8>,
}

impl SegmentWriter {
    /// A writer of one object's segments.
    #[must_use]
    pub fn new(coder: Arc<ObjectCoder>, compression: Compression) -> Self {
        let compressor = match compression {
            Compression::Off => None,
            Compression::Zstd(Level(level)) => {
                let mut context = CCtx::create();
                context
                    .set_parameter(CParameter::CompressionLevel(level))
                    .expect("zstd knows levels 1 to 22");
                Some(context)
            }
        };
        Self {
            coder,
            compressor,
            tree: PieceTree::default(),
        }
    }

    /// Compresses, seals, codes and hashes the plaintext of the segment at `position` into `out`.
    ///
    /// `random` is fresh for every segment: two under one nonce give both away.
    ///
    /// # Errors
    /// Fails if a segment at this place does not carry as much, or if there is no memory.
    pub fn seal(
        &mut self,
        plain: &[u8],
        position: Position,
        random: [u8; NONCE_LEN],
        out: &mut SealedSegment,
    ) -> Result<(), SealError> {
        let coder = Arc::clone(&self.coder);
        let plain_len = carried(plain, position, coder.object())?;
        let data_count = usize::from(coder.object().geometry.data());
        let room = compress_bound(plain.len()) + TAG_LEN + data_count;
        if out.data.len() < room {
            // A vector that grows in place would leave a copy of what it held behind.
            out.data = Wiped::zeros(room);
        }
        let compressed = self.compress(plain, position.number, &mut out.data)?;
        let body_len = compressed.unwrap_or(plain_len);
        let mut fields = Fields {
            position,
            is_compressed: compressed.is_some(),
            plain_len,
            sealed_len: body_len + SEALED_LEN_MIN,
            nonce: coder.object().cipher.nonce(random),
            root: [0; HASH_LEN],
        };
        let sealed = &mut out.data[..fields.sealed_len as usize];
        let payload = &coder.keys().payload;
        match fields.is_compressed {
            true => payload.seal_in_place(&fields.nonce, fields.aad(), sealed),
            false => payload.seal(&fields.nonce, fields.aad(), plain, sealed),
        }
        out.cut(fields.sealed_len, &coder);
        let object = coder.object();
        let leaves = (0..=u8::MAX).zip(out.pieces());
        let leaves = leaves.map(|(i, piece)| leaf(&object.id, position.number, i, piece));
        self.tree.build(object.geometry, leaves);
        fields.root = *self.tree.root();
        out.head(
            &Record::write(fields, &coder.keys().mac),
            &self.tree,
            object,
        );
        Ok(())
    }

    /// The frame's length, if it is shorter than the plaintext; the frame begins `data`.
    fn compress(
        &mut self,
        plain: &[u8],
        number: u32,
        data: &mut [u8],
    ) -> Result<Option<u32>, SealError> {
        let Some(context) = &mut self.compressor else {
            return Ok(None);
        };
        match context.compress2(data, plain) {
            Ok(len) if len < plain.len() => Ok(Some(
                u32::try_from(len).expect("a segment is at most 8 MiB"),
            )),
            Ok(_) => Ok(None),
            Err(code) => Err(SealError::Compress {
                number,
                reason: get_error_name(code),
            }),
        }
    }
}

/// The length of `plain`, if the segment at `position` carries exactly as much.
fn carried(plain: &[u8], position: Position, object: &ObjectHeader) -> Result<u32, SealError> {
    let Position { number, is_last } = position;
    let size = object.segment_size.bytes();
    let least = match (is_last, number) {
        (false, _) => size,
        (true, 0) => 0,
        (true, _) => 1,
    };
    match u32::try_from(plain.len()) {
        Ok(len) if (least..=size).contains(&len) => Ok(len),
        _ => Err(SealError::Length {
            number,
            got: plain.len(),
        }),
    }
}

impl SealedSegment {
    /// A place for a segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Length of the sealed segment, which the index remembers, in bytes.
    #[must_use]
    pub fn sealed_len(&self) -> u32 {
        self.sealed_len
    }

    /// The record, which the segments' root is built over.
    ///
    /// # Panics
    /// If nothing has been sealed yet.
    #[must_use]
    pub fn record(&self) -> &[u8; RECORD_LEN] {
        let record = self.heads.first_chunk();
        record.expect("a segment has been sealed into it")
    }

    /// What stands before the piece in shard `index`: the record and the path.
    ///
    /// # Panics
    /// If the object has no such shard.
    #[must_use]
    pub fn head_of(&self, index: u8) -> &[u8] {
        let from = usize::from(index) * self.head_len;
        &self.heads[from..from + self.head_len]
    }

    /// The piece in shard `index`.
    ///
    /// # Panics
    /// If the object has no such shard.
    #[must_use]
    pub fn piece_of(&self, index: u8) -> &[u8] {
        let from = usize::from(index) * self.piece_len;
        let (pieces, from) = match from.checked_sub(self.data_len) {
            Some(from) => (&*self.parity, from),
            None => (&**self.data, from),
        };
        &pieces[from..from + self.piece_len]
    }

    /// Pads what is sealed, cuts it into pieces, and codes the others.
    fn cut(&mut self, sealed_len: u32, coder: &ObjectCoder) {
        let geometry = coder.object().geometry;
        self.sealed_len = sealed_len;
        self.piece_len = geometry.piece_len(sealed_len) as usize;
        self.data_len = usize::from(geometry.data()) * self.piece_len;
        self.data[sealed_len as usize..self.data_len].fill(0);
        let parity_len = usize::from(geometry.parity()) * self.piece_len;
        self.parity.resize(parity_len, 0);
        coder
            .code()
            .encode(
                &self.data[..self.data_len],
                &mut self.parity,
                self.piece_len,
            )
            .expect("both buffers hold their pieces");
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let data = self.data[..self.data_len].chunks_exact(self.piece_len);
        data.chain(self.parity.chunks_exact(self.piece_len))
    }

    /// Puts together what stands before each piece.
    fn head(&mut self, record: &Record, tree: &PieceTree, object: &ObjectHeader) {
        self.head_len = object.geometry.head_len();
        self.heads.clear();
        for index in (0..=u8::MAX).take(usize::from(object.geometry.pieces())) {
            self.heads.extend_from_slice(record.bytes());
            for sibling in tree.path(index) {
                self.heads.extend_from_slice(sibling);
            }
        }
    }
}

/// Makes plaintext of data pieces.
pub struct SegmentReader {
    coder: Arc<ObjectCoder>,
    decompressor: DCtx<'static>,
}

impl SegmentReader {
    /// A reader of one object's segments.
    #[must_use]
    pub fn new(coder: Arc<ObjectCoder>) -> Self {
        Self {
            coder,
            decompressor: DCtx::create(),
        }
    }

    /// Opens a segment whose data pieces stand one after the other in `data`, and puts its plaintext
    /// in the place of what `out` holds.
    ///
    /// `data` may be overwritten. `out` is empty if this fails. It keeps its memory: give the same
    /// one again.
    ///
    /// # Errors
    /// See [`OpenError`]. With pieces that are believed, only a wrong writer causes one.
    pub fn open(
        &mut self,
        record: &Record,
        data: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let fields = record.fields();
        let opened = match fields.is_compressed {
            true => self.decompress(fields, data, out),
            false => self.open_into(fields, data, out),
        };
        if opened.is_err() {
            // Perhaps what no tag has been checked of.
            out.zeroize();
        }
        opened
    }

    /// As [`open`](Self::open), except that what was not compressed begins `data` then, and `out` is
    /// left alone: it takes half the memory.
    ///
    /// # Errors
    /// See [`OpenError`]. What `data` holds then is nobody's.
    pub(crate) fn open_in_place(
        &mut self,
        record: &Record,
        data: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        if record.is_compressed() {
            return self.open(record, data, out);
        }
        self.unseal(record.fields(), data)?;
        Ok(())
    }

    fn open_into(
        &self,
        fields: &Fields,
        data: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let number = fields.position.number;
        let sealed = unpadded(fields, data, self.coder.object())?;
        // Every segment but the last has one length, so that this writes nothing but once.
        out.resize(fields.plain_len as usize, 0);
        let payload = &self.coder.keys().payload;
        payload
            .open(&fields.nonce, fields.aad(), sealed, out)
            .map_err(|_| OpenError::Sealed { number })
    }

    /// Opens what is sealed where it stands.
    fn unseal<'a>(&self, fields: &Fields, data: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let number = fields.position.number;
        let sealed = unpadded(fields, data, self.coder.object())?;
        let payload = &self.coder.keys().payload;
        let opened = payload.open_in_place(&fields.nonce, fields.aad(), sealed);
        Ok(opened.map_err(|_| OpenError::Sealed { number })?)
    }

    fn decompress(
        &mut self,
        fields: &Fields,
        data: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let number = fields.position.number;
        let frame = self.unseal(fields, data)?;
        let is_one_frame = find_frame_compressed_size(frame) == Ok(frame.len());
        // As above.
        out.resize(fields.plain_len as usize, 0);
        let room = out.as_mut_slice();
        let len = self.decompressor.decompress(room, frame);
        match is_one_frame && len == Ok(fields.plain_len as usize) {
            true => Ok(()),
            false => Err(OpenError::Compressed { number }),
        }
    }
}

/// The sealed bytes in the data pieces, without their padding.
fn unpadded<'a>(
    fields: &Fields,
    data: &'a mut [u8],
    object: &ObjectHeader,
) -> Result<&'a mut [u8], OpenError> {
    let number = fields.position.number;
    let geometry = object.geometry;
    let piece_len = geometry.piece_len(fields.sealed_len) as usize;
    let (expected, got) = (usize::from(geometry.data()) * piece_len, data.len());
    if got != expected {
        return Err(OpenError::Length {
            number,
            expected,
            got,
        });
    }
    let (sealed, padding) = data.split_at_mut(fields.sealed_len as usize);
    match padding.iter().all(|byte| *byte == 0) {
        true => Ok(sealed),
        false => Err(OpenError::Padding { number }),
    }
}

impl fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compresses = self.compressor.is_some();
        f.debug_struct("SegmentWriter")
            .field("object", &self.coder.object())
            .field("compresses", &compresses)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSegment")
            .field("sealed_len", &self.sealed_len)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader")
            .field("object", &self.coder.object())
            .finish_non_exhaustive()
    }
}
