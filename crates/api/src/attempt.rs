//! Attempts at a task, and what they cost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::logs::ExitKind;

/// Ours: one attempt at a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// Who made it.
    pub proplet_id: String,
    /// Why that proplet.
    pub reason: String,
    /// When it was assigned, RFC 3339.
    pub assigned_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// `completed`, `failed`, or why it came to nothing; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The same in a word; absent while it is under way, and where its proplet does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitKind>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TaskUsage>,
}

/// Ours: what an attempt cost, measured by the proplet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskUsage {
    /// Fetching, opening and waiting, in microseconds.
    pub prepare_us: u64,
    /// Compiling, in microseconds; 0 if the module was cached.
    pub compile_us: u64,
    /// Running, in microseconds.
    pub run_us: u64,
    /// Fuel: about one unit per executed instruction.
    pub fuel: u64,
    /// Peak of memory and tables, in bytes.
    pub memory_peak_bytes: u64,
    /// Time on a processor, in microseconds.
    #[serde(default)]
    pub cpu_us: u64,
    /// Arguments, environment and standard input, in bytes.
    #[serde(default)]
    pub input_bytes: u64,
    /// Standard output, standard error and result, in bytes.
    #[serde(default)]
    pub output_bytes: u64,
}
