//! The keys at hand: one to write with or none, and several to read with.

use std::fmt;

use crate::key::{Key, KeyId};

/// Keys by their ids.
#[derive(Debug, Clone)]
pub struct KeyRing {
    writing: Option<Held>,
    reading: Vec<Held>,
}

/// A key and its id, which is derived once.
#[derive(Debug, Clone)]
struct Held {
    id: KeyId,
    key: Key,
}

impl KeyRing {
    /// A ring with one key, to write and to read with.
    #[must_use]
    pub fn new(writing: Key) -> Self {
        Self {
            writing: Some(Held::new(writing)),
            reading: Vec::new(),
        }
    }

    /// A ring with keys to read with only.
    ///
    /// # Errors
    /// Fails if a key is there twice.
    pub fn reading(keys: impl IntoIterator<Item = Key>) -> Result<Self, RingError> {
        let ring = Self {
            writing: None,
            reading: Vec::new(),
        };
        ring.and_reading(keys)
    }

    /// The same ring with more keys to read with, such as those that were written with before.
    ///
    /// # Errors
    /// Fails if a key is there twice, which is always a mistake in a rotation.
    pub fn and_reading(mut self, keys: impl IntoIterator<Item = Key>) -> Result<Self, RingError> {
        for key in keys {
            let held = Held::new(key);
            if self.find(held.id).is_ok() {
                return Err(RingError::Repeated { id: held.id });
            }
            self.reading.push(held);
        }
        Ok(self)
    }

    /// The key to write with.
    ///
    /// # Errors
    /// Fails if the ring is one to read with only.
    pub fn writing(&self) -> Result<&Key, RingError> {
        match &self.writing {
            Some(held) => Ok(&held.key),
            None => Err(RingError::ReadOnly {
                at_hand: self.ids(),
            }),
        }
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Fails if the ring does not have it, and names those that it has.
    pub fn find(&self, id: KeyId) -> Result<&Key, RingError> {
        match self.held().find(|held| held.id == id) {
            Some(held) => Ok(&held.key),
            None => Err(RingError::Missing {
                id,
                at_hand: self.ids(),
            }),
        }
    }

    /// The ids of all keys, that of the one to write with first.
    #[must_use]
    pub fn ids(&self) -> KeyIds {
        KeyIds(self.held().map(|held| held.id).collect())
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.writing.iter().chain(&self.reading)
    }
}

impl Held {
    fn new(key: Key) -> Self {
        Self { id: key.id(), key }
    }
}

/// Ids of keys, as messages list them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIds(pub Vec<KeyId>);

impl fmt::Display for KeyIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (position, id) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{id}")?;
        }
        Ok(())
    }
}

/// Why a ring does not give a key.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// No key has this id.
    #[error("key {id} is not at hand (at hand: {at_hand}): add it to the keys to read with")]
    Missing {
        /// The id that was looked for.
        id: KeyId,
        /// The ids of the ring's keys.
        at_hand: KeyIds,
    },
    /// There is no key to write with.
    #[error("there are only keys to read with (at hand: {at_hand}): name one to write with")]
    ReadOnly {
        /// The ids of the ring's keys.
        at_hand: KeyIds,
    },
    /// The same key twice.
    #[error("key {id} is there twice: remove one of the two")]
    Repeated {
        /// The key's id.
        id: KeyId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    #[test]
    fn keys_are_found_by_their_ids_whatever_they_are_for() {
        let ring = KeyRing::new(key(1)).and_reading([key(2), key(3)]).unwrap();
        assert_eq!(ring.writing().unwrap().id(), key(1).id());
        for byte in [1, 2, 3] {
            assert_eq!(ring.find(key(byte).id()).unwrap().id(), key(byte).id());
        }
    }

    #[test]
    fn the_error_names_the_key_that_is_missing_and_those_at_hand() {
        let ring = KeyRing::new(key(1)).and_reading([key(2)]).unwrap();
        let (one, two, three) = (key(1).id(), key(2).id(), key(3).id());
        let text = ring.find(three).unwrap_err().to_string();
        let expected = format!("key {three} is not at hand (at hand: {one}, {two})");
        assert!(text.starts_with(&expected), "{text}");
        let empty = KeyRing::reading([]).unwrap();
        assert!(
            empty
                .find(one)
                .unwrap_err()
                .to_string()
                .contains("at hand: none")
        );
    }

    #[test]
    fn a_ring_to_read_with_writes_nothing() {
        let ring = KeyRing::reading([key(1)]).unwrap();
        let at_hand = KeyIds(vec![key(1).id()]);
        assert_eq!(ring.writing().unwrap_err(), RingError::ReadOnly { at_hand });
    }

    #[test]
    fn the_same_key_twice_is_a_mistake() {
        let repeated = RingError::Repeated { id: key(1).id() };
        let twice = KeyRing::new(key(1)).and_reading([key(2), key(1)]);
        assert_eq!(twice.unwrap_err(), repeated);
        assert_eq!(KeyRing::reading([key(1), key(1)]).unwrap_err(), repeated);
    }
}
