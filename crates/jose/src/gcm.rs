//! Encrypts the content of a JWE: AES-GCM, RFC 7518, section 5.3.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::SealError;

/// AES-GCM with a key of so many bits, which `enc` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gcm {
    Bits128,
    Bits192,
    Bits256,
}

/// A ciphertext and what belongs to it.
pub(crate) struct Sealed {
    pub(crate) iv: [u8; 12],
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: [u8; 16],
}

impl Gcm {
    /// The one that ocicrypt writes.
    pub(crate) const WRITTEN: Self = Self::Bits256;

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Bits128, Self::Bits192, Self::Bits256]
            .into_iter()
            .find(|cipher| cipher.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bits128 => "A128GCM",
            Self::Bits192 => "A192GCM",
            Self::Bits256 => "A256GCM",
        }
    }

    pub(crate) fn key_len(self) -> usize {
        self.algorithm().key_len()
    }

    /// A key for one message.
    pub(crate) fn new_key(self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut key = Zeroizing::new(vec![0; self.key_len()]);
        rand::fill(&mut key).map_err(|_| SealError)?;
        Ok(key)
    }

    /// Encrypts `plain` under a key that encrypts nothing else.
    pub(crate) fn seal(self, key: &[u8], aad: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        let failed = |_| SealError;
        let mut iv = [0; 12];
        rand::fill(&mut iv).map_err(failed)?;
        let mut bytes = Zeroizing::new(plain.to_vec());
        let nonce = Nonce::assume_unique_for_key(iv);
        let tag = self
            .key(key)
            .and_then(|key| {
                key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut bytes)
                    .ok()
            })
            .ok_or(SealError)?;
        Ok(Sealed {
            iv,
            bytes: std::mem::take(&mut *bytes),
            tag: tag.as_ref().try_into().map_err(|_| SealError)?,
        })
    }

    /// The plaintext, if everything is as it was sealed.
    pub(crate) fn open(
        self,
        key: &[u8],
        aad: &[u8],
        sealed: &Sealed,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let Sealed { iv, bytes, tag } = sealed;
        let mut plain = Zeroizing::new(vec![0; bytes.len()]);
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.key(key)?
            .open_separate_gather(nonce, Aad::from(aad), bytes, tag, &mut plain)
            .ok()?;
        Some(plain)
    }

    fn key(self, key: &[u8]) -> Option<LessSafeKey> {
        let key = UnboundKey::new(self.algorithm(), key).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Bits128 => &AES_128_GCM,
            Self::Bits192 => &AES_192_GCM,
            Self::Bits256 => &AES_256_GCM,
        }
    }
}
