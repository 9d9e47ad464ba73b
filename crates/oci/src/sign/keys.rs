//! Keys that sign and keys that verify: ECDSA with P-256 and SHA-256 (FIPS 186-5), whose
//! signatures are in ASN.1 DER, as cosign's specification requires of everybody.
//!
//! A signature does not say which algorithm made it. One algorithm for all keys leaves nothing to
//! choose for whoever brings the signature.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use propeller_model::Digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

use super::error::{KeyError, SignError, printable};
use super::sealed_key;

/// Far more than the file of a P-256 key, with comments, has.
const PEM_BYTES_MAX: usize = 64 * 1024;

/// A private key that signs images. Its memory is wiped when it is dropped.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// Reads a private key: one of cosign's (`ENCRYPTED SIGSTORE PRIVATE KEY`, or `ENCRYPTED
    /// COSIGN PRIVATE KEY` from before cosign 2.0.1), which needs its passphrase, or PKCS#8 (`PRIVATE
    /// KEY`) or SEC 1 (`EC PRIVATE KEY`) as openssl writes them, which are not encrypted.
    ///
    /// Opening one of cosign's takes 32 to 128 MiB of memory and a fraction of a second.
    ///
    /// # Errors
    /// Fails if it is no such key, or the passphrase is not the one.
    pub fn from_pem(pem: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let label = label(pem)?;
        match (label, passphrase) {
            (sealed_key::LABEL | sealed_key::LABEL_OLD, None) => Err(KeyError::NoPassphrase),
            (sealed_key::LABEL | sealed_key::LABEL_OLD, Some(passphrase)) => {
                Self::from_der(&sealed_key::open(body(pem, label)?, passphrase)?)
            }
            ("PRIVATE KEY" | "EC PRIVATE KEY", Some(_)) => Err(KeyError::NotEncrypted),
            ("PRIVATE KEY" | "EC PRIVATE KEY", None) => {
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Malformed)?;
                let key = Zeroizing::new(key);
                Self::from_der(key.secret_der())
            }
            ("RSA PRIVATE KEY", _) => Err(KeyError::Algorithm { algorithm: "RSA" }),
            _ => Err(KeyError::Label {
                label: printable(label),
                wanted: "a private key of cosign's or an unencrypted one",
            }),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| refusal(der))?;
        let public: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| KeyError::Malformed)?;
        let public = VerifyingKey::from_spki(public.as_ref())?;
        Ok(Self { pair, public })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// Signs a [payload](super::payload()), and gives the signature in base64 for the annotation
    /// [`SIGNATURE`](super::SIGNATURE).
    ///
    /// # Errors
    /// Fails if the cryptographic library does, for want of random bytes or memory.
    pub fn sign(&self, payload: &[u8]) -> Result<String, SignError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), payload)
            .map_err(|_| SignError)?;
        Ok(data_encoding::BASE64.encode(signature.as_ref()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint)
    }
}

/// A public key that an image's signatures are checked with.
#[derive(Clone)]
pub struct VerifyingKey {
    key: ParsedPublicKey,
    fingerprint: Digest,
}

impl VerifyingKey {
    /// Reads a public key in PEM form (`PUBLIC KEY`), such as a `cosign.pub`.
    ///
    /// # Errors
    /// Fails if it is something else, or a key of another algorithm.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        match label(pem)? {
            "PUBLIC KEY" => {}
            label => {
                return Err(KeyError::Label {
                    label: printable(label),
                    wanted: "a public key (`PUBLIC KEY`)",
                });
            }
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::Malformed)?;
        Self::from_spki(&der)
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).map_err(|_| refusal(der))?;
        // The library also reads bare points; the fingerprint of a key is over one form of it.
        let canonical: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Malformed)?;
        if canonical.as_ref() != der {
            return Err(KeyError::Malformed);
        }
        Ok(Self {
            key,
            fingerprint: digest(der),
        })
    }

    /// The name of this key: SHA-256 of its `SubjectPublicKeyInfo` in DER, which is what
    /// `openssl pkey -pubin -in cosign.pub -outform der | sha256sum` prints.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether `signature` was made over `message` by the private half of this key.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint)
    }
}

fn digest(bytes: &[u8]) -> Digest {
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(sha256.as_ref());
    Digest(digest)
}

/// What the one section of a PEM file (RFC 7468) is labelled. A second one would be passed over,
/// and somebody put it there for a reason.
///
/// `openssl ecparam -genkey` writes a section with the name of the curve before the key's, which
/// the key repeats: that one is passed over.
fn label(pem: &[u8]) -> Result<&str, KeyError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(KeyError::TooLong { bytes: pem.len() });
    }
    let mut labels = std::str::from_utf8(pem)
        .map_err(|_| KeyError::NotPem)?
        .lines()
        .filter_map(|line| {
            line.trim_end()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")
        })
        .filter(|label| *label != "EC PARAMETERS");
    let label = labels.next().ok_or(KeyError::NotPem)?;
    match labels.next() {
        Some(_) => Err(KeyError::Several),
        None => Ok(label),
    }
}

/// What stands between the first `BEGIN` and the first `END` of this label.
fn body<'a>(pem: &'a [u8], label: &str) -> Result<&'a str, KeyError> {
    std::str::from_utf8(pem)
        .ok()
        .and_then(|text| text.split_once(&format!("-----BEGIN {label}-----")))
        .and_then(|(_, rest)| rest.split_once(&format!("-----END {label}-----")))
        .map(|(body, _)| body)
        .ok_or(KeyError::NotPem)
}

/// Names the algorithm of a key that is not P-256's, for the message alone: by the object
/// identifier (RFC 5480, RFC 8017, RFC 8410) that stands near the beginning of its DER.
fn refusal(der: &[u8]) -> KeyError {
    const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const OTHERS: [(&[u8], &str); 5] = [
        (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], "RSA"),
        (&[6, 3, 0x2b, 0x65, 0x70], "Ed25519"),
        (&[6, 5, 0x2b, 0x81, 4, 0, 0x22], "ECDSA with P-384"),
        (&[6, 5, 0x2b, 0x81, 4, 0, 0x23], "ECDSA with P-521"),
        (&[6, 5, 0x2b, 0x81, 4, 0, 0x0a], "ECDSA with secp256k1"),
    ];
    let has = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
    if has(P256) {
        return KeyError::Malformed;
    }
    OTHERS
        .iter()
        .find(|(oid, _)| has(oid))
        .map_or(KeyError::Malformed, |(_, algorithm)| KeyError::Algorithm {
            algorithm,
        })
}
