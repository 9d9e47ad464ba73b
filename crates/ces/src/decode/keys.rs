//! Finds the key that opens an object.

use crate::audit::{Action, Audit, Event};
use crate::damage::Why;
use crate::error::UnwrapError;
use crate::header::Header;
use crate::key::{Key, KeyId, Label};
use crate::object::{DataKey, WrappedKey};
use crate::ring::{KeyRing, RingError};
use crate::shards::Shards;

use super::error::ObjectError;

/// Unwraps the data key with one of `keys`.
///
/// An interrupted rotation leaves shards under two keys, and anybody can write a header, so every
/// wrapped key is tried, each distinct one once.
pub(super) fn unwrap<S>(
    shards: &mut Shards<S>,
    keys: &KeyRing,
    audit: Audit<'_>,
) -> Result<(KeyId, DataKey), ObjectError> {
    let object = shards.object;
    let tell = |action, key| {
        audit.tell(&Event {
            action,
            key,
            label: object.label,
            object: Some(object.id),
        });
    };
    let mut tried: Vec<(KeyId, WrappedKey)> = Vec::new();
    let mut refusals = Vec::new();
    for place in 0..shards.list.len() {
        let header = shards.list[place].header;
        let wrapped = (header.key_id(), *header.wrapped());
        if tried.contains(&wrapped) {
            continue;
        }
        tried.push(wrapped);
        match unwrap_one(&header, keys) {
            Ok(data_key) => {
                tell(Action::Unwrapped, header.key_id());
                return Ok((header.key_id(), data_key));
            }
            Err(refusal) => {
                tell(Action::Refused, header.key_id());
                if matches!(refusal, Refusal::Unwrap(_)) {
                    shards.blame(place, None, Why::Wrapped);
                }
                refusals.push(refusal);
            }
        }
    }
    Err(most_telling(shards, refusals))
}

/// Whether one of `keys` opens the object of `header`.
pub(super) fn opens(header: &Header, keys: &KeyRing, audit: Audit<'_>) -> bool {
    let opened = unwrap_one(header, keys);
    // A key that is not there is not used.
    let action = match &opened {
        Ok(_) => Action::Unwrapped,
        Err(Refusal::Missing(_)) => return false,
        Err(Refusal::Label { .. } | Refusal::Unwrap(_)) => Action::Refused,
    };
    audit.tell(&Event {
        action,
        key: header.key_id(),
        label: header.object().label,
        object: Some(header.object().id),
    });
    opened.is_ok()
}

/// Why a wrapped key was refused, what is the most telling last.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Missing(RingError),
    Label { key: KeyId, key_label: Label },
    Unwrap(UnwrapError),
}

fn unwrap_one(header: &Header, keys: &KeyRing) -> Result<DataKey, Refusal> {
    let key: &Key = keys.find(header.key_id()).map_err(Refusal::Missing)?;
    if !key.is_for(header.object().label) {
        let (key, key_label) = (key.id(), key.label());
        return Err(Refusal::Label { key, key_label });
    }
    header.unwrap_key(key).map_err(Refusal::Unwrap)
}

/// A key that is there and does not open says more than one that is not there.
fn most_telling<S>(shards: &Shards<S>, refusals: Vec<Refusal>) -> ObjectError {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::Missing(_) => 0,
        Refusal::Label { .. } => 1,
        Refusal::Unwrap(_) => 2,
    };
    let most = refusals.into_iter().max_by_key(rank);
    let (object, label) = (shards.object.id, shards.object.label);
    match most.expect("an object has a shard, which has a wrapped key") {
        Refusal::Missing(source) => ObjectError::Missing { object, source },
        Refusal::Label { key, key_label } => ObjectError::Label {
            object,
            label,
            key,
            key_label,
        },
        Refusal::Unwrap(source) => ObjectError::Unwrap { object, source },
    }
}
