//! Workload keys, their ids, and the keyring that holds several.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{RandomError, WorkloadKeyError};
use crate::kdf::hkdf;

/// The 32-byte key that manager, proxy and proplet share.
///
/// Whoever holds it can read and impersonate every other holder.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WorkloadKey([u8; 32]);

impl WorkloadKey {
    /// Takes 32 bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes a new random key.
    ///
    /// # Errors
    /// Fails if the system has no randomness.
    pub fn generate() -> Result<Self, RandomError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomError)?;
        Ok(Self(bytes))
    }

    /// Reads 64 hexadecimal digits, surrounded by nothing but white space.
    ///
    /// # Errors
    /// Says what is wrong with the text without repeating it.
    pub fn from_hex(text: &str) -> Result<Self, WorkloadKeyError> {
        let text = text.trim();
        if let Some(position) = text.chars().position(|c| !c.is_ascii_hexdigit()) {
            return Err(WorkloadKeyError::Digit {
                position: position + 1,
            });
        }
        let bytes = Zeroizing::new(
            data_encoding::HEXLOWER_PERMISSIVE
                .decode(text.as_bytes())
                .unwrap_or_default(),
        );
        let bytes: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| WorkloadKeyError::Length { got: text.len() })?;
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(WorkloadKeyError::Placeholder);
        }
        Ok(Self(bytes))
    }

    /// The key as 64 hexadecimal digits, for the file it is kept in.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::HEXLOWER.encode(&self.0))
    }

    /// The name of this key: `HKDF(key, "", "propeller workload key id v1", 8)`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(*hkdf(&self.0, b"", &[b"propeller workload key id v1"]))
    }

    /// `HKDF(key, salt, info, 32)`, for the protocols that build on this key.
    ///
    /// `info` must start with a label that no other use shares.
    #[must_use]
    pub fn derive(&self, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        hkdf(&self.0, salt, info)
    }
}

impl fmt::Debug for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkloadKey({})", self.id())
    }
}

/// Names a workload key without revealing it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// One key to seal with, and any number to open with.
#[derive(Debug, Clone)]
pub struct Keyring {
    /// Never empty; the first one seals.
    keys: Vec<WorkloadKey>,
}

impl Keyring {
    /// A ring with one key, for sealing and opening.
    #[must_use]
    pub fn new(sealing: WorkloadKey) -> Self {
        Self {
            keys: vec![sealing],
        }
    }

    /// A ring that also opens what was sealed with older or coming keys.
    ///
    /// # Errors
    /// Fails if a key is there twice, which is always a mistake in a rotation.
    pub fn with_opening(
        sealing: WorkloadKey,
        opening: impl IntoIterator<Item = WorkloadKey>,
    ) -> Result<Self, WorkloadKeyError> {
        let mut ring = Self::new(sealing);
        for key in opening {
            let key_id = key.id();
            if ring.find(key_id).is_some() {
                return Err(WorkloadKeyError::Repeated { key_id });
            }
            ring.keys.push(key);
        }
        Ok(ring)
    }

    /// The key that seals.
    #[must_use]
    pub fn sealing(&self) -> &WorkloadKey {
        &self.keys[0]
    }

    /// The key with this id, if the ring has it.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&WorkloadKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The ids of all keys, the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(WorkloadKey::id)
    }
}
