//! Encrypted layers, as ocicrypt writes and reads them.
//!
//! ```text
//! layer ──AES-256-CTR, HMAC-SHA-256──> encrypted layer        org.opencontainers.image.enc.pubopts
//!              │ key, nonce, digest                            the cipher, and the MAC
//!              ├──JWE for every recipient────────────────────> org.opencontainers.image.enc.keys.jwe
//!              └──AES-256-GCM under a key provider's key─────> org.opencontainers.image.enc.keys.provider.*
//! ```
//!
//! `skopeo copy --encryption-key jwe:KEY.pem` writes the same bytes. A key is wrapped by RSA-OAEP
//! (RFC 7518, section 4.3) or by ECDH-ES with AES Key Wrap (section 4.6), in a JWE (RFC 7516).
//!
//! Whoever has a recipient's public key can make a layer that opens: this hides a layer and proves
//! nothing about where it came from. The MAC's key is inside the JWE, next to the layer's. What
//! makes an encrypted image trustworthy is the digest of its manifest, or a signature.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let public_pem = include_bytes!("../../../testdata/vectors/ocicrypt/keys/p256.pub.pem");
//! # let private_pem = include_bytes!("../../../testdata/vectors/ocicrypt/keys/p256.pem");
//! use propeller_oci::crypt::{PrivateKey, PublicKey, decrypt, encrypt};
//!
//! let layer = b"a layer".to_vec();
//! let encrypted = encrypt(layer, &[PublicKey::from_bytes(public_pem)?])?;
//! let key = PrivateKey::from_bytes(private_pem)?;
//! let opened = decrypt(encrypted.bytes, &encrypted.annotations, &[key])?;
//! assert!(*opened.bytes == b"a layer");
//! assert!(opened.is_intact(&[]));
//! # Ok(())
//! # }
//! ```

mod annotations;
mod error;
mod layer;
mod options;
mod parties;
mod provider;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use propeller_model::Digest;
use zeroize::Zeroizing;

use crate::pieces::Pieces;

pub use error::{DecryptError, EncryptError};
pub use parties::{Keys, KeysRef, Recipients};
pub use propeller_jose::{KeyError, PrivateKey, PublicKey};
pub use provider::WrappingKey;

/// How many recipients a layer may have.
///
/// Every one of them may cost a private-key operation for every key its reader has.
pub const RECIPIENTS_MAX: usize = 64;

/// A layer that only its recipients can read.
#[derive(Debug, Clone)]
pub struct Encrypted {
    /// The encrypted layer, as long as the layer.
    pub bytes: Vec<u8>,
    /// What its descriptor has to say besides, for whoever decrypts it.
    pub annotations: BTreeMap<String, String>,
}

/// A layer that has been decrypted, and whose MAC was right.
pub struct Opened {
    /// The layer.
    pub bytes: Zeroizing<Pieces>,
    /// What hashes to this, if whoever encrypted it said so: the layer, or what it decompresses to.
    ///
    /// skopeo compresses an uncompressed layer before encrypting it, and writes the digest from
    /// before. See [`Opened::is_intact`].
    pub digest: Option<Digest>,
}

impl Opened {
    /// Whether the layer, or `uncompressed`, is what was encrypted.
    ///
    /// The MAC does not cover the nonce, so only this notices another one. True if whoever
    /// encrypted the layer named no digest.
    #[must_use]
    pub fn is_intact(&self, uncompressed: &[u8]) -> bool {
        let Some(expected) = self.digest else {
            return true;
        };
        self.bytes.digest() == expected || digest_of(uncompressed) == expected
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} bytes)", self.bytes.len())
    }
}

/// Encrypts a layer in place, for whoever has the key of any of `recipients`.
///
/// # Errors
/// Fails without recipients, with more than [`RECIPIENTS_MAX`], and without randomness.
pub fn encrypt<'a>(
    plain: Vec<u8>,
    recipients: impl Into<Recipients<'a>>,
) -> Result<Encrypted, EncryptError> {
    let recipients = recipients.into();
    let mut bytes = Zeroizing::new(plain);
    match recipients.count() {
        0 => return Err(EncryptError::NoRecipient),
        count if count > RECIPIENTS_MAX => return Err(EncryptError::TooMany(count)),
        _ => {}
    }
    let digest = digest_of(&bytes);
    let key = layer::LayerKey::generate()?;
    let mac = key.encrypt(&mut bytes)?;
    let wrapped = annotations::wrap(&options::key_options(&key, digest)?, recipients)?;
    Ok(Encrypted {
        bytes: std::mem::take(&mut *bytes),
        annotations: annotations::write(&options::public_options(&mac)?, wrapped),
    })
}

/// Decrypts a layer in place with whichever of `keys` it is encrypted for.
///
/// No byte is decrypted before the MAC over all of them was right. Check [`Opened::is_intact`]
/// after decompressing.
///
/// # Errors
/// Fails if the annotations ask for what cannot be done here, if no key opens the layer, and if it
/// is not what was encrypted. See [`DecryptError`].
pub fn decrypt<'a>(
    cipher: impl Into<Pieces>,
    annotations: &BTreeMap<String, String>,
    keys: impl Into<KeysRef<'a>>,
) -> Result<Opened, DecryptError> {
    let public = options::PublicOptions::read(&annotations::public_options(annotations)?)?;
    let wrapped = annotations::WrappedKeys::read(annotations)?;
    let secret = options::KeyOptions::read(&wrapped.open(keys.into())?)?;
    let key = secret.layer_key(&public)?;
    Ok(Opened {
        bytes: key.decrypt(cipher.into(), &public.mac)?,
        digest: secret.digest()?,
    })
}

/// Whom a layer is encrypted for: a line for every wrapped key, to be shown to people.
///
/// Such as `jwe RSA-OAEP`, `jwe ECDH-ES+A256KW P-256`, or
/// `provider.attestation-agent kbs:///default/key/kek1`. The lines are bounded and printable.
/// Annotations that are too large make one line that says so.
#[must_use]
pub fn recipients(annotations: &BTreeMap<String, String>) -> Vec<String> {
    match annotations::WrappedKeys::read(annotations) {
        Ok(wrapped) => wrapped.describe(),
        Err(DecryptError::NotEncrypted) => Vec::new(),
        Err(error) => vec![error.to_string()],
    }
}

/// Whether a layer is encrypted to public keys, besides whatever key providers keep.
#[must_use]
pub fn is_for_private_keys(annotations: &BTreeMap<String, String>) -> bool {
    annotations::WrappedKeys::read(annotations).is_ok_and(|wrapped| wrapped.has_jwe())
}

/// Where key providers keep the keys of a layer, in the order of its annotations.
///
/// Empty if it has none, or if its annotations are too large.
#[must_use]
pub fn key_ids(annotations: &BTreeMap<String, String>) -> Vec<String> {
    annotations::WrappedKeys::read(annotations)
        .map(|wrapped| wrapped.key_ids())
        .unwrap_or_default()
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest(hash)
}
