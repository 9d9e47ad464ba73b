//! The record of a segment, and its piece in one shard.

use crate::cipher::{AAD_LEN, NONCE_LEN, Nonce, TAG_LEN};
use crate::error::{PieceError, RecordError};
use crate::merkle::{HASH_LEN, Hash, leaf, root_above};
use crate::object::{MacDomain, MacKey, ObjectHeader};

/// Length of a record, in bytes.
pub const RECORD_LEN: usize = 97;
/// What the MAC covers of a record.
const AUTHENTICATED_LEN: usize = RECORD_LEN - HASH_LEN;
const COMPRESSED: u8 = 0b01;
const LAST: u8 = 0b10;
pub(crate) const SEALED_LEN_MIN: u32 = 16;

/// Where a segment stands in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its number, counted from 0.
    pub number: u32,
    /// Whether the object ends with it.
    pub is_last: bool,
}

/// A record that is believed: its object's key vouches for it, or the object's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    bytes: [u8; RECORD_LEN],
    fields: Fields,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) position: Position,
    pub(crate) is_compressed: bool,
    pub(crate) plain_len: u32,
    pub(crate) sealed_len: u32,
    pub(crate) nonce: Nonce,
    pub(crate) root: Hash,
}

impl Record {
    /// Believes the record of segment `number` because the object's key vouches for it.
    ///
    /// The MAC is judged before what it covers, so that a damaged record is called damaged.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn authenticate(
        bytes: &[u8; RECORD_LEN],
        number: u32,
        object: &ObjectHeader,
        key: &MacKey,
    ) -> Result<Self, RecordError> {
        let (covered, mac) = bytes
            .split_last_chunk::<HASH_LEN>()
            .expect("a record is longer than its MAC");
        if key.mac(MacDomain::Record, &[&number.to_be_bytes(), covered]) != *mac {
            return Err(RecordError::Mac { number });
        }
        let record = UnprovenRecord::parse(bytes, number, object)?;
        Ok(record.0)
    }

    /// The record that a writer vouches for.
    pub(crate) fn write(fields: Fields, key: &MacKey) -> Self {
        let mut bytes = [0; RECORD_LEN];
        let (covered, mac) = bytes.split_at_mut(AUTHENTICATED_LEN);
        covered[0] = fields.flags();
        covered[1..5].copy_from_slice(&fields.plain_len.to_be_bytes());
        covered[5..9].copy_from_slice(&fields.sealed_len.to_be_bytes());
        covered[9..33].copy_from_slice(&fields.nonce.0);
        covered[33..].copy_from_slice(&fields.root);
        let number = fields.position.number.to_be_bytes();
        mac.copy_from_slice(key.mac(MacDomain::Record, &[&number, covered]).as_bytes());
        Self { bytes, fields }
    }

    /// The record's bytes, which are the same in every shard.
    #[must_use]
    pub fn bytes(&self) -> &[u8; RECORD_LEN] {
        &self.bytes
    }

    /// Where the segment stands in its object.
    #[must_use]
    pub fn position(&self) -> Position {
        self.fields.position
    }

    /// Whether the segment was compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.fields.is_compressed
    }

    /// Length of the segment's plaintext, in bytes.
    #[must_use]
    pub fn plain_len(&self) -> u32 {
        self.fields.plain_len
    }

    /// Length of the sealed segment, before it was padded and cut into pieces, in bytes.
    #[must_use]
    pub fn sealed_len(&self) -> u32 {
        self.fields.sealed_len
    }

    /// Root of the tree over the segment's pieces.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.fields.root
    }

    /// Believes a piece because its path leads from its leaf to this record's root.
    ///
    /// # Errors
    /// See [`PieceError`]: such a piece is missing.
    pub fn verify_piece(
        &self,
        object: &ObjectHeader,
        index: u8,
        path: &[u8],
        piece: &[u8],
    ) -> Result<(), PieceError> {
        let number = self.fields.position.number;
        let expected = object.geometry.piece_len(self.fields.sealed_len);
        let (path, rest) = path.as_chunks::<HASH_LEN>();
        let depth = object.geometry.depth() as usize;
        if piece.len() != expected as usize || path.len() != depth || !rest.is_empty() {
            return Err(PieceError::Length { number, index });
        }
        // Otherwise a path could lead there from a leaf that stands for no piece.
        let is_piece = u16::from(index) < object.geometry.pieces();
        let root = root_above(leaf(&object.id, number, index, piece), index, path);
        if !is_piece || root != self.fields.root {
            return Err(PieceError::Root { number, index });
        }
        Ok(())
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// A record whose fields are allowed, and that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnprovenRecord(Record);

impl UnprovenRecord {
    /// Judges the fields of the record of segment `number`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(
        bytes: &[u8; RECORD_LEN],
        number: u32,
        object: &ObjectHeader,
    ) -> Result<Self, RecordError> {
        let fields = Fields::read(bytes, number, object)?;
        fields.judge(object)?;
        Ok(Self(Record {
            bytes: *bytes,
            fields,
        }))
    }

    /// Length of the sealed segment, before it was padded and cut into pieces, in bytes.
    #[must_use]
    pub fn sealed_len(&self) -> u32 {
        self.0.fields.sealed_len
    }

    /// Where the segment stands in its object.
    #[must_use]
    pub fn position(&self) -> Position {
        self.0.fields.position
    }

    /// Believes the record for now, without the object's key.
    ///
    /// Whoever calls it adds every record to a [`RootBuilder`](crate::format::RootBuilder), and
    /// lets nothing out before the root is the one that a footer with the object's digest has.
    #[must_use]
    pub fn believe_until_the_root(self) -> Record {
        self.0
    }
}

impl Fields {
    fn read(
        bytes: &[u8; RECORD_LEN],
        number: u32,
        object: &ObjectHeader,
    ) -> Result<Self, RecordError> {
        let length = |at: usize| {
            let field = bytes[at..].first_chunk().expect("the field is inside");
            u32::from_be_bytes(*field)
        };
        let got = bytes[0];
        if got & !(COMPRESSED | LAST) != 0 {
            return Err(RecordError::Flags { number, got });
        }
        let nonce: &[u8; NONCE_LEN] = bytes[9..].first_chunk().expect("the field is inside");
        let nonce = object.cipher.nonce_from_field(*nonce);
        Ok(Self {
            position: Position {
                number,
                is_last: got & LAST != 0,
            },
            is_compressed: got & COMPRESSED != 0,
            plain_len: length(1),
            sealed_len: length(5),
            nonce: nonce.ok_or(RecordError::Nonce { number })?,
            root: *bytes[33..].first_chunk().expect("the field is inside"),
        })
    }

    /// The lengths have to be those of a segment at this place.
    fn judge(&self, object: &ObjectHeader) -> Result<(), RecordError> {
        let Position { number, is_last } = self.position;
        let size = object.segment_size.bytes();
        let body = match self.sealed_len.checked_sub(SEALED_LEN_MIN) {
            Some(body) if body <= size => body,
            _ => {
                let got = self.sealed_len;
                return Err(RecordError::SealedLength { number, got });
            }
        };
        let fits_body = match self.is_compressed {
            true => body < self.plain_len,
            false => body == self.plain_len,
        };
        let fits_place = match (is_last, number) {
            (false, _) => self.plain_len == size,
            (true, 0) => self.plain_len <= size,
            (true, _) => (1..=size).contains(&self.plain_len),
        };
        match fits_body && fits_place {
            true => Ok(()),
            false => Err(RecordError::PlainLength {
                number,
                got: self.plain_len,
            }),
        }
    }

    pub(crate) fn flags(&self) -> u8 {
        let compressed = if self.is_compressed { COMPRESSED } else { 0 };
        let last = if self.position.is_last { LAST } else { 0 };
        compressed | last
    }

    /// `u32(s) ‖ flags ‖ u32(plain length)`.
    pub(crate) fn aad(&self) -> [u8; AAD_LEN] {
        let mut aad = [0; AAD_LEN];
        aad[..4].copy_from_slice(&self.position.number.to_be_bytes());
        aad[4] = self.flags();
        aad[5..].copy_from_slice(&self.plain_len.to_be_bytes());
        aad
    }
}

const _: () = assert!(TAG_LEN == SEALED_LEN_MIN as usize);

#[cfg(test)]
mod tests;
