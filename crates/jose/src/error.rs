//! What can go wrong.

/// The cryptographic library failed: no randomness, or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct SealError;

/// Why bytes are not a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// More bytes than a key has.
    #[error("a key has no more than {max} bytes, this has {bytes}")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// PEM whose base64 or whose last line is wrong.
    #[error("the PEM text is damaged: write it again, without changing a line of it")]
    Pem,
    /// A private key where a public one belongs.
    #[error(
        "this is a private key, and images are encrypted to a public one: make it with `openssl pkey -pubout`"
    )]
    Private,
    /// A public key where a private one belongs.
    #[error("this is a public key, and only the private one decrypts")]
    Public,
    /// A certificate.
    #[error(
        "this is a certificate: take its public key with `openssl x509 -pubkey -noout`, for scheme jwe"
    )]
    Certificate,
    /// A private key that a passphrase protects.
    #[error("this private key has a passphrase: take it away with `openssl pkey`")]
    Passphrase,
    /// A JSON Web Key that cannot be used.
    #[error("this JWK cannot be used: {0}")]
    Jwk(&'static str),
    /// Not a public key that can be used.
    #[error(
        "not a public key that images can be encrypted to: it must be PEM or DER of a SubjectPublicKeyInfo, or a JWK, for RSA of 2048 to 8192 bits or for EC on P-256, P-384 or P-521"
    )]
    UnusablePublic,
    /// Not a private key that can be used.
    #[error(
        "not a private key that opens images: it must be PEM or DER of PKCS#8, PKCS#1 or SEC 1, or a JWK, for RSA of 2048 to 8192 bits or for EC on P-256, P-384 or P-521"
    )]
    UnusablePrivate,
}
