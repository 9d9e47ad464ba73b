//! What the proplet and a runtime's launcher say to each other, and in which order descriptors go.

use serde::{Deserialize, Serialize};

use crate::process::wire::Ended;

/// The longest message. Orders travel as a file.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The descriptors that go with an order, by where they are in the launcher.
pub(super) const MODULE: i32 = 3;
pub(super) const REQUEST: i32 = 4;
pub(super) const REPLY: i32 = 5;
pub(super) const STDIN: i32 = 6;
pub(super) const ORDER: i32 = 7;

/// What to execute, and under which bounds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: Vec<u8>,
    pub(super) words: Vec<String>,
    /// Private memory that the runtime and its guest may have together.
    pub(super) data_bytes_max: u64,
    /// Whether it gets the descriptors of a script.
    pub(super) scripted: bool,
    /// Whether it may write files.
    pub(super) writes: bool,
}

/// What a launcher says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// What holds the runtime besides the bounds of its order.
    Held(String),
    /// The program was not started.
    Failed(String),
    /// It ended, and used this.
    Ended(Ended),
}
