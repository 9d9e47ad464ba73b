//! Whom a layer is encrypted for, and what opens it.

use std::sync::Arc;

use propeller_jose::{PrivateKey, PublicKey};

use super::provider::WrappingKey;

/// What encrypted layers are opened with.
#[derive(Clone, Debug)]
pub struct Keys {
    /// For layers that are encrypted to public keys.
    pub private: Arc<[PrivateKey]>,
    /// For layers whose key a key provider keeps.
    pub wrapping: Arc<[WrappingKey]>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            private: Arc::new([]),
            wrapping: Arc::new([]),
        }
    }
}

impl From<Arc<[PrivateKey]>> for Keys {
    fn from(private: Arc<[PrivateKey]>) -> Self {
        Self {
            private,
            ..Self::default()
        }
    }
}

/// [`Keys`], for as long as they are used.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysRef<'a> {
    pub(super) private: &'a [PrivateKey],
    pub(super) wrapping: &'a [WrappingKey],
}

impl<'a> From<&'a Keys> for KeysRef<'a> {
    fn from(keys: &'a Keys) -> Self {
        Self {
            private: &keys.private,
            wrapping: &keys.wrapping,
        }
    }
}

impl<'a> From<&'a [PrivateKey]> for KeysRef<'a> {
    fn from(private: &'a [PrivateKey]) -> Self {
        Self {
            private,
            ..Self::default()
        }
    }
}

impl<'a, const N: usize> From<&'a [PrivateKey; N]> for KeysRef<'a> {
    fn from(private: &'a [PrivateKey; N]) -> Self {
        Self::from(private.as_slice())
    }
}

impl<'a> From<&'a Vec<PrivateKey>> for KeysRef<'a> {
    fn from(private: &'a Vec<PrivateKey>) -> Self {
        Self::from(private.as_slice())
    }
}

/// Whom a layer is encrypted for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recipients<'a> {
    /// Owners of private keys.
    pub public: &'a [PublicKey],
    /// Whoever a key provider gives one of these to.
    pub wrapping: &'a [WrappingKey],
}

impl Recipients<'_> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.public.len() + self.wrapping.len()
    }
}

impl<'a> From<&'a [PublicKey]> for Recipients<'a> {
    fn from(public: &'a [PublicKey]) -> Self {
        Self {
            public,
            ..Self::default()
        }
    }
}

impl<'a, const N: usize> From<&'a [PublicKey; N]> for Recipients<'a> {
    fn from(public: &'a [PublicKey; N]) -> Self {
        Self::from(public.as_slice())
    }
}

impl<'a> From<&'a Vec<PublicKey>> for Recipients<'a> {
    fn from(public: &'a Vec<PublicKey>) -> Self {
        Self::from(public.as_slice())
    }
}
