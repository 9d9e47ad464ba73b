//! Tells whoever keeps an audit log of every use of a key.

use std::fmt;

use crate::key::{Key, KeyId, Label};
use crate::object::ObjectId;

/// Where uses of keys are told.
///
/// Handed to every function that uses a key, so that none is used untold by accident; whoever keeps
/// no log says so with [`Audit::none`].
#[derive(Clone, Copy)]
pub struct Audit<'a>(&'a (dyn Fn(&Event) + Sync));

impl<'a> Audit<'a> {
    /// Calls `hook` for every event, on the thread that uses the key, before anything is done with
    /// what came of it.
    #[must_use]
    pub fn to(hook: &'a (dyn Fn(&Event) + Sync)) -> Self {
        Self(hook)
    }

    /// For whoever keeps no log.
    #[must_use]
    pub fn none() -> Self {
        Self(&|_| ())
    }

    /// Tells one event.
    ///
    /// This crate tells every use that it makes of a key. Whoever makes a key tells that it was
    /// [created](Action::Created): only they know whether it will be used.
    pub fn tell(self, event: &Event) {
        (self.0)(event);
    }

    /// Tells what was done with a key of its own, and with no object.
    pub(crate) fn key(self, action: Action, key: &Key) {
        self.tell(&Event {
            action,
            key: key.id(),
            label: key.label(),
            object: None,
        });
    }
}

impl fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

/// One use of a key. No part of it is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub action: Action,
    /// The key with which it was done, or which was missing.
    pub key: KeyId,
    /// The label of the object, or of the key where there is none.
    pub label: Label,
    /// The object whose data key it was done to.
    pub object: Option<ObjectId>,
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A new key was made.
    Created,
    /// The data key of a new object was wrapped under it.
    Wrapped,
    /// The data key of an object was unwrapped with it.
    Unwrapped,
    /// It did not unwrap, is not at hand, or is for another environment.
    Refused,
    /// The data key of an object was wrapped anew under it.
    Rotated,
    /// It was put into a backup.
    Exported,
    /// It was taken from a backup.
    Imported,
}

impl Action {
    /// The word for it in a log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Wrapped => "wrapped",
            Self::Unwrapped => "unwrapped",
            Self::Refused => "refused",
            Self::Rotated => "rotated",
            Self::Exported => "exported",
            Self::Imported => "imported",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
