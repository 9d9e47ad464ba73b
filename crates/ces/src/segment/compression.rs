//! How hard a writer tries to make segments shorter.

use crate::error::LevelError;

/// Whether segments are compressed, and how hard zstd tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all. How well a segment compresses tells something about what is in it.
    Off,
    /// Each segment that becomes shorter by it.
    Zstd(Level),
}

impl Default for Compression {
    /// zstd's own default, level 3.
    fn default() -> Self {
        Self::Zstd(Level(3))
    }
}

/// A level of zstd, 1 to 22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub(super) i32);

impl Level {
    /// Takes 1, the fastest, to 22, the smallest.
    ///
    /// # Errors
    /// Fails outside that: zstd would take the nearest level and say nothing.
    pub fn new(level: i32) -> Result<Self, LevelError> {
        match level {
            1..=22 => Ok(Self(level)),
            got => Err(LevelError { got }),
        }
    }
}
