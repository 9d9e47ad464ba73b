//! What all segments of an object have in common.

use crate::erasure::Code;
use crate::object::{DataKey, ObjectHeader, ObjectKeys};

/// What all segments of an object are written and read with. Threads share one.
#[derive(Debug)]
pub struct ObjectCoder {
    object: ObjectHeader,
    keys: ObjectKeys,
    code: Code,
}

impl ObjectCoder {
    /// Derives the object's keys, and prepares its code.
    #[must_use]
    pub fn new(object: ObjectHeader, data_key: &DataKey) -> Self {
        Self {
            object,
            keys: data_key.keys(&object),
            code: Code::new(object.geometry),
        }
    }

    /// What all shards of the object have in common.
    #[must_use]
    pub fn object(&self) -> &ObjectHeader {
        &self.object
    }

    /// The object's keys.
    #[must_use]
    pub fn keys(&self) -> &ObjectKeys {
        &self.keys
    }

    /// The code of the object's pieces.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }
}
