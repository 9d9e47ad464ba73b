//! The chain: every line has the SHA-256 of the one before.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::entry::Entry;

/// What the first line of all says about the one before.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    number: u64,
    head: String,
    /// Whether there is a line to hold the next one against.
    begun: bool,
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) why: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, why } = self;
        write!(f, "{file}, line {line}: {why}")
    }
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    time: String,
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "is_none")]
    unwritten: u64,
    prev: &'a str,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            number: 0,
            head: NOTHING.to_owned(),
            begun: false,
        }
    }
}

impl Chain {
    /// The number that the next line has.
    pub(crate) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Number and hash of the last line.
    pub(crate) fn head(&self) -> (u64, &str) {
        (self.number, &self.head)
    }

    /// The next line, without its end.
    pub(crate) fn line(&self, entry: &Entry, now: Timestamp, unwritten: u64) -> String {
        let line = Line {
            seq: self.next_number(),
            time: now.to_string(),
            entry,
            unwritten,
            prev: &self.head,
        };
        serde_json::to_string(&line).expect("texts and numbers are JSON")
    }

    /// Goes on from a line that was written.
    pub(crate) fn take(&mut self, line: &str) {
        self.number += 1;
        self.head = hash(line.as_bytes());
        self.begun = true;
    }

    /// Goes through a file whose lines are whole. Says where it first is not what it was; from there it goes on with what
    /// is there, so that what comes later still counts.
    pub(crate) fn follow(
        &mut self,
        file: &str,
        bytes: &[u8],
        mut each: impl FnMut(&Value),
    ) -> Option<Broken> {
        // A file without bytes has no lines, and not one that is empty.
        let lines = bytes.strip_suffix(b"\n")?;
        let mut broken = None;
        for (index, line) in lines.split(|b| *b == b'\n').enumerate() {
            let mut at = |why| {
                broken.get_or_insert_with(|| Broken {
                    file: file.to_owned(),
                    line: index + 1,
                    why,
                });
            };
            let read: Value = match serde_json::from_slice(line) {
                Ok(read) => read,
                Err(_) => {
                    at("it is no line of the log");
                    Value::Null
                }
            };
            let number = read["seq"].as_u64();
            // The oldest line that is left has nobody to vouch for what it says about the one before,
            // unless it is the first of all.
            let is_anchored = self.begun || number == Some(1);
            if is_anchored && read["prev"].as_str() != Some(&self.head) {
                at("the line before it is not the one that was there");
            } else if is_anchored && number != Some(self.next_number()) {
                at("its number is not the next one");
            }
            self.number = number.unwrap_or_else(|| self.next_number());
            self.head = hash(line);
            self.begun = true;
            each(&read);
        }
        broken
    }
}

fn hash(line: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, line).as_ref())
}
