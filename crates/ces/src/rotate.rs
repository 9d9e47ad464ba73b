//! Another key for an object, without touching what it seals.

use crate::audit::{Action, Audit, Event};
use crate::error::{HeaderError, UnwrapError};
use crate::header::{HEADER_LEN, Header};
use crate::key::{Key, KeyId, Label};
use crate::object::ObjectId;
use crate::ring::{KeyRing, RingError};

/// The header that a shard gets in the place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The new header: the first bytes of the shard.
    pub header: [u8; HEADER_LEN],
    /// Whether it is another one than before: a shard that was rotated already stays as it is.
    pub is_changed: bool,
    /// The key that the data key was under.
    pub from: KeyId,
    /// The object's id.
    pub object: ObjectId,
}

/// Why a shard keeps its header.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotateError {
    /// See [`HeaderError`]. A damaged header is for [`repair`](crate::repair()).
    #[error("cannot rotate the shard")]
    Header(#[from] HeaderError),
    /// The key that the shard is under is not at hand.
    #[error("cannot rotate object {object}")]
    Missing {
        /// The object's id.
        object: ObjectId,
        /// Which key is missing.
        #[source]
        source: RingError,
    },
    /// The key that it is under does not unwrap: the header was forged.
    #[error("cannot rotate object {object}")]
    Unwrap {
        /// The object's id.
        object: ObjectId,
        /// Which key was tried.
        #[source]
        source: UnwrapError,
    },
    /// A key that is for another environment.
    #[error(
        "object {object} is of {}, and key {key} is for `{key_label}` only",
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
}

/// Wraps the data key in a shard's header under `to`, with a key of `from`.
///
/// Nothing is read or written. Whoever rotates an object does this for its shards one by one, in any
/// order, and once more for all of them after an interruption: until then, both keys are needed.
///
/// # Errors
/// See [`RotateError`].
pub fn rotate(
    header: &[u8; HEADER_LEN],
    from: &KeyRing,
    to: &Key,
    audit: Audit<'_>,
) -> Result<Rotated, RotateError> {
    let header = Header::parse(header)?;
    let (object, label) = (header.object().id, header.object().label);
    let tell = |action, key| {
        audit.tell(&Event {
            action,
            key,
            label,
            object: Some(object),
        });
    };
    let refused = |key: &Key| {
        tell(Action::Refused, key.id());
        let (key, key_label) = (key.id(), key.label());
        RotateError::Label {
            object,
            label,
            key,
            key_label,
        }
    };
    if !to.is_for(label) {
        return Err(refused(to));
    }
    // What is under the new key already takes that one, whether or not the ring has it.
    let old = match header.key_id() == to.id() {
        true => Ok(to),
        false => from.find(header.key_id()),
    };
    let old = old.map_err(|source| {
        tell(Action::Refused, header.key_id());
        RotateError::Missing { object, source }
    })?;
    if !old.is_for(label) {
        return Err(refused(old));
    }
    let data_key = header.unwrap_key(old).map_err(|source| {
        tell(Action::Refused, old.id());
        RotateError::Unwrap { object, source }
    })?;
    tell(Action::Unwrapped, old.id());
    let new = header.rewrapped(&data_key, to);
    let is_changed = new != header;
    if is_changed {
        tell(Action::Rotated, to.id());
    }
    Ok(Rotated {
        header: new.to_bytes(),
        is_changed,
        from: header.key_id(),
        object,
    })
}
