//! What a secret is that a broker released: bytes of a key, or a private key.
//!
//! A resource is bytes, and nobody says of which kind. They are recognised in this order: PEM or
//! JWK, 64 hexadecimal digits, base64, 32 raw bytes.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use propeller_jose::{KeyError, PrivateKey};
use serde::Deserialize;
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;

/// Why a secret is not the key that was needed. Nothing of it is repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKey {
    /// A private key was needed.
    #[error("it is no private key: {0}")]
    Private(#[source] KeyError),
    /// 32 bytes were needed.
    #[error(
        "it is not 32 bytes: those are wanted as 64 hexadecimal digits, as base64, as a JWK of type oct, or as they are"
    )]
    Bytes,
    /// 32 bytes were needed, and it is a key of another kind.
    #[error("it is a private key, and 32 bytes are needed here")]
    Kind,
}

/// The private key in a secret: PEM, DER or JWK, also in base64.
///
/// # Errors
/// Says what it is instead, as far as that can be told.
pub fn private_key(secret: &[u8]) -> Result<PrivateKey, NoKey> {
    match PrivateKey::from_bytes(secret) {
        Ok(key) => Ok(key),
        Err(error) => match decoded(secret.trim_ascii()) {
            Some(der) => PrivateKey::from_bytes(&der).map_err(NoKey::Private),
            None => Err(NoKey::Private(error)),
        },
    }
}

/// The 32 bytes of a symmetric key in a secret.
///
/// # Errors
/// If there are none.
pub fn key_bytes(secret: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, NoKey> {
    let text = secret.trim_ascii();
    if text.starts_with(b"-----BEGIN ") {
        return Err(NoKey::Kind);
    }
    let jwk = text.starts_with(b"{").then(|| octets(text));
    let found = jwk
        .unwrap_or_else(|| hexadecimal(text).or_else(|| decoded(text)))
        .filter(|bytes| bytes.len() == KEY_LEN)
        .or_else(|| Some(Zeroizing::new(secret.to_vec())));
    let found: Option<[u8; KEY_LEN]> = found.and_then(|bytes| bytes.as_slice().try_into().ok());
    found.map(Zeroizing::new).ok_or(NoKey::Bytes)
}

/// RFC 7518, section 6.4.
fn octets(json: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Deserialize)]
    struct Octets {
        kty: String,
        k: Zeroizing<String>,
    }
    let Octets { kty, k } = serde_json::from_slice(json).ok()?;
    let bytes = BASE64URL_NOPAD
        .decode(k.as_bytes())
        .ok()
        .map(Zeroizing::new);
    bytes.filter(|_| kty == "oct")
}

fn hexadecimal(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = (text.len() == 2 * KEY_LEN).then_some(text)?;
    HEXLOWER_PERMISSIVE.decode(digits).ok().map(Zeroizing::new)
}

/// Base64 of either alphabet, with and without padding.
fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|encoding| encoding.decode(text).ok())
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"\x9f123456789abcdef0123456789abcd\xfb\xff";

    #[test]
    fn a_key_is_recognised_in_every_form_that_people_store() {
        let jwk = format!(r#"{{"kty":"oct","k":"{}"}}"#, BASE64URL_NOPAD.encode(&KEY));
        for form in [
            HEXLOWER_PERMISSIVE.encode(&KEY).into_bytes(),
            HEXLOWER_PERMISSIVE.encode(&KEY).to_uppercase().into_bytes(),
            format!("{}\n", BASE64.encode(&KEY)).into_bytes(),
            BASE64URL_NOPAD.encode(&KEY).into_bytes(),
            jwk.into_bytes(),
            KEY.to_vec(),
        ] {
            assert_eq!(*key_bytes(&form).unwrap(), KEY, "{}", form.escape_ascii());
        }
    }

    #[test]
    fn hexadecimal_digits_win_over_the_base64_that_they_also_are() {
        let digits = b"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        assert_eq!(key_bytes(digits).unwrap()[..2], [0, 0x11]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for none in [
            &b""[..],
            b"short",
            &[7; 31],
            &[7; 33],
            br#"{"kty":"RSA","k":"AA"}"#,
        ] {
            assert_eq!(key_bytes(none).unwrap_err(), NoKey::Bytes);
        }
        let pem = b"-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----";
        assert_eq!(key_bytes(pem).unwrap_err(), NoKey::Kind);
        assert!(matches!(private_key(&KEY).unwrap_err(), NoKey::Private(_)));
    }

    #[test]
    fn a_private_key_is_read_as_pem_and_in_base64() {
        let pem = include_bytes!("../../../../testdata/vectors/ocicrypt/keys/p256.pem");
        let der = include_bytes!("../../../../testdata/vectors/ocicrypt/keys/p256.pkcs8.der");
        for form in [pem.to_vec(), der.to_vec(), BASE64.encode(der).into_bytes()] {
            assert!(private_key(&form).is_ok());
        }
    }
}
