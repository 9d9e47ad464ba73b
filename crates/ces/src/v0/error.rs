//! What can go wrong with shards of the older implementation.

use std::io;

use super::TRIALS_MAX;
use crate::key::Label;

/// Why shards of the older implementation give nothing back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconstructError {
    /// More shards than the geometry has.
    #[error(
        "there are {got} shards, and the geometry has {pieces}: state the one they were made with"
    )]
    TooMany {
        /// How many there are.
        got: usize,
        /// How many there may be.
        pieces: u16,
    },
    /// Fewer shards than it takes.
    #[error("not enough shards: {got} of at least {needed}")]
    NotEnough {
        /// How many there are.
        got: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Enough shards, but too few of one length.
    #[error(
        "the shards have different lengths: of {got} at most {alike} are alike, and it takes {needed}; some are cut, or of another object"
    )]
    Lengths {
        /// How many there are.
        got: usize,
        /// How many of them have the most frequent length.
        alike: usize,
        /// How many it takes.
        needed: usize,
    },
    /// No set of shards has a length field that fits the shards' length.
    #[error(
        "the length field is wrong in every set of these shards: they are cut, stand at another index, were made with another geometry, or too many are damaged"
    )]
    LengthField,
    /// No set of shards opens.
    #[error(
        "none of the {trials} sets of these shards opens with this key: it is another key, or too many shards are damaged or stand at another index"
    )]
    NotOurs {
        /// How many sets were tried.
        trials: usize,
    },
    /// No set of those that were tried opens, and there are more.
    #[error(
        "none of the first {trials} sets of these shards opens with this key, and more than {TRIALS_MAX} are not tried: leave out shards that may be damaged"
    )]
    GaveUp {
        /// How many sets were tried.
        trials: usize,
    },
    /// What opens is a zstd frame that does not decompress: this is not what was sealed by the older
    /// implementation, or there is no memory.
    #[error("the shards open, and the zstd frame in them cannot be decompressed")]
    Frame(#[source] io::Error),
    /// The plaintext is longer than the reader takes.
    #[error("the plaintext is longer than the limit of {max} bytes: raise it if it is meant to be")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The key is for objects with a label, which these shards do not have.
    #[error(
        "the key is for `{label}` alone, and shards of the older implementation have no label: state the key without it"
    )]
    Label {
        /// The label of the key.
        label: Label,
    },
}
