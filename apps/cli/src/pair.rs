//! `KEY=VALUE` on the command line.

use std::str::FromStr;

/// One `KEY=VALUE`. The value may be empty, and may contain `=` and commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A text that is no `KEY=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write it as KEY=VALUE")]
pub(crate) struct NoKeyValue;

impl KeyValue {
    pub(crate) fn into_parts(self) -> (String, String) {
        (self.key, self.value)
    }
}

impl FromStr for KeyValue {
    type Err = NoKeyValue;

    fn from_str(text: &str) -> Result<Self, NoKeyValue> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(NoKeyValue),
        }
    }
}
