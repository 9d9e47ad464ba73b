//! Proplets in the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One proplet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proplet {
    /// Its id.
    pub id: String,
    /// Its name; the id, unless its operator described it otherwise.
    pub name: String,
    /// Attempts it has now.
    pub task_count: u32,
    /// Whether it was heard from within a lease.
    pub alive: bool,
    /// When it was last heard from, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_alive_at: Option<String>,
    /// What it told about itself.
    pub metadata: Metadata,
    /// Ours: how the manager reaches it: `sealed`, `plain` or `key mismatch`.
    pub link: String,
    /// Ours: attempts it takes at a time.
    pub slots: u32,
    /// Ours: whether it reaches the manager's object store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub object_store: bool,
    /// Ours: the TEE that it is in, and whether the manager has checked that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tee: String,
    /// Ours: when evidence of that was last held against the manager's policy, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tee_checked_at: Option<String>,
    /// Ours: why its evidence is refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tee_refused: String,
}

/// What a proplet told about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[allow(missing_docs, reason = "upstream's names say what they are")]
pub struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpu_arch: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub total_memory_bytes: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proplet_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wasm_runtime: String,
}

/// A page of proplets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PropletPage {
    /// Items skipped.
    pub offset: u64,
    /// Most items on the page.
    pub limit: u64,
    /// Items in all.
    pub total: u64,
    /// The items.
    pub proplets: Vec<Proplet>,
}

/// Signs of life, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Items skipped.
    pub offset: u64,
    /// Most items on the page.
    pub limit: u64,
    /// Items in all.
    pub total: u64,
    /// RFC 3339 times.
    pub history: Vec<String>,
}

/// A page of a proplet's measurements, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PropletMetricsPage {
    /// Items skipped.
    pub offset: u64,
    /// Most items on the page.
    pub limit: u64,
    /// Items in all.
    pub total: u64,
    /// The items.
    pub metrics: Vec<PropletMetrics>,
}

/// One measurement of a proplet's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PropletMetrics {
    /// Which proplet.
    pub proplet_id: String,
    /// Kubernetes namespace, `default` elsewhere.
    pub namespace: String,
    /// When, RFC 3339.
    pub timestamp: String,
    /// CPU time.
    pub cpu_metrics: CpuMetrics,
    /// Memory.
    pub memory_metrics: MemoryMetrics,
}

/// CPU time of a proplet's process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CpuMetrics {
    /// In user mode.
    pub user_seconds: f64,
    /// In the kernel.
    pub system_seconds: f64,
    /// Since the measurement before.
    pub percent: f64,
}

/// Memory of a proplet's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryMetrics {
    /// Resident.
    pub rss_bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
