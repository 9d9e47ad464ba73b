//! How an attempt ended, in a word.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an attempt ended, for programs that decide by it. The order is the format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitKind {
    /// A function came back.
    Returned,
    /// A command ended with an exit code.
    Exited,
    /// The guest did what WebAssembly or its host forbids.
    Trap,
    /// The guest asked for more than it may have.
    Limit,
    /// A stop that says nothing about the guest, in a run that has to be the same everywhere.
    Inconclusive,
    /// The guest was not begun: it cannot run as it was asked to, or its proplet does not take it.
    Refused,
    /// The guest broke out of its sandbox, and was caught.
    Escaped,
    /// The host of the guest failed.
    Host,
    /// The proplet or the guest's process went away.
    Lost,
    /// Its owner stopped it.
    Stopped,
}

impl ExitKind {
    /// Every kind, in the order of the format.
    pub const ALL: [Self; 10] = [
        Self::Returned,
        Self::Exited,
        Self::Trap,
        Self::Limit,
        Self::Inconclusive,
        Self::Refused,
        Self::Escaped,
        Self::Host,
        Self::Lost,
        Self::Stopped,
    ];

    /// The kind in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Exited => "exited",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Inconclusive => "inconclusive",
            Self::Refused => "refused",
            Self::Escaped => "escaped",
            Self::Host => "host",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that names no way to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no way to end is called like that")]
pub struct ExitKindError;

impl FromStr for ExitKind {
    type Err = ExitKindError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.word() == word).ok_or(ExitKindError)
    }
}

/// One of the two streams that a guest prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order of the format.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its place in whatever has one thing for each stream.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    /// Its number as the guest knows it, and as the context of an envelope has it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    /// Its usual name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in ExitKind::ALL {
            assert_eq!(kind.word().parse(), Ok(kind));
        }
        assert_eq!("ok".parse::<ExitKind>(), Err(ExitKindError));
    }

    #[test]
    fn the_streams_stand_where_they_say() {
        for stream in Stream::BOTH {
            assert_eq!(Stream::BOTH[stream.index()], stream);
        }
    }
}
