//! The Concat KDF, with which ECDH-ES makes a key of what two keys agree on.
//!
//! RFC 7518, section 4.6.2, with SHA-256; NIST SP 800-56A, section 5.8.1.

use aws_lc_rs::digest::{Context, SHA256};
use zeroize::Zeroizing;

/// Who the two parties say they are; both empty unless the header of the JWE says otherwise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Parties {
    /// `apu`, of whoever encrypted.
    pub(crate) producer: Vec<u8>,
    /// `apv`, of whoever decrypts.
    pub(crate) recipient: Vec<u8>,
}

/// `SHA-256(1 ‖ Z ‖ algorithm ‖ apu ‖ apv ‖ bits)`, of which the first `key_len` bytes are the key.
///
/// One round gives 32 bytes, and no key here is longer. `None` if a length has no 32-bit form, or
/// `key_len` is more than a round gives.
pub(crate) fn concat_kdf(
    agreed: &[u8],
    algorithm: &str,
    parties: &Parties,
    key_len: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let bits = u32::try_from(key_len.checked_mul(8)?).ok()?;
    let mut hash = Context::new(&SHA256);
    hash.update(&1_u32.to_be_bytes());
    hash.update(agreed);
    for field in [algorithm.as_bytes(), &parties.producer, &parties.recipient] {
        hash.update(&u32::try_from(field.len()).ok()?.to_be_bytes());
        hash.update(field);
    }
    hash.update(&bits.to_be_bytes());
    Some(Zeroizing::new(
        hash.finish().as_ref().get(..key_len)?.to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7518, appendix C.
    #[test]
    fn alice_and_bob_of_the_rfc_derive_the_key_of_the_rfc() {
        let agreed = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49,
            110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];
        let parties = Parties {
            producer: b"Alice".to_vec(),
            recipient: b"Bob".to_vec(),
        };
        let key = concat_kdf(&agreed, "A128GCM", &parties, 16).unwrap();
        assert_eq!(
            data_encoding::BASE64URL_NOPAD.encode(&key),
            "VqqN6vgjbSBcIijNcacQGg"
        );
    }

    #[test]
    fn a_key_longer_than_a_round_is_refused() {
        assert!(concat_kdf(&[1; 32], "A256GCM", &Parties::default(), 33).is_none());
        assert!(concat_kdf(&[1; 32], "A256GCM", &Parties::default(), usize::MAX).is_none());
    }
}
