//! The header of a shard.

use crate::cipher::Cipher;
use crate::error::{HeaderError, NoSuchShard, UnwrapError};
use crate::geometry::{Geometry, SegmentSize};
use crate::key::{Key, KeyId, LABEL_LEN, Label};
use crate::merkle::{CHECK_LEN, Domain, check};
use crate::object::{DataKey, MAGIC, ObjectHeader, ObjectId, VERSION, WRAPPED_LEN, WrappedKey};

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 120;
/// Where the fields stand that rotation writes anew.
const KEY_AT: usize = 56;
const CHECK_AT: usize = HEADER_LEN - CHECK_LEN;

/// The header of one shard, as it stands there. Nobody vouches for it: a wrong one opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    object: ObjectHeader,
    index: u8,
    key_id: KeyId,
    wrapped: WrappedKey,
}

impl Header {
    /// The header of shard 0 of an object whose data key the holders of `key` can unwrap.
    #[must_use]
    pub fn new(object: ObjectHeader, data_key: &DataKey, key: &Key) -> Self {
        Self {
            object,
            index: 0,
            key_id: key.id(),
            wrapped: data_key.wrap(key, &object),
        }
    }

    /// The same header in another shard.
    ///
    /// # Errors
    /// Fails if the object has no such shard.
    pub fn of_shard(self, index: u8) -> Result<Self, NoSuchShard> {
        let pieces = self.object.geometry.pieces();
        if u16::from(index) >= pieces {
            return Err(NoSuchShard { index, pieces });
        }
        Ok(Self { index, ..self })
    }

    /// The same header for the holders of another key. No other byte of the shard changes.
    #[must_use]
    pub fn rewrapped(self, data_key: &DataKey, key: &Key) -> Self {
        Self {
            key_id: key.id(),
            wrapped: data_key.wrap(key, &self.object),
            ..self
        }
    }

    /// Reads the header that `shard` begins with.
    ///
    /// # Errors
    /// See [`HeaderError`]: a damaged header is called damaged, and one of a later version that.
    pub fn parse(shard: &[u8]) -> Result<Self, HeaderError> {
        let bytes = judge_front(shard)?;
        let mut fields = Fields(&bytes[MAGIC.len() + 1..]);
        let [cipher, data, parity, index] = fields.next();
        let cipher = Cipher::from_code(cipher).ok_or(HeaderError::Cipher(cipher))?;
        if check(Domain::Header, &[&bytes[..CHECK_AT]]) != bytes[CHECK_AT..] {
            return Err(HeaderError::Check);
        }
        let geometry = Geometry::new(data, parity).map_err(HeaderError::Geometry)?;
        let pieces = geometry.pieces();
        if u16::from(index) >= pieces {
            return Err(HeaderError::Index { index, pieces });
        }
        let segment_size = SegmentSize::new(u32::from_be_bytes(fields.next()));
        let segment_size = segment_size.map_err(HeaderError::SegmentSize)?;
        let id = ObjectId(fields.next());
        let label = Label::from_field(fields.next::<LABEL_LEN>()).ok_or(HeaderError::Label)?;
        Ok(Self {
            object: ObjectHeader {
                cipher,
                geometry,
                segment_size,
                id,
                label,
            },
            index,
            key_id: KeyId(fields.next()),
            wrapped: fields.next(),
        })
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let object = self.object.to_bytes();
        let (front, rest) = object.split_at(INDEX_AT);
        bytes[..INDEX_AT].copy_from_slice(front);
        bytes[INDEX_AT] = self.index;
        bytes[INDEX_AT + 1..KEY_AT].copy_from_slice(rest);
        let (key_id, wrapped) = bytes[KEY_AT..CHECK_AT].split_at_mut(self.key_id.0.len());
        key_id.copy_from_slice(&self.key_id.0);
        wrapped.copy_from_slice(&self.wrapped);
        let check = check(Domain::Header, &[&bytes[..CHECK_AT]]);
        bytes[CHECK_AT..].copy_from_slice(&check);
        bytes
    }

    /// What all shards of the object have in common.
    #[must_use]
    pub fn object(&self) -> &ObjectHeader {
        &self.object
    }

    /// Which shard it is, counted from 0.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The key whose holders can unwrap the data key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The data key under that key.
    #[must_use]
    pub fn wrapped(&self) -> &WrappedKey {
        &self.wrapped
    }

    /// The object's data key.
    ///
    /// # Errors
    /// Fails if `key` is another key than the one it was wrapped under, or something was changed.
    pub fn unwrap_key(&self, key: &Key) -> Result<DataKey, UnwrapError> {
        DataKey::unwrap(&self.wrapped, key, &self.object)
    }
}

const INDEX_AT: usize = 11;
const _: () = assert!(KEY_AT + 8 + WRAPPED_LEN == CHECK_AT);

/// The bytes of what begins like a shard of this version.
fn judge_front(shard: &[u8]) -> Result<&[u8; HEADER_LEN], HeaderError> {
    let magic = &shard[..shard.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(HeaderError::Magic);
    }
    match shard.get(MAGIC.len()) {
        Some(&VERSION) | None => {}
        Some(&other) => return Err(HeaderError::Version(other)),
    }
    shard
        .first_chunk()
        .ok_or(HeaderError::Cut { got: shard.len() })
}

/// Hands out fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .expect("a header is as long as its fields");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{GeometryError, SegmentSizeError};

    fn header() -> Header {
        let object = ObjectHeader {
            cipher: Cipher::XChaCha20Poly1305,
            geometry: Geometry::new(2, 1).unwrap(),
            segment_size: SegmentSize::MIN,
            id: ObjectId([5; 16]),
            label: Label::new("test").unwrap(),
        };
        let data_key = DataKey::from_random([6; 32]);
        Header::new(object, &data_key, &Key::from_bytes([7; 32]))
    }

    /// The header with one field changed, and a check that matches.
    fn written_wrong(at: usize, field: &[u8]) -> Result<Header, HeaderError> {
        let mut bytes = header().to_bytes();
        bytes[at..at + field.len()].copy_from_slice(field);
        let check = check(Domain::Header, &[&bytes[..CHECK_AT]]);
        bytes[CHECK_AT..].copy_from_slice(&check);
        Header::parse(&bytes)
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for index in 0..3 {
            let header = header().of_shard(index).unwrap();
            let mut bytes = header.to_bytes().to_vec();
            bytes.extend_from_slice(b"segments");
            assert_eq!(Header::parse(&bytes), Ok(header));
        }
        let none = NoSuchShard {
            index: 3,
            pieces: 3,
        };
        assert_eq!(header().of_shard(3), Err(none));
    }

    #[test]
    fn a_field_that_was_written_wrong_is_named() {
        let check = |at, field: &[u8], error| assert_eq!(written_wrong(at, field), Err(error));
        check(0, b"prplces", HeaderError::Magic);
        check(7, &[2], HeaderError::Version(2));
        check(8, &[0], HeaderError::Cipher(0));
        check(8, &[3], HeaderError::Cipher(3));
        check(
            9,
            &[0],
            HeaderError::Geometry(GeometryError::Data { got: 0 }),
        );
        let parity = GeometryError::Parity { got: 129 };
        check(10, &[129], HeaderError::Geometry(parity));
        let index = HeaderError::Index {
            index: 3,
            pieces: 3,
        };
        check(11, &[3], index);
        let size = SegmentSizeError { got: 65_537 };
        check(
            12,
            &65_537_u32.to_be_bytes(),
            HeaderError::SegmentSize(size),
        );
        check(32, b"Test", HeaderError::Label);
        check(37, b"x", HeaderError::Label);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_and_never_called_a_wrong_writer() {
        let bytes = header().to_bytes();
        for bit in 0..8 * HEADER_LEN {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = Header::parse(&damaged).unwrap_err();
            let expected = match bit / 8 {
                0..7 => matches!(error, HeaderError::Magic),
                7 => matches!(error, HeaderError::Version(_)),
                // Two ciphers are two bits apart: no flipped bit makes one of the other.
                8 => matches!(error, HeaderError::Cipher(_)),
                _ => error == HeaderError::Check,
            };
            assert!(expected, "bit {bit}: {error:?}");
        }
    }

    #[test]
    fn what_is_short_is_no_shard_or_the_beginning_of_one() {
        let bytes = header().to_bytes();
        for got in 0..HEADER_LEN {
            let error = Header::parse(&bytes[..got]).unwrap_err();
            assert_eq!(error, HeaderError::Cut { got });
        }
        assert_eq!(Header::parse(b"PK"), Err(HeaderError::Magic));
        let later = Header::parse(b"PRPLCES\x02").unwrap_err();
        assert_eq!(later, HeaderError::Version(2));
    }

    #[test]
    fn rotation_changes_bytes_56_to_120_and_nothing_else() {
        let (old, new) = (Key::from_bytes([7; 32]), Key::from_bytes([8; 32]));
        let before = header().of_shard(2).unwrap();
        let data_key = before.unwrap_key(&old).unwrap();
        let after = before.rewrapped(&data_key, &new);
        let (front, bytes) = (&before.to_bytes()[..KEY_AT], after.to_bytes());
        assert_eq!(*front, bytes[..KEY_AT]);
        assert_eq!(after.key_id(), new.id());
        assert!(after.unwrap_key(&new).is_ok());
        assert!(after.unwrap_key(&old).is_err());
    }
}
