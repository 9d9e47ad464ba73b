//! The two ciphers that segments are sealed with.
//!
//! Both go from one buffer into another where the bytes have to move anyway, and stay in place
//! where they do not.

use std::fmt;

use aws_lc_rs::aead::{self, AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

use crate::xchacha::{XNONCE_LEN, keyed};

/// Length of the nonce's field, in bytes.
pub const NONCE_LEN: usize = XNONCE_LEN;
/// Bytes a segment grows by when it is sealed.
pub const TAG_LEN: usize = 16;
/// What is authenticated beside a segment: its number, its flags and its plain length.
pub(crate) const AAD_LEN: usize = 9;
/// A tag that does not match.
#[derive(Debug)]
pub(crate) struct Refused;

/// What segments are sealed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// XChaCha20-Poly1305, the same on every machine.
    #[default]
    XChaCha20Poly1305,
    /// AES-256-GCM, several times faster where the processor has instructions for it.
    Aes256Gcm,
}

impl Cipher {
    /// The byte in the header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::XChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }

    /// The cipher with this byte, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::XChaCha20Poly1305),
            2 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// How many bytes of the nonce's field are the cipher's nonce.
    const fn nonce_len(self) -> usize {
        match self {
            Self::XChaCha20Poly1305 => NONCE_LEN,
            Self::Aes256Gcm => aead::NONCE_LEN,
        }
    }

    /// The nonce's field: as many random bytes as the cipher takes, then zeros.
    pub(crate) fn nonce(self, random: [u8; NONCE_LEN]) -> Nonce {
        let mut nonce = random;
        nonce[self.nonce_len()..].fill(0);
        Nonce(nonce)
    }

    /// The nonce in a field, if it is zero behind what the cipher takes.
    pub(crate) fn nonce_from_field(self, field: [u8; NONCE_LEN]) -> Option<Nonce> {
        let nonce = self.nonce(field);
        (nonce.0 == field).then_some(nonce)
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XChaCha20Poly1305 => "XChaCha20-Poly1305",
            Self::Aes256Gcm => "AES-256-GCM",
        })
    }
}

/// The nonce's field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; NONCE_LEN]);

/// The key that the segments of one object are sealed with.
pub(crate) enum PayloadKey {
    XChaCha(Zeroizing<[u8; 32]>),
    Gcm(LessSafeKey),
}

impl PayloadKey {
    pub(crate) fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        match cipher {
            Cipher::XChaCha20Poly1305 => Self::XChaCha(Zeroizing::new(*key)),
            Cipher::Aes256Gcm => Self::Gcm(LessSafeKey::new(
                UnboundKey::new(&AES_256_GCM, key).expect("the key is 32 bytes"),
            )),
        }
    }

    /// Seals `plain` into `sealed`, which is longer by the tag.
    pub(crate) fn seal(&self, nonce: &Nonce, aad: [u8; AAD_LEN], plain: &[u8], sealed: &mut [u8]) {
        let (ciphertext, tag) = sealed.split_at_mut(plain.len());
        self.with(nonce, |key, nonce| {
            key.seal_out_of_place_scatter(nonce, Aad::from(aad), plain, ciphertext, &[], tag)
        })
        .expect("a segment is at most 8 MiB, and the room behind it a tag's");
    }

    /// Seals what stands in `sealed` before the room for the tag.
    pub(crate) fn seal_in_place(&self, nonce: &Nonce, aad: [u8; AAD_LEN], sealed: &mut [u8]) {
        let (in_out, tag) = sealed.split_at_mut(sealed.len() - TAG_LEN);
        self.with(nonce, |key, nonce| {
            key.seal_in_place_scatter(nonce, Aad::from(aad), in_out, &[], tag)
        })
        .expect("a segment is at most 8 MiB, and the room behind it a tag's");
    }

    /// Opens `sealed` into `plain`, which is shorter by the tag.
    ///
    /// Where it refuses, what `plain` holds is nothing to hand out.
    pub(crate) fn open(
        &self,
        nonce: &Nonce,
        aad: [u8; AAD_LEN],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), Refused> {
        let (ciphertext, tag) = sealed.split_at(plain.len());
        self.with(nonce, |key, nonce| {
            key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plain)
        })
        .map_err(|_| Refused)
    }

    /// Opens `sealed` where it stands, and returns what is left without the tag.
    pub(crate) fn open_in_place<'a>(
        &self,
        nonce: &Nonce,
        aad: [u8; AAD_LEN],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        self.with(nonce, |key, nonce| {
            key.open_in_place(nonce, Aad::from(aad), sealed)
        })
        .map_err(|_| Refused)
    }

    /// Lets `act` work with what the library calls key and nonce.
    fn with<T>(&self, nonce: &Nonce, act: impl FnOnce(&LessSafeKey, aead::Nonce) -> T) -> T {
        match self {
            Self::XChaCha(key) => {
                let (key, nonce) = keyed(key, &nonce.0);
                act(&key, nonce)
            }
            Self::Gcm(key) => {
                let nonce = *nonce.0.first_chunk().expect("the field is longer");
                act(key, aead::Nonce::assume_unique_for_key(nonce))
            }
        }
    }
}

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cipher = match self {
            Self::XChaCha(_) => Cipher::XChaCha20Poly1305,
            Self::Gcm(_) => Cipher::Aes256Gcm,
        };
        write!(f, "PayloadKey({cipher:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_place_and_from_one_buffer_into_another_are_the_same() {
        for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
            let key = PayloadKey::new(cipher, &[1; 32]);
            let nonce = cipher.nonce([2; NONCE_LEN]);
            for plain in [&b""[..], b"x", &[7; 1000]] {
                let mut sealed = vec![0; plain.len() + TAG_LEN];
                key.seal(&nonce, [3; AAD_LEN], plain, &mut sealed);
                let mut in_place = [plain, &[0; TAG_LEN]].concat();
                key.seal_in_place(&nonce, [3; AAD_LEN], &mut in_place);
                assert_eq!(in_place, sealed, "{cipher}");
                let mut opened = vec![0; plain.len()];
                key.open(&nonce, [3; AAD_LEN], &sealed, &mut opened)
                    .unwrap();
                assert_eq!(opened, plain, "{cipher}");
                let opened = key.open_in_place(&nonce, [3; AAD_LEN], &mut in_place);
                assert_eq!(opened.unwrap(), plain, "{cipher}");
                let refused = key.open(&nonce, [4; AAD_LEN], &sealed, &mut vec![0; plain.len()]);
                assert!(refused.is_err(), "{cipher}");
            }
        }
    }

    #[test]
    fn what_a_cipher_does_not_take_of_a_nonce_is_zero() {
        let nonce = Cipher::Aes256Gcm.nonce([9; NONCE_LEN]);
        assert_eq!(nonce.0[..12], [9; 12]);
        assert_eq!(nonce.0[12..], [0; 12]);
        assert_eq!(Cipher::Aes256Gcm.nonce_from_field(nonce.0), Some(nonce));
        assert_eq!(Cipher::Aes256Gcm.nonce_from_field([9; NONCE_LEN]), None);
        let whole = Cipher::XChaCha20Poly1305.nonce_from_field([9; NONCE_LEN]);
        assert_eq!(whole, Some(Nonce([9; NONCE_LEN])));
    }

    #[test]
    fn the_bytes_of_ciphers_are_read_as_they_are_written() {
        for code in 0..=u8::MAX {
            let cipher = Cipher::from_code(code);
            assert_eq!(cipher.is_some(), code == 1 || code == 2);
            assert!(cipher.is_none_or(|cipher| cipher.code() == code));
        }
    }
}
