//! Identifiers. Each has one text form, which is the same everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a task. A UUIDv7 when we make it, so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// Names one attempt at a task: the idempotency key of everything that is said about it.
///
/// Numbers count from 1 over the whole life of a task, also across restarts by its owner, so that
/// a report from an earlier run can never be taken for one of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which attempt, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.number)
    }
}

/// Names a proplet: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it is safe in a topic and a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PropletId(String);

impl PropletId {
    /// Longest id, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a proplet id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a proplet id is 1 to 64 letters, digits, dots, dashes or underscores and starts with a letter or digit"
)]
pub struct PropletIdError;

impl TryFrom<String> for PropletId {
    type Error = PropletIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let clean = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if starts_well && clean && text.len() <= Self::LEN_MAX {
            Ok(Self(text))
        } else {
            Err(PropletIdError)
        }
    }
}

impl FromStr for PropletId {
    type Err = PropletIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<PropletId> for String {
    fn from(id: PropletId) -> Self {
        id.0
    }
}

impl fmt::Display for PropletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PropletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_topic_or_folder_are_refused() {
        let long = "x".repeat(65);
        for bad in [
            "",
            "a/b",
            "#",
            "+",
            "..",
            ".hidden",
            "a b",
            "é",
            long.as_str(),
        ] {
            assert_eq!(bad.parse::<PropletId>(), Err(PropletIdError), "{bad}");
        }
        for good in ["proplet-1", "0", "edge.lan_7", &"x".repeat(64)] {
            assert_eq!(good.parse::<PropletId>().unwrap().as_str(), good);
        }
    }
}
