//! A manager's answer: what it means, and what it said word for word.

use std::ops::Deref;

use serde::de::DeserializeOwned;

/// A value and the JSON it was read from.
///
/// The JSON may say more than the value does: a newer manager adds fields, and a program that
/// passes the answer on must not lose them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    value: T,
    json: String,
}

impl<T> Reply<T> {
    /// The manager's JSON, unchanged.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The value alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T: DeserializeOwned> Reply<T> {
    pub(crate) fn parse(json: String) -> Result<Self, serde_json::Error> {
        Ok(Self {
            value: serde_json::from_str(&json)?,
            json,
        })
    }
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
