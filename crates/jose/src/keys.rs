//! Keys as files have them: PEM (RFC 7468) or DER.

use std::fmt;

use aws_lc_rs::agreement::{self, ParsedPublicKey, ParsedPublicKeyFormat, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use crate::curve::Curve;
use crate::{KeyError, SealError, jwk};

/// An RSA key of 8192 bits is 6 KiB of PEM; the rest is for comments beside it.
const KEY_LEN_MAX: usize = 64 * 1024;

/// Somebody to whom an image is encrypted.
///
/// RSA of 2048 to 8192 bits, or EC on P-256, P-384 or P-521.
pub struct PublicKey(pub(crate) PublicKind);

/// Length of an RSA key that is made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaBits {
    /// 2048, what attested guests make.
    B2048,
    /// 4096.
    B4096,
}

impl RsaBits {
    fn size(self) -> KeySize {
        match self {
            Self::B2048 => KeySize::Rsa2048,
            Self::B4096 => KeySize::Rsa4096,
        }
    }
}

/// What RSA-OAEP hashes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oaep {
    /// SHA-1, which OAEP only needs to mix: ocicrypt writes nothing else.
    Sha1,
    /// SHA-256, which a JWK may ask for.
    Sha256,
}

pub(crate) enum PublicKind {
    Rsa(OaepPublicEncryptingKey, Oaep),
    Ec(Curve, Box<ParsedPublicKey>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1) in PEM or DER, or a JWK (RFC 7517).
    ///
    /// # Errors
    /// Says what the bytes are instead, where that can be told.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match read(bytes)? {
            Encoded::Jwk => jwk::public(bytes),
            Encoded::Pem(SectionKind::PublicKey, der) | Encoded::Der(der) => Self::from_der(&der),
            Encoded::Pem(kind, _) if is_private(kind) => Err(KeyError::Private),
            Encoded::Pem(SectionKind::Certificate, _) => Err(KeyError::Certificate),
            Encoded::Pem(..) => Err(KeyError::UnusablePublic),
        }
    }

    pub(crate) fn from_rsa(key: PublicEncryptingKey, oaep: Oaep) -> Result<Self, KeyError> {
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::UnusablePublic)?;
        Ok(Self(PublicKind::Rsa(key, oaep)))
    }

    /// Refuses a point that is not on the curve.
    pub(crate) fn from_point(curve: Curve, point: Vec<u8>) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::try_from(UnparsedPublicKey::new(curve.algorithm(), point));
        let key = key.map_err(|_| KeyError::UnusablePublic)?;
        Ok(Self(PublicKind::Ec(curve, Box::new(key))))
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = PublicEncryptingKey::from_der(der) {
            return Self::from_rsa(key, Oaep::Sha1);
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
            PublicKind::Rsa(key, _) => write!(f, "PublicKey(RSA {})", key.key_size_bits()),
            PublicKind::Ec(curve, _) => write!(f, "PublicKey(EC {})", curve.name()),
        }
    }
}

/// Opens what is encrypted to its public key.
///
/// The library that holds it clears its memory when it is dropped.
pub struct PrivateKey(pub(crate) PrivateKind);

pub(crate) enum PrivateKind {
    Rsa {
        key: OaepPrivateDecryptingKey,
        /// SubjectPublicKeyInfo of its public half.
        public: Vec<u8>,
    },
    Ec(Curve, agreement::PrivateKey),
}

impl PrivateKey {
    /// A new key on `curve`.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn generate(curve: Curve) -> Result<Self, SealError> {
        let key = agreement::PrivateKey::generate(curve.algorithm()).map_err(|_| SealError)?;
        Ok(Self(PrivateKind::Ec(curve, key)))
    }

    /// A new RSA key, which takes up to a second.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn generate_rsa(bits: RsaBits) -> Result<Self, SealError> {
        let key = PrivateDecryptingKey::generate(bits.size()).map_err(|_| SealError)?;
        Self::from_rsa(key).map_err(|_| SealError)
    }

    /// Reads PKCS#8 (RFC 5208), PKCS#1 (RFC 8017) or SEC 1 (RFC 5915), in PEM or DER, or a JWK
    /// (RFC 7517).
    ///
    /// # Errors
    /// Says what the bytes are instead, where that can be told. Nothing of them is repeated.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match read(bytes)? {
            Encoded::Jwk => jwk::private(bytes),
            Encoded::Pem(kind, der) if is_private(kind) => Self::from_der(&der),
            Encoded::Der(der) => Self::from_der(&der),
            Encoded::Pem(SectionKind::PublicKey, _) => Err(KeyError::Public),
            Encoded::Pem(SectionKind::Certificate, _) => Err(KeyError::Certificate),
            Encoded::Pem(..) => Err(KeyError::UnusablePrivate),
        }
    }

    pub(crate) fn from_rsa(key: PrivateDecryptingKey) -> Result<Self, KeyError> {
        let public = key.public_key().as_der().ok();
        let key = OaepPrivateDecryptingKey::new(key).ok();
        let (Some(public), Some(key)) = (public, key) else {
            return Err(KeyError::UnusablePrivate);
        };
        let public = public.as_ref().to_vec();
        Ok(Self(PrivateKind::Rsa { key, public }))
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(key) = rsa_from_der(der) {
            return Self::from_rsa(key);
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
            PrivateKind::Rsa { key, .. } => write!(f, "PrivateKey(RSA {})", key.key_size_bits()),
            PrivateKind::Ec(curve, _) => write!(f, "PrivateKey(EC {})", curve.name()),
        }
    }
}

fn rsa_from_der(der: &[u8]) -> Option<PrivateDecryptingKey> {
    // Keys that decrypt are only read as PKCS#8, keys that sign also as PKCS#1.
    PrivateDecryptingKey::from_pkcs8(der)
        .ok()
        .or_else(|| decrypting(&KeyPair::from_der(der).ok()?))
}

/// The same key, for another purpose.
pub(crate) fn decrypting(key: &KeyPair) -> Option<PrivateDecryptingKey> {
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().ok()?;
    PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).ok()
}

/// What a file has in it, before anything is known about the key.
enum Encoded {
    Jwk,
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
        return Ok(Encoded::Jwk);
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
