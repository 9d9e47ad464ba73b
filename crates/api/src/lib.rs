//! The types of the manager's REST API, version 1, as JSON.
//!
//! Paths, field names and zero values are Propeller 0.5's, so that its clients keep working. Fields
//! that are ours alone are marked so in their documentation.

mod attempt;
mod grants;
mod logs;
mod proplet;
mod results;
mod secret;
mod task;

pub use attempt::{Attempt, Proof, ProofSteps, TaskUsage};
pub use grants::{DirectoryGrant, Engine, Grants};
pub use logs::{ExitKind, LogEvent, LogStream};
pub use proplet::{CpuMetrics, MemoryMetrics, Metadata};
pub use proplet::{History, Proplet, PropletMetrics, PropletMetricsPage, PropletPage};
pub use results::{Results, SealedObject, TaskMetrics, TaskMetricsPage};
pub use secret::KeyText;
pub use task::{
    Limits, ObjectInfo, Started, Stopped, Task, TaskPage, TaskRequest, TaskState, ZERO_TIME,
    time_text,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `pass`, `warn` (no broker, or the object store is not reached) or `fail` (no database).
    pub status: String,
    /// Version of the manager.
    pub version: String,
    /// Commit it was built from, if known.
    pub commit: String,
    /// `manager service`.
    pub description: String,
    /// When it was built, if known.
    pub build_time: String,
    /// This instance.
    pub instance_id: String,
    /// Ours: whether the broker is connected.
    pub broker_connected: bool,
    /// Ours: whether the object store is reached, if the manager has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_store_reached: Option<bool>,
}

/// An error, as RFC 9457 problem details that still carry upstream's `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI reference that names the kind of problem: `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// The same as `detail`, where upstream's clients look for it.
    pub error: String,
}
