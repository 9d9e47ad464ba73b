//! What is wrong with the shards of an object.

use std::fmt;
use std::io;

use crate::error::{HeaderError, IndexError, PieceError, RecordError, TrailerError};
use crate::object::ObjectId;

/// Faults of one shard that are kept one by one: enough to see a pattern, and a shard of a terabyte
/// whose every segment is bad takes no more.
pub const FAULTS_MAX: usize = 16;

/// What is wrong with the shards of an object, as far as a reader had to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Ordered by input.
    shards: Vec<ShardFaults>,
    missing: Vec<u8>,
}

/// What is wrong with one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFaults {
    /// Its place among the shards that were handed over, counted from 0.
    pub input: usize,
    /// Its index in the object, if its header is one of this object.
    pub index: Option<u8>,
    /// The first faults, at most [`FAULTS_MAX`].
    pub first: Vec<Fault>,
    /// How many faults there are.
    pub count: u64,
}

/// One thing that is wrong with a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The segment for which the shard is missing; for all where there is none.
    pub segment: Option<u32>,
    /// Why.
    pub why: Why,
}

/// Why a shard is missing, for a segment or for all.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It cannot be read.
    #[error("{}", unreadable(*kind, message))]
    Read {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The source's own words.
        message: String,
    },
    /// It does not begin like a shard.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It belongs to another object.
    #[error("it is a shard of another object, {object}")]
    Foreign {
        /// The object it says it belongs to.
        object: ObjectId,
    },
    /// Its header has the id of the object and something else in it.
    #[error("it says that it is of this object, and describes another")]
    Disguised,
    /// Its index is there already.
    #[error(
        "input {other} is the same shard of the object: one of the two is superfluous or false"
    )]
    Twice {
        /// The place of the other one among the shards that were handed over.
        other: usize,
    },
    /// Its wrapped key is not the one that opens.
    #[error("its wrapped key does not open the object")]
    Wrapped,
    /// Where its index says that a segment is, no shard has that segment.
    #[error("its index leads nowhere")]
    Astray,
    /// A record of a segment.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A piece of a segment, or its path.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// An index block.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The trailer.
    #[error(transparent)]
    Trailer(#[from] TrailerError),
}

impl Why {
    pub(crate) fn read(error: &io::Error) -> Self {
        Self::Read {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

fn unreadable(kind: io::ErrorKind, message: &str) -> String {
    match kind {
        io::ErrorKind::UnexpectedEof => "it ends too early: it was cut".to_owned(),
        _ => format!("it cannot be read: {message}"),
    }
}

impl Damage {
    /// Whether nothing is wrong, as far as a reader had to look.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.shards.is_empty() && self.missing.is_empty()
    }

    /// The shards with which something is wrong, in the order in which they were handed over.
    #[must_use]
    pub fn shards(&self) -> &[ShardFaults] {
        &self.shards
    }

    /// What is wrong with the shard that was handed over in this place.
    #[must_use]
    pub fn of(&self, input: usize) -> Option<&ShardFaults> {
        let place = self.place(input).ok()?;
        Some(&self.shards[place])
    }

    /// The indices of the object for which no shard was handed over, ascending.
    #[must_use]
    pub fn missing(&self) -> &[u8] {
        &self.missing
    }

    pub(crate) fn set_missing(&mut self, missing: Vec<u8>) {
        self.missing = missing;
    }

    pub(crate) fn add(&mut self, input: usize, index: Option<u8>, segment: Option<u32>, why: Why) {
        let place = match self.place(input) {
            Ok(place) => place,
            Err(place) => {
                let new = ShardFaults {
                    input,
                    index,
                    first: Vec::new(),
                    count: 0,
                };
                self.shards.insert(place, new);
                place
            }
        };
        let shard = &mut self.shards[place];
        shard.count += 1;
        if shard.first.len() < FAULTS_MAX {
            shard.first.push(Fault { segment, why });
        }
    }

    /// What is wrong with shards as a whole.
    pub(crate) fn of_all_segments(&self) -> Self {
        let mut whole = Self {
            shards: Vec::new(),
            missing: self.missing.clone(),
        };
        for shard in &self.shards {
            let faults = shard.first.iter().filter(|fault| fault.segment.is_none());
            for fault in faults {
                whole.add(shard.input, shard.index, None, fault.why.clone());
            }
        }
        whole
    }

    fn place(&self, input: usize) -> Result<usize, usize> {
        self.shards
            .binary_search_by_key(&input, |shard| shard.input)
    }
}

impl fmt::Display for Damage {
    /// One clause for each shard, separated by semicolons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for shard in &self.shards {
            write!(f, "{separator}{shard}")?;
            separator = "; ";
        }
        for index in &self.missing {
            write!(f, "{separator}shard {index} is missing")?;
            separator = "; ";
        }
        match separator {
            "" => f.write_str("nothing is wrong"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ShardFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}", self.input)?;
        if let Some(index) = self.index {
            write!(f, " (shard {index})")?;
        }
        let Some(first) = self.first.first() else {
            return Ok(());
        };
        write!(f, ": {}", first.why)?;
        if let (Some(segment), Why::Read { .. }) = (first.segment, &first.why) {
            write!(f, " in segment {segment}")?;
        }
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, ", and {} more", count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_bad_throughout_takes_no_more_than_one_that_is_bad_here_and_there() {
        let mut damage = Damage::default();
        for number in 0..1_000_000 {
            damage.add(3, Some(1), Some(number), RecordError::Mac { number }.into());
        }
        let shard = damage.of(3).unwrap();
        assert_eq!(shard.first.len(), FAULTS_MAX);
        assert_eq!(shard.count, 1_000_000);
    }

    #[test]
    fn shards_are_named_one_after_the_other_with_what_is_wrong() {
        let mut damage = Damage::default();
        assert_eq!(damage.to_string(), "nothing is wrong");
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        damage.add(2, Some(5), Some(7), Why::read(&eof));
        damage.add(2, Some(5), Some(8), Why::read(&eof));
        damage.add(0, None, None, HeaderError::Check.into());
        damage.set_missing(vec![1, 4]);
        assert_eq!(
            damage.to_string(),
            "input 0: the header is damaged: its check does not match; \
             input 2 (shard 5): it ends too early: it was cut in segment 7, and 1 more; \
             shard 1 is missing; shard 4 is missing"
        );
        assert_eq!(damage.of(1), None);
    }
}
