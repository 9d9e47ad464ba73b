//! Opens a private key that a passphrase protects, as cosign and skopeo write it.
//!
//! Inside the PEM section is JSON that says how the key in PKCS#8 was encrypted:
//!
//! ```json
//! {"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":"…"},
//!  "cipher":{"name":"nacl/secretbox","nonce":"…"},
//!  "ciphertext":"…"}
//! ```
//!
//! The key of the secretbox (XSalsa20-Poly1305) is `scrypt(passphrase, salt, N, r, p, 32)`, of
//! RFC 7914; the three byte strings are in base64.
//!
//! Sources: `encrypted/encrypted.go` of go-securesystemslib and, before it, of go-tuf.

use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::KeyError;

/// The label of such a key.
pub(super) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// Its label before cosign 2.0.1, and the only one that skopeo of that time knows.
pub(super) const LABEL_OLD: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// What a file may ask of scrypt: the costs that go-securesystemslib writes, and no others, so
/// that a file can neither take more than 128 MiB (128·N·r bytes) nor be cheaper to guess.
const LOG_N: [u8; 3] = [15, 16, 17];
const R: u32 = 8;
const P: u32 = 1;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The key in PKCS#8, from what stands between `BEGIN` and `END`.
pub(super) fn open(body: &str, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let base64: String = body.split_ascii_whitespace().collect();
    let json = decode(&base64, "not base64")?;
    let sealed: Sealed = serde_json::from_slice(&json)
        .map_err(|_| KeyError::Sealed("not the JSON that says how it is encrypted"))?;
    if sealed.kdf.name != "scrypt" {
        return Err(KeyError::Sealed("another key derivation than scrypt"));
    }
    if sealed.cipher.name != "nacl/secretbox" {
        return Err(KeyError::Sealed("another cipher than nacl/secretbox"));
    }
    let nonce: [u8; NONCE_BYTES] = decode(&sealed.cipher.nonce, "a nonce that is not base64")?
        .try_into()
        .map_err(|_| KeyError::Sealed("a nonce of another length than 24 bytes"))?;
    let salt = decode(&sealed.kdf.salt, "a salt that is not base64")?;
    let ciphertext = decode(&sealed.ciphertext, "a ciphertext that is not base64")?;
    let key = derive(&sealed.kdf.params, passphrase, &salt)?;
    let mut buffer = Zeroizing::new(ciphertext);
    XSalsa20Poly1305::new((&*key).into())
        .decrypt_in_place(Nonce::from_slice(&nonce), b"", &mut *buffer)
        .map_err(|_| KeyError::Passphrase)?;
    Ok(buffer)
}

fn decode(base64: &str, otherwise: &'static str) -> Result<Vec<u8>, KeyError> {
    BASE64
        .decode(base64.as_bytes())
        .map_err(|_| KeyError::Sealed(otherwise))
}

fn derive(
    params: &Params,
    passphrase: &[u8],
    salt: &[u8],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let Params { n, r, p } = *params;
    let refused = KeyError::Scrypt { n, r, p };
    let log_n = LOG_N.into_iter().find(|log_n| n == 1 << log_n);
    let (Some(log_n), true) = (log_n, r == u64::from(R) && p == u64::from(P)) else {
        return Err(refused);
    };
    let Ok(params) = scrypt::Params::new(log_n, R, P, KEY_BYTES) else {
        return Err(refused);
    };
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(passphrase, salt, &params, &mut *key).map_err(|_| refused)?;
    Ok(key)
}
