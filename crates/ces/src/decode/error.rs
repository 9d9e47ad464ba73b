//! Why an object does not open, and why it cannot be read.

use std::io;
use std::ops::Range;

use crate::damage::Damage;
use crate::error::{OpenError, TooManySegments, TrailerError, UnwrapError};
use crate::key::{KeyId, Label};
use crate::object::{Digest, ObjectId};
use crate::ring::RingError;
use crate::shards::GatherError;

/// Why an object does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// See [`GatherError`].
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// No key at hand is the object's.
    #[error("cannot open object {object}")]
    Missing {
        /// The object's id.
        object: ObjectId,
        /// Which key is missing.
        #[source]
        source: RingError,
    },
    /// The object's key is for another environment.
    #[error(
        "object {object} is of {}, and its key {key} is for `{key_label}` only",
        label.environment()
    )]
    Label {
        /// The object's id.
        object: ObjectId,
        /// The object's label.
        label: Label,
        /// The key's id.
        key: KeyId,
        /// The key's label.
        key_label: Label,
    },
    /// The key with the right id does not unwrap: a header was forged.
    #[error("cannot open object {object}")]
    Unwrap {
        /// The object's id.
        object: ObjectId,
        /// Which key was tried.
        #[source]
        source: UnwrapError,
    },
    /// Another version of the object, by somebody who has its key.
    #[error("object {object} has digest {found}, and {wanted} is wanted: it was replaced")]
    Digest {
        /// The object's id.
        object: ObjectId,
        /// The wanted digest.
        wanted: Digest,
        /// The digest that was found.
        found: Digest,
    },
    /// All trailers are damaged, and so is a record that would replace them.
    #[error("the end of the object cannot be found")]
    Read(#[from] ReadError),
}

/// Why an object cannot be read to its end. What was written then is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Too many shards are bad or missing.
    #[error(
        "segment {segment} is lost: it takes {needed} good pieces, and {good} are there: {damage}"
    )]
    Lost {
        /// The segment's number.
        segment: u32,
        /// How many pieces it takes.
        needed: u8,
        /// How many good ones there are.
        good: usize,
        /// Which shards are bad, and why.
        damage: Damage,
    },
    /// Nobody has a believable record of it.
    #[error("segment {segment} is lost: no shard has a record of it that is believed: {damage}")]
    LostRecord {
        /// The segment's number.
        segment: u32,
        /// Which shards are bad, and why.
        damage: Damage,
    },
    /// See [`OpenError`].
    #[error(transparent)]
    Segment(#[from] OpenError),
    /// The records are the key's, but not those of the object with this digest.
    #[error("the object contradicts itself: what was written is not to be used")]
    Contradiction(#[from] TrailerError),
    /// See [`TooManySegments`].
    #[error(transparent)]
    TooManySegments(#[from] TooManySegments),
    /// A range that the object does not have.
    #[error("bytes {} to {} were asked for, and the object has {len}", range.start, range.end)]
    Range {
        /// What was asked for.
        range: Range<u64>,
        /// Length of the plaintext, in bytes.
        len: u64,
    },
    /// The plaintext cannot be written.
    #[error("cannot write the plaintext")]
    Output(#[source] io::Error),
}
