//! Why keys are not put into a backup, or taken from one.

use crate::key::{KeyId, RandomError};

/// Why no backup was made.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// Not 1 to 255 keys.
    #[error(
        "a backup holds 1 to {} keys, got {got}: make several",
        super::KEYS_MAX
    )]
    Count {
        /// How many keys there were.
        got: usize,
    },
    /// The same key twice.
    #[error("key {id} is there twice: remove one of the two")]
    Repeated {
        /// The key's id.
        id: KeyId,
    },
    /// A passphrase that is guessed in no time.
    #[error(
        "a passphrase has at least {} bytes, got {got}: take several words that a computer chose",
        super::PASSPHRASE_LEN_MIN
    )]
    Passphrase {
        /// How many bytes there were.
        got: usize,
    },
    /// See [`RandomError`].
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Why a backup does not open. The text itself is never part of the message.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// Something else.
    #[error(
        "not a backup of keys: one begins with the line {:?}",
        super::armour::BEGIN
    )]
    NotABackup,
    /// A character that base64 does not have, or a line of another form.
    #[error("line {line} of the backup is not base64: compare it with the original")]
    Line {
        /// Number of the line in the text, from 1.
        line: usize,
    },
    /// The end is missing.
    #[error(
        "the backup was cut: it goes on to the line {:?}; look for the rest",
        super::armour::END
    )]
    Cut,
    /// The text is longer than any backup.
    #[error(
        "a backup has at most {} bytes, got {got}",
        super::armour::TEXT_LEN_MAX
    )]
    Long {
        /// How many bytes there were.
        got: usize,
    },
    /// Made by a later version.
    #[error("version {found} of key backups is not known: use a newer release")]
    Version {
        /// The version it names.
        found: u8,
    },
    /// Some bytes were changed, or lines lost: no passphrase is to blame.
    #[error("the backup was damaged: its check does not match; compare it with another copy")]
    Damaged,
    /// Its length does not fit the number of its keys.
    #[error(
        "the backup says that it holds {count} keys, and has another length: it was made by a faulty program"
    )]
    Length {
        /// How many keys it says it holds.
        count: u8,
    },
    /// It asks for more memory or time than any backup needs.
    #[error(
        "the backup asks for scrypt with N=2^{log_n}, r={r}, p={p}, which this program does not do \
         (N is 2^10 to 2^20, r is 8, p is 1): take a backup that this program made"
    )]
    Cost {
        /// The binary logarithm of N.
        log_n: u8,
        /// The block size.
        r: u8,
        /// The parallelism.
        p: u8,
    },
    /// Another passphrase, or a forgery whose check matches.
    #[error("the passphrase does not open the backup: it is another one")]
    Passphrase,
    /// A label that no header could hold, from whoever knows the passphrase.
    #[error("a key in the backup has a label that is none: it was made by a faulty program")]
    Label,
}
