//! Keys as files have them: PEM (RFC 7468) or DER.

use std::fmt;

use aws_lc_rs::agreement::{self, ParsedPublicKey, ParsedPublicKeyFormat, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use super::curve::Curve;
use super::error::KeyError;

/// An RSA key of 8192 bits is 6 KiB of PEM; the rest is for comments beside it.
const KEY_LEN_MAX: usize = 64 * 1024;

/// Somebody to whom an image is encrypted.
///
/// RSA of 2048 to 8192 bits, or EC on P-256, P-384 or P-521.
pub struct PublicKey(pub(super) PublicKind);

pub(super) enum PublicKind {
    Rsa(OaepPublicEncryptingKey),
    Ec(Curve, Box<ParsedPublicKey>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1) in PEM or DER.
    ///
    /// # Errors
    /// Says what the bytes are instead, where that can be told.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match read(bytes)? {
            Encoded::Pem(SectionKind::PublicKey, der) | Encoded::Der(der) => Self::from_der(&der),
            Encoded::Pem(kind, _) if is_private(kind) => Err(KeyError::Private),
            Encoded::Pem(SectionKind::Certificate, _) => Err(KeyError::Certificate),
            Encoded::Pem(..) => Err(KeyError::UnusablePublic),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = PublicEncryptingKey::from_der(der) {
            let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::UnusablePublic)?;
            return Ok(Self(PublicKind::Rsa(key)));
        }
        let on_curve = |curve: Curve| {
            let key = UnparsedPublicKey::new(curve.algorithm(), der);
            let key = ParsedPublicKey::try_from(key).ok()?;
            // The library also reads a bare point, which says nothing about its curve.
            (key.format() == ParsedPublicKeyFormat::X509).then_some((curve, key))
        };
        match Curve::ALL.into_iter().find_map(on_curve) {
            Some((curve, key)) => Ok(Self(PublicKind::Ec(curve, Box::new(key)))),
            None if PrivateKey::from_der(der).is_ok() => Err(KeyError::Private),
            None => Err(KeyError::UnusablePublic),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            PublicKind::Rsa(key) => write!(f, "PublicKey(RSA {})", key.key_size_bits()),
            PublicKind::Ec(curve, _) => write!(f, "PublicKey(EC {})", curve.name()),
        }
    }
}

/// Opens what is encrypted to its public key.
///
/// The library that holds it clears its memory when it is dropped.
pub struct PrivateKey(pub(super) PrivateKind);

pub(super) enum PrivateKind {
    Rsa(OaepPrivateDecryptingKey),
    Ec(Curve, agreement::PrivateKey),
}

impl PrivateKey {
    /// Reads PKCS#8 (RFC 5208), PKCS#1 (RFC 8017) or SEC 1 (RFC 5915), in PEM or DER.
    ///
    /// # Errors
    /// Says what the bytes are instead, where that can be told. Nothing of them is repeated.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match read(bytes)? {
            Encoded::Pem(kind, der) if is_private(kind) => Self::from_der(&der),
            Encoded::Der(der) => Self::from_der(&der),
            Encoded::Pem(SectionKind::PublicKey, _) => Err(KeyError::Public),
            Encoded::Pem(SectionKind::Certificate, _) => Err(KeyError::Certificate),
            Encoded::Pem(..) => Err(KeyError::UnusablePrivate),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(key) = rsa_from_der(der) {
            return Ok(Self(PrivateKind::Rsa(key)));
        }
        let on_curve = |curve: Curve| {
            let key = agreement::PrivateKey::from_private_key_der(curve.algorithm(), der);
            Some(Self(PrivateKind::Ec(curve, key.ok()?)))
        };
        Curve::ALL
            .into_iter()
            .find_map(on_curve)
            .ok_or(KeyError::UnusablePrivate)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            PrivateKind::Rsa(key) => write!(f, "PrivateKey(RSA {})", key.key_size_bits()),
            PrivateKind::Ec(curve, _) => write!(f, "PrivateKey(EC {})", curve.name()),
        }
    }
}

fn rsa_from_der(der: &[u8]) -> Option<OaepPrivateDecryptingKey> {
    let key = match PrivateDecryptingKey::from_pkcs8(der) {
        Ok(key) => key,
        // Keys that decrypt are only read as PKCS#8, keys that sign also as PKCS#1.
        Err(_) => {
            let pkcs8: Pkcs8V1Der<'_> = KeyPair::from_der(der).ok()?.as_der().ok()?;
            PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).ok()?
        }
    };
    OaepPrivateDecryptingKey::new(key).ok()
}

/// What a file has in it, before anything is known about the key.
enum Encoded {
    Pem(SectionKind, Zeroizing<Vec<u8>>),
    Der(Zeroizing<Vec<u8>>),
}

fn read(bytes: &[u8]) -> Result<Encoded, KeyError> {
    if bytes.len() > KEY_LEN_MAX {
        return Err(KeyError::TooLong {
            bytes: bytes.len(),
            max: KEY_LEN_MAX,
        });
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(KeyError::Jwk);
    }
    if !contains(bytes, b"-----BEGIN ") {
        return Ok(Encoded::Der(Zeroizing::new(bytes.to_vec())));
    }
    // PKCS#8 has it in the first line (RFC 7468, section 11), PKCS#1 in the second (RFC 1421).
    if contains(bytes, b"-----BEGIN ENCRYPTED") || contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Passphrase);
    }
    first_section(bytes)
}

/// The first section; OpenSSL writes the parameters of a curve before its key, under a name of
/// their own that the parser passes over.
fn first_section(pem: &[u8]) -> Result<Encoded, KeyError> {
    let section = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).next();
    match section {
        Some(Ok((kind, der))) => Ok(Encoded::Pem(kind, Zeroizing::new(der))),
        Some(Err(_)) | None => Err(KeyError::Pem),
    }
}

fn is_private(kind: SectionKind) -> bool {
    matches!(
        kind,
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey
    )
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
