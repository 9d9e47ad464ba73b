//! The layer itself: AES-256 in counter mode (NIST SP 800-38A), and HMAC-SHA-256 (RFC 2104).
//!
//! ocicrypt calls this AES_256_CTR_HMAC_SHA256. One key does both; the MAC covers all of the
//! encrypted layer and nothing else, neither the nonce nor the media type.

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, iv::FixedLength, rand};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::{DecryptError, EncryptError};
use crate::room::Room;

/// Bytes that are looked at before they are hashed: fewer than the cache next to a processor has.
const PIECE_BYTES: usize = 16 * 1024;
/// Bytes that come from memory at once, on most processors.
const LINE_BYTES: usize = 64;

/// What encrypts one layer, and never another.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct LayerKey {
    pub(super) key: [u8; 32],
    /// The first counter block, of which all 128 bits count.
    pub(super) nonce: [u8; 16],
}

impl LayerKey {
    pub(super) fn generate() -> Result<Self, EncryptError> {
        let mut new = Self {
            key: [0; 32],
            nonce: [0; 16],
        };
        rand::fill(&mut new.key).map_err(|_| EncryptError::Library)?;
        rand::fill(&mut new.nonce).map_err(|_| EncryptError::Library)?;
        Ok(new)
    }

    /// Encrypts in place, and gives the MAC of the result.
    pub(super) fn encrypt(&self, bytes: &mut [u8]) -> Result<[u8; 32], EncryptError> {
        let context = EncryptionContext::Iv128(FixedLength::from(self.nonce));
        UnboundCipherKey::new(&AES_256, &self.key)
            .and_then(EncryptingKey::ctr)
            .and_then(|key| key.less_safe_encrypt(bytes, context))
            .map_err(|_| EncryptError::Library)?;
        let mut mac = [0; 32];
        mac.copy_from_slice(self.mac(bytes).as_ref());
        Ok(mac)
    }

    /// Checks the MAC of all bytes in constant time, and only then decrypts them.
    pub(super) fn decrypt(
        &self,
        cipher: Room,
        mac: &[u8],
    ) -> Result<Zeroizing<Room>, DecryptError> {
        let right = self.mac(&cipher);
        verify_slices_are_equal(right.as_ref(), mac).map_err(|_| DecryptError::Mac)?;
        let mut bytes = Zeroizing::new(cipher);
        let context = DecryptionContext::Iv128(FixedLength::from(self.nonce));
        UnboundCipherKey::new(&AES_256, &self.key)
            .and_then(DecryptingKey::ctr)
            .and_then(|key| key.decrypt(&mut bytes, context).map(|_| ()))
            .map_err(|_| DecryptError::Library)?;
        Ok(bytes)
    }

    fn mac(&self, bytes: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
        for piece in bytes.chunks(PIECE_BYTES) {
            // The hash waits for memory line by line, because it takes longer over a line than a
            // processor looks ahead. Looked at together before, they come side by side.
            let lines = piece.iter().step_by(LINE_BYTES);
            std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
            context.update(piece);
        }
        context.sign()
    }
}
