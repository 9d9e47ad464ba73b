//! What an object is: the names it has, and the keys it is made of.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cipher::{Cipher, PayloadKey};
use crate::error::{HexError, UnwrapError};
use crate::geometry::{Geometry, SegmentSize};
use crate::key::{Key, LABEL_LEN, Label, hkdf};
use crate::merkle::Hash;

/// Length of an object header, in bytes.
pub const OBJECT_HEADER_LEN: usize = 55;
/// Length of a wrapped data key, in bytes: AES Key Wrap adds a block of 64 bits.
pub const WRAPPED_LEN: usize = 40;
pub(crate) const MAGIC: &[u8; 7] = b"PRPLCES";
pub(crate) const VERSION: u8 = 1;

const WRAP_INFO: &[u8] = b"propeller ces v1 wrap";
const PAYLOAD_INFO: &[u8] = b"propeller ces v1 payload";
const MAC_INFO: &[u8] = b"propeller ces v1 mac";

/// Names an object. It is random, so that no two objects ever share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub [u8; 16]);

/// Names one object and everything in it, rotation included, and says nothing about the plaintext.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub Hash);

/// Text of a name that is bytes: lower-case hexadecimal digits, read in either case.
macro_rules! hex_text {
    ($name:ident, $len:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                let mut bytes = [0; $len];
                // Judged before it is decoded: the decoder wants room for exactly as much.
                if text.len() != 2 * $len {
                    return Err(HexError { digits: 2 * $len });
                }
                data_encoding::HEXLOWER_PERMISSIVE
                    .decode_mut(text.as_bytes(), &mut bytes)
                    .map_err(|_| HexError { digits: 2 * $len })?;
                Ok(Self(bytes))
            }
        }
    };
}

hex_text!(ObjectId, 16);
hex_text!(Digest, 32);

/// What all shards of an object have in common, and what is bound into every key of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHeader {
    /// What segments are sealed with.
    pub cipher: Cipher,
    /// How many pieces a segment is coded into.
    pub geometry: Geometry,
    /// How much plaintext a segment carries.
    pub segment_size: SegmentSize,
    /// The object's id.
    pub id: ObjectId,
    /// The environment that the object belongs to.
    pub label: Label,
}

impl ObjectHeader {
    /// Bytes 0 to 11 and 12 to 56 of every header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; OBJECT_HEADER_LEN] {
        let mut bytes = [0; OBJECT_HEADER_LEN];
        let (front, rest) = bytes.split_at_mut(self.front().len());
        front.copy_from_slice(&self.front());
        let (size, rest) = rest.split_at_mut(4);
        size.copy_from_slice(&self.segment_size.bytes().to_be_bytes());
        let (id, label) = rest.split_at_mut(self.id.0.len());
        id.copy_from_slice(&self.id.0);
        label.copy_from_slice(self.label.field());
        bytes
    }

    /// What stands before the shard's index.
    fn front(&self) -> [u8; 11] {
        let [p, r, q, l, c, e, s] = *MAGIC;
        let (data, parity) = (self.geometry.data(), self.geometry.parity());
        let cipher = self.cipher.code();
        [p, r, q, l, c, e, s, VERSION, cipher, data, parity]
    }

    fn wrap_key(&self, key: &Key) -> AesKek {
        let info = [WRAP_INFO, &self.to_bytes()];
        let wrap_key = hkdf::<32>(key.secret(), &self.id.0, &info);
        AesKek::new(&AES_256, &*wrap_key).expect("the key is 32 bytes")
    }
}

const _: () = assert!(OBJECT_HEADER_LEN == 11 + 4 + 16 + LABEL_LEN);

/// The data key of one object, under a key that is named beside it.
pub type WrappedKey = [u8; WRAPPED_LEN];

/// The key of one object, from which its other keys are derived. Every object has a fresh one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// Takes 32 random bytes, which no other object has.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// `KW(wrap key, data key)`: the data key for the holders of `key`.
    #[must_use]
    pub fn wrap(&self, key: &Key, object: &ObjectHeader) -> WrappedKey {
        let mut wrapped = [0; WRAPPED_LEN];
        object
            .wrap_key(key)
            .wrap(&self.0, &mut wrapped)
            .expect("32 bytes wrap to 40");
        wrapped
    }

    /// The data key that was wrapped under `key` for this object.
    ///
    /// # Errors
    /// Fails if the key is another one, or the object header or the wrapped key was changed.
    pub fn unwrap(
        wrapped: &WrappedKey,
        key: &Key,
        object: &ObjectHeader,
    ) -> Result<Self, UnwrapError> {
        let mut data_key = Zeroizing::new([0; 32]);
        match object.wrap_key(key).unwrap(wrapped, &mut *data_key) {
            Ok(_) => Ok(Self(*data_key)),
            Err(_) => Err(UnwrapError { key: key.id() }),
        }
    }

    /// The keys that segments are sealed, and records and footer authenticated with.
    #[must_use]
    pub fn keys(&self, object: &ObjectHeader) -> ObjectKeys {
        let header = object.to_bytes();
        let derive = |info| hkdf::<32>(&self.0, &object.id.0, &[info, &header]);
        ObjectKeys {
            payload: PayloadKey::new(object.cipher, &derive(PAYLOAD_INFO)),
            mac: MacKey(derive(MAC_INFO)),
        }
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// The keys of one object. They are bound to its whole object header.
#[derive(Debug)]
pub struct ObjectKeys {
    pub(crate) payload: PayloadKey,
    pub(crate) mac: MacKey,
}

impl ObjectKeys {
    /// The key that authenticates records and footer.
    #[must_use]
    pub fn mac(&self) -> &MacKey {
        &self.mac
    }
}

/// What a MAC is of: the first byte of everything that is authenticated.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum MacDomain {
    Record = 0x00,
    Footer = 0x01,
}

/// The key that authenticates records and footer of one object.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    /// `B3(mac key; domain ‖ parts)`.
    ///
    /// A [`blake3::Hash`] is compared in constant time.
    pub(crate) fn mac(&self, domain: MacDomain, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[domain as u8]);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ObjectHeader {
        ObjectHeader {
            cipher: Cipher::Aes256Gcm,
            geometry: Geometry::default(),
            segment_size: SegmentSize::default(),
            id: ObjectId([1; 16]),
            label: Label::new("production").unwrap(),
        }
    }

    /// Mistake 6 of the older implementation: any shards under a key opened as any object.
    #[test]
    fn every_field_of_the_object_header_is_bound_into_every_key() {
        let (key, data_key) = (Key::from_bytes([7; 32]), DataKey::from_random([8; 32]));
        let object = object();
        let wrapped = data_key.wrap(&key, &object);
        let mac = |object: &ObjectHeader| data_key.keys(object).mac().mac(MacDomain::Record, &[]);
        let other = |change: fn(&mut ObjectHeader)| {
            let mut other = object;
            change(&mut other);
            other
        };
        for other in [
            other(|o| o.cipher = Cipher::XChaCha20Poly1305),
            other(|o| o.geometry = Geometry::new(8, 5).unwrap()),
            other(|o| o.geometry = Geometry::new(9, 4).unwrap()),
            other(|o| o.segment_size = SegmentSize::MIN),
            other(|o| o.id = ObjectId([2; 16])),
            other(|o| o.label = Label::NONE),
        ] {
            let error = DataKey::unwrap(&wrapped, &key, &other).unwrap_err();
            assert_eq!(error, UnwrapError { key: key.id() }, "{other:?}");
            assert_ne!(mac(&object), mac(&other), "{other:?}");
        }
        let unwrapped = DataKey::unwrap(&wrapped, &key, &object).unwrap();
        assert_eq!(unwrapped.0, data_key.0);
    }

    /// Mistake 13: rotation has to be a new wrapping, and trying no keys.
    #[test]
    fn a_data_key_is_wrapped_anew_and_stays_the_same() {
        let (old, new) = (Key::from_bytes([7; 32]), Key::from_bytes([9; 32]));
        let object = object();
        let wrapped = DataKey::from_random([8; 32]).wrap(&old, &object);
        let again = DataKey::unwrap(&wrapped, &old, &object).unwrap();
        let rewrapped = again.wrap(&new, &object);
        assert_ne!(rewrapped, wrapped);
        assert!(DataKey::unwrap(&rewrapped, &old, &object).is_err());
        let unwrapped = DataKey::unwrap(&rewrapped, &new, &object).unwrap();
        assert_eq!(unwrapped.0, [8; 32]);
    }

    #[test]
    fn names_are_hexadecimal() {
        let id = ObjectId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!("AB".repeat(16).parse(), Ok(id));
        for text in ["ab".repeat(15), "ab".repeat(17), "xy".repeat(16)] {
            let error = text.parse::<ObjectId>().unwrap_err();
            assert_eq!(error, HexError { digits: 32 }, "{text}");
        }
        let digest = Digest([0x0f; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn nothing_shows_a_secret() {
        let keys = DataKey::from_random([8; 32]).keys(&object());
        let shown = format!("{keys:?} {:?}", DataKey::from_random([8; 32]));
        assert_eq!(
            shown,
            "ObjectKeys { payload: PayloadKey(Aes256Gcm), mac: MacKey } DataKey"
        );
    }
}
