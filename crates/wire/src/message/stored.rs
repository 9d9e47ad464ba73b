//! Inputs and outputs that are too large for a message: objects in a store that the operator
//! names, sealed as docs/formats/ces.md says, which nobody opens but the proplet and the client.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Input, MESSAGE_LEN_MAX, MessageError, Output, decode, encode};

/// The key of a task's objects: what the key of each is wrapped with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct ObjectKey(pub [u8; 32]);

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

/// Names a store, whatever its address is from where one stands: 16 random bytes that lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMark(pub [u8; 16]);

/// An object in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Tells apart objects of the same kind of one task: at random for an input, for an output the
    /// number of its attempt.
    pub name: u64,
    /// The object's digest: what it is held against by whoever opens it.
    pub digest: [u8; 32],
    /// Length of its plaintext, in bytes.
    pub plain_len: u64,
}

/// What an [`Input`] has in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputObjects {
    /// Opens the input, and seals the output.
    pub key: ObjectKey,
    /// Standard input, in place of what the input itself has of it.
    pub stdin: Option<StoredObject>,
}

/// A part of a message that may be followed by another: what stands in the store is said behind
/// everything else, and only where something does, so that nothing else has changed.
macro_rules! followed {
    ($what:ty, $field:ident) => {
        impl $what {
            /// As it travels and rests, in an envelope of its own.
            #[must_use]
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = encode(self);
                if let Some(more) = &self.$field {
                    bytes.extend(encode(more));
                }
                bytes
            }

            /// Reads [`to_bytes`](Self::to_bytes), and nothing but that.
            ///
            /// # Errors
            /// See [`MessageError`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
                if bytes.len() > MESSAGE_LEN_MAX {
                    return Err(MessageError::TooLong(bytes.len()));
                }
                let (mut value, rest): (Self, _) =
                    postcard::take_from_bytes(bytes).map_err(MessageError::Malformed)?;
                if !rest.is_empty() {
                    value.$field = Some(decode(rest)?);
                }
                Ok(value)
            }
        }
    };
}

followed!(Input, objects);
followed!(Output, stdout_object);
