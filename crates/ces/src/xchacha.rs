//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) by way of ChaCha20-Poly1305 (RFC 8439).
//!
//! The construction is no cipher of its own: HChaCha20 of the key and 16 bytes of the nonce is the
//! key of a ChaCha20-Poly1305 under the rest. So the fast one of the cryptographic library does it.

use aws_lc_rs::aead::{CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use zeroize::Zeroizing;

/// Length of the nonce, in bytes.
pub(crate) const XNONCE_LEN: usize = 24;

/// The key and nonce of the ChaCha20-Poly1305 that XChaCha20-Poly1305 is under this nonce.
///
/// Whoever has them seals and opens in place or from one buffer to another, as the library can.
/// The inner nonce is 4 zeros and the last 8 bytes of the outer (sections 2.2 and 2.3 of the draft).
pub(crate) fn keyed(key: &[u8; 32], nonce: &[u8; XNONCE_LEN]) -> (LessSafeKey, Nonce) {
    let (input, rest) = nonce
        .split_first_chunk::<16>()
        .expect("the nonce is longer");
    let subkey = Zeroizing::new(hchacha::<R20>(key.into(), input.into()).0);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*subkey).expect("the key is 32 bytes");
    let mut inner = [0; NONCE_LEN];
    inner[4..].copy_from_slice(rest);
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(inner))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::Aad;

    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    const PLAIN: &[u8] =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
        tip for the future, sunscreen would be it.";
    const AAD: &str = "50515253c0c1c2c3c4c5c6c7";
    const SEALED: &str = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
        731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
        2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
        21f9664c97637da9768812f615c68b13b52e\
        c0875924c1c7987947deafd8780acf49";

    /// Appendix A.3.1 of the draft.
    fn of_the_draft() -> (LessSafeKey, Nonce) {
        keyed(
            &hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
            &hex("404142434445464748494a4b4c4d4e4f5051525354555657"),
        )
    }

    #[test]
    fn sealing_gives_the_draft_s_ciphertext_and_tag() {
        let (key, nonce) = of_the_draft();
        let mut sealed = PLAIN.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(hex::<12>(AAD)), &mut sealed)
            .unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&sealed), SEALED);
    }

    #[test]
    fn opening_gives_the_draft_s_plaintext_and_refuses_a_flipped_bit() {
        let sealed = data_encoding::HEXLOWER.decode(SEALED.as_bytes()).unwrap();
        let open = |flip: usize| {
            let mut buffer = sealed.clone();
            if let Some(byte) = buffer.get_mut(flip) {
                *byte ^= 1;
            }
            let (key, nonce) = of_the_draft();
            let opened = key.open_in_place(nonce, Aad::from(hex::<12>(AAD)), &mut buffer);
            opened.map(|plain| plain.to_vec()).ok()
        };
        assert_eq!(open(usize::MAX).as_deref(), Some(PLAIN));
        for flip in [0, PLAIN.len() - 1, PLAIN.len(), sealed.len() - 1] {
            assert_eq!(open(flip), None, "byte {flip}");
        }
    }
}
