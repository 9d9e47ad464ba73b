//! What came of a task: results and measurements.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::attempt::TaskUsage;
use crate::grants::Engine;
use crate::logs::ExitKind;
use crate::secret::KeyText;

/// `GET /tasks/{id}/results`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Results {
    /// What a function returned or a command printed, as text; null before there is any. Output
    /// that is not UTF-8 is in `stdout_base64` alone.
    pub results: Value,
    /// Ours: the state of the task.
    pub state: u8,
    /// Ours: why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Ours: how the last attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitKind>,
    /// Ours: what to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Ours: exit code of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Ours: standard output, in standard base64; of a daemon the end of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stdout_base64: String,
    /// Ours: standard output, if it is too large for an answer: get it from `/tasks/{id}/stdout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout_object: Option<SealedObject>,
    /// Ours: standard error, as text; of a daemon the end of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Ours: what ran it; absent for a task that nothing ran, and in plain mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
}

/// A CES object with one shard, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedObject {
    /// The digest to hold it against, 64 hexadecimal digits.
    pub digest: String,
    /// Length of its plaintext, in bytes.
    pub length: u64,
    /// The key that its data key is wrapped with, 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub key: KeyText,
}

/// A page of a task's measurements, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMetricsPage {
    /// Items skipped.
    pub offset: u64,
    /// Most items on the page.
    pub limit: u64,
    /// Items in all.
    pub total: u64,
    /// The items: one for every attempt that has ended.
    pub metrics: Vec<TaskMetrics>,
}

/// One measurement of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMetrics {
    /// Which task.
    pub task_id: String,
    /// Who measured.
    pub proplet_id: String,
    /// What.
    pub metrics: TaskUsage,
    /// When, RFC 3339.
    pub timestamp: String,
}
