//! What can go wrong, one type per operation.

use propeller_jose::SealError;

/// Why nothing could be encrypted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptError {
    /// Nobody could read it.
    #[error("nobody could read the layer: name at least one public key to encrypt it to")]
    NoRecipient,
    /// More recipients than a reader would try.
    #[error("a layer has no more than {max} recipients, got {0}", max = super::RECIPIENTS_MAX)]
    TooMany(usize),
    /// No randomness, or no memory.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<SealError> for EncryptError {
    fn from(SealError: SealError) -> Self {
        Self::Library
    }
}

/// Why a layer does not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecryptError {
    /// No annotation with a wrapped key.
    #[error(
        "the layer has no wrapped key: it is not encrypted, or its annotations `org.opencontainers.image.enc.*` were lost when it was copied"
    )]
    NotEncrypted,
    /// Annotations that nobody needs to write.
    #[error("the annotations of the encrypted layer have more than {max} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The public options are not there, or not what they must be.
    #[error("the annotation `org.opencontainers.image.enc.pubopts` is unusable: {0}")]
    PublicOptions(&'static str),
    /// A cipher other than the one of ocicrypt.
    #[error(
        "the layer is encrypted by cipher `{0}`, which is not supported: encrypt it by AES_256_CTR_HMAC_SHA256, as skopeo does"
    )]
    Cipher(String),
    /// Only schemes that are not supported.
    #[error(
        "the layer is encrypted for {0}, which is not supported: encrypt it for scheme jwe, as with `skopeo copy --encryption-key jwe:KEY.pem`"
    )]
    Scheme(String),
    /// No key opens it.
    ///
    /// Another recipient, a changed header, wrapped key or tag: one variant, so that it is no
    /// oracle.
    #[error("no key given opens this layer: it is encrypted for {0}")]
    NoKey(String),
    /// A key opened it, and what is inside is no key of a layer.
    #[error("the wrapped key of the encrypted layer is unusable: {0}")]
    KeyOptions(&'static str),
    /// Not the bytes that were encrypted.
    #[error("the MAC of the encrypted layer is wrong: its bytes are not those that were encrypted")]
    Mac,
    /// No randomness, or no memory.
    #[error("the cryptographic library failed")]
    Library,
}
