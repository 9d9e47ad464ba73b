//! What can go wrong, one type per operation.

/// Why nothing could be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// See [`RandomError`].
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The plaintext has more than 2³² chunks.
    #[error("{bytes} bytes are more than one envelope can hold")]
    TooLong {
        /// Length of the plaintext.
        bytes: usize,
    },
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// Why an envelope does not open.
///
/// Deliberately coarse: a finer answer would tell an attacker which step failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The bytes do not have the layout of an envelope.
    #[error("not an envelope: {0}")]
    Malformed(&'static str),
    /// A version this build does not speak.
    #[error("envelope version {0} is not supported by this version")]
    Version(u8),
    /// No key opens it, or it was sealed for another context, or its header was changed.
    #[error("cipher: message authentication failed")]
    NotOurs,
    /// The payload was changed, cut, reordered or extended.
    #[error("cipher: message authentication failed in the payload")]
    Payload,
}

/// Why a text is not a workload key. The text itself is never part of the message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkloadKeyError {
    /// Not 64 characters.
    #[error(
        "a workload key is 64 hexadecimal digits (32 bytes), got {got} characters; make one with `openssl rand -hex 32`"
    )]
    Length {
        /// How many characters there were.
        got: usize,
    },
    /// A character that is not a hexadecimal digit.
    #[error(
        "a workload key is 64 hexadecimal digits, character {position} is not one; make one with `openssl rand -hex 32`"
    )]
    Digit {
        /// Position of the offending character, from 1.
        position: usize,
    },
    /// Every byte is the same, as in a placeholder.
    #[error(
        "a workload key must be random, this one repeats a single byte; make one with `openssl rand -hex 32`"
    )]
    Placeholder,
    /// The same key is configured twice.
    #[error("the same workload key is configured twice, as key {key_id}")]
    Repeated {
        /// The key's id.
        key_id: crate::KeyId,
    },
}
