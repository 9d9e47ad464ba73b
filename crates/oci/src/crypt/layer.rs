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
use crate::pieces::Pieces;

/// Bytes that are looked at before they are hashed: fewer than the cache next to a processor has.
const PIECE_BYTES: usize = 16 * 1024;
/// Bytes that one counter block encrypts.
const BLOCK_BYTES: usize = 16;
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
        mac.copy_from_slice(self.mac(std::iter::once(&*bytes)).as_ref());
        Ok(mac)
    }

    /// Checks the MAC of all bytes in constant time, and only then decrypts them.
    pub(super) fn decrypt(
        &self,
        cipher: Pieces,
        mac: &[u8],
    ) -> Result<Zeroizing<Pieces>, DecryptError> {
        let right = self.mac(cipher.slices());
        verify_slices_are_equal(right.as_ref(), mac).map_err(|_| DecryptError::Mac)?;
        let mut bytes = Zeroizing::new(cipher);
        // Every piece but the last is whole blocks.
        let mut counter = u128::from_be_bytes(self.nonce);
        for piece in bytes.slices_mut() {
            self.decrypt_from(counter, piece)?;
            counter = counter.wrapping_add((piece.len() / BLOCK_BYTES) as u128);
        }
        Ok(bytes)
    }

    /// Decrypts in place what was encrypted from this counter block on.
    fn decrypt_from(&self, counter: u128, bytes: &mut [u8]) -> Result<(), DecryptError> {
        let context = DecryptionContext::Iv128(FixedLength::from(counter.to_be_bytes()));
        UnboundCipherKey::new(&AES_256, &self.key)
            .and_then(DecryptingKey::ctr)
            .and_then(|key| key.decrypt(bytes, context).map(|_| ()))
            .map_err(|_| DecryptError::Library)
    }

    fn mac<'a>(&self, bytes: impl Iterator<Item = &'a [u8]>) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
        for piece in bytes.flat_map(|piece| piece.chunks(PIECE_BYTES)) {
            // The hash waits for memory line by line, because it takes longer over a line than a
            // processor looks ahead. Looked at together before, they come side by side.
            let lines = piece.iter().step_by(LINE_BYTES);
            std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
            context.update(piece);
        }
        context.sign()
    }
}
