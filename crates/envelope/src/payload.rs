//! The payload: STREAM over AES-256-GCM.

use aws_lc_rs::aead;
use zeroize::Zeroize as _;

use crate::error::{OpenError, SealError};
use crate::header::aes_256_gcm;
use crate::kdf::hkdf;

/// Plaintext bytes in every chunk but the last.
pub const CHUNK_LEN: usize = 64 * 1024;
/// Bytes a chunk grows by when it is sealed.
pub const TAG_LEN: usize = 16;
pub(crate) const NONCE_PREFIX_LEN: usize = 7;

/// How long the payload of `plain` bytes is once sealed, without the header.
#[must_use]
pub fn sealed_len(plain: usize) -> usize {
    plain + plain.div_ceil(CHUNK_LEN).max(1) * TAG_LEN
}

/// The key of one payload. To have one is to have authenticated the header.
pub(crate) struct PayloadKey {
    key: aead::LessSafeKey,
    nonce_prefix: [u8; NONCE_PREFIX_LEN],
}

impl PayloadKey {
    pub(crate) fn new(
        content_key: &[u8; 32],
        context: &[u8],
        nonce_prefix: [u8; NONCE_PREFIX_LEN],
    ) -> Self {
        let key = hkdf::<32>(
            content_key,
            b"",
            &[b"propeller envelope v1 payload", context],
        );
        Self {
            key: aes_256_gcm(&key),
            nonce_prefix,
        }
    }

    /// Appends the sealed chunks of `plain` to `out`.
    pub(crate) fn seal(&self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let chunks = plain.len().div_ceil(CHUNK_LEN).max(1);
        let last =
            u32::try_from(chunks - 1).map_err(|_| SealError::TooLong { bytes: plain.len() })?;
        out.reserve(sealed_len(plain.len()));
        let mut rest = plain;
        for index in 0..=last {
            let (chunk, left) = rest.split_at(rest.len().min(CHUNK_LEN));
            rest = left;
            let start = out.len();
            out.extend_from_slice(chunk);
            let tag = self
                .key
                .seal_in_place_separate_tag(
                    self.nonce(index, index == last),
                    aead::Aad::empty(),
                    &mut out[start..],
                )
                .expect("a chunk is at most 64 KiB");
            out.extend_from_slice(tag.as_ref());
        }
        Ok(())
    }

    /// Opens all chunks. After an error, `plain` has what nobody may see.
    pub(crate) fn open_in(&self, payload: &[u8], plain: &mut Vec<u8>) -> Result<(), OpenError> {
        const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;
        let chunks = payload.len().div_ceil(SEALED_CHUNK_LEN);
        let last = chunks
            .checked_sub(1)
            .and_then(|last| u32::try_from(last).ok())
            .ok_or(OpenError::Payload)?;
        let tail = payload.len() - last as usize * SEALED_CHUNK_LEN;
        // Also what keeps every chunk's place inside the buffer.
        if tail < TAG_LEN || (tail == TAG_LEN && last > 0) {
            return Err(OpenError::Payload);
        }
        let len = payload.len() - chunks * TAG_LEN;
        if plain.capacity() < len {
            // What grows is copied, and leaves behind what it was; and the system has zeroes.
            plain.zeroize();
            *plain = vec![0; len];
        }
        plain.resize(len, 0);
        let sealed = payload.chunks(SEALED_CHUNK_LEN);
        for (index, sealed) in (0..=last).zip(sealed) {
            let (ciphertext, tag) = sealed
                .split_last_chunk::<TAG_LEN>()
                .ok_or(OpenError::Payload)?;
            let start = index as usize * CHUNK_LEN;
            self.key
                .open_separate_gather(
                    self.nonce(index, index == last),
                    aead::Aad::empty(),
                    ciphertext,
                    tag,
                    &mut plain[start..start + ciphertext.len()],
                )
                .map_err(|_| OpenError::Payload)?;
        }
        Ok(())
    }

    fn nonce(&self, index: u32, last: bool) -> aead::Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..NONCE_PREFIX_LEN].copy_from_slice(&self.nonce_prefix);
        nonce[NONCE_PREFIX_LEN..11].copy_from_slice(&index.to_be_bytes());
        nonce[11] = u8::from(last);
        aead::Nonce::assume_unique_for_key(nonce)
    }
}
