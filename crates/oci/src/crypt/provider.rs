//! Keys that a key provider keeps: the packets of Confidential Containers.
//!
//! ```json
//! {"kid":"kbs:///default/key/app","wrapped_data":"<base64>","iv":"<base64>","wrap_type":"A256GCM"}
//! ```
//!
//! The options of a layer's key are encrypted by AES-256-GCM under a key of 32 bytes, without any
//! additional data. `kid` says where the provider keeps that key; only who may fetch it there opens
//! the layer.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::EncryptError;

/// How it is wrapped. Counter mode, which the format also names, authenticates nothing, and nobody
/// writes it.
const WRAP_TYPE: &str = "A256GCM";
const TAG_LEN: usize = 16;

/// A key that a provider keeps, and where it keeps it.
pub struct WrappingKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

impl WrappingKey {
    /// The key that is kept at `id`, such as `kbs:///default/key/app`.
    #[must_use]
    pub fn new(id: String, key: Zeroizing<[u8; 32]>) -> Self {
        Self { id, key }
    }

    /// Where it is kept.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        let key = UnboundKey::new(&AES_256_GCM, &*self.key).ok()?;
        Some(LessSafeKey::new(key))
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappingKey({})", self.id)
    }
}

/// A key of a layer, wrapped under a provider's.
#[derive(Serialize, Deserialize)]
pub(super) struct Packet {
    /// Where the key is that opens it.
    pub(super) kid: String,
    // Of these, packets of providers that have formats of their own leave some out.
    #[serde(default)]
    wrapped_data: String,
    #[serde(default)]
    iv: String,
    #[serde(default)]
    wrap_type: String,
}

impl Packet {
    /// `None` if it is not the JSON of one.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether it can be opened at all.
    pub(super) fn is_supported(&self) -> bool {
        self.wrap_type == WRAP_TYPE
    }

    /// The key options in it, if `key` is the one that it names.
    pub(super) fn open(&self, key: &WrappingKey) -> Option<Zeroizing<Vec<u8>>> {
        if !self.is_supported() || key.id != self.kid {
            return None;
        }
        let iv = BASE64.decode(self.iv.as_bytes()).ok()?;
        let wrapped = BASE64.decode(self.wrapped_data.as_bytes()).ok()?;
        let (cipher, tag) = wrapped.split_at_checked(wrapped.len().checked_sub(TAG_LEN)?)?;
        let mut plain = Zeroizing::new(vec![0; cipher.len()]);
        let nonce = Nonce::try_assume_unique_for_key(&iv).ok()?;
        key.cipher()?
            .open_separate_gather(nonce, Aad::empty(), cipher, tag, &mut plain)
            .ok()?;
        Some(plain)
    }

    /// Wraps key options, and gives the JSON.
    pub(super) fn seal(plain: &[u8], key: &WrappingKey) -> Result<Vec<u8>, EncryptError> {
        let mut iv = [0; 12];
        rand::fill(&mut iv).map_err(|_| EncryptError::Library)?;
        let mut wrapped = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LEN));
        wrapped.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(iv);
        key.cipher()
            .and_then(|cipher| {
                cipher
                    .seal_in_place_append_tag(nonce, Aad::empty(), &mut *wrapped)
                    .ok()
            })
            .ok_or(EncryptError::Library)?;
        let packet = Self {
            kid: key.id.clone(),
            wrapped_data: BASE64.encode(&wrapped),
            iv: BASE64.encode(&iv),
            wrap_type: WRAP_TYPE.to_owned(),
        };
        serde_json::to_vec(&packet).map_err(|_| EncryptError::Library)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> WrappingKey {
        WrappingKey::new(id.to_owned(), Zeroizing::new([byte; 32]))
    }

    fn packet(plain: &[u8]) -> Packet {
        let json = Packet::seal(plain, &key("kbs:///default/key/app", 7)).unwrap();
        Packet::read(&json).unwrap()
    }

    #[test]
    fn what_is_wrapped_under_a_key_is_unwrapped_with_it() {
        let opened = packet(b"options").open(&key("kbs:///default/key/app", 7));
        assert_eq!(opened.unwrap().as_slice(), b"options");
    }

    #[test]
    fn neither_another_key_nor_another_name_unwraps_it() {
        assert!(
            packet(b"o")
                .open(&key("kbs:///default/key/app", 8))
                .is_none()
        );
        assert!(
            packet(b"o")
                .open(&key("kbs:///default/key/other", 7))
                .is_none()
        );
    }

    #[test]
    fn what_was_changed_or_is_wrapped_otherwise_is_not_unwrapped() {
        let right = key("kbs:///default/key/app", 7);
        let mut short = packet(b"o");
        short.wrapped_data = BASE64.encode(&[1; 15]);
        let mut iv = packet(b"o");
        iv.iv = BASE64.encode(&[1; 11]);
        let mut counter = packet(b"o");
        counter.wrap_type = "A256CTR".to_owned();
        let mut flipped = packet(b"o");
        let mut bytes = BASE64.decode(flipped.wrapped_data.as_bytes()).unwrap();
        bytes[0] ^= 1;
        flipped.wrapped_data = BASE64.encode(&bytes);
        for packet in [short, iv, counter, flipped] {
            assert!(packet.open(&right).is_none());
        }
    }
}
