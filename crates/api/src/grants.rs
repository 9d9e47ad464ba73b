//! What a task asks for beyond its sandbox, and what a result says about its engine.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ours: what a task with the profile `granted` asks for. Each proplet's policy file decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Directories of the proplet's machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<DirectoryGrant>,
    /// Hosts to open connections to, each `HOST:PORT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// TCP ports to listen on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Variables of the proplet's environment, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// Ours: a directory and everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryGrant {
    /// Where it is on the proplet's machine, absolute.
    pub host: String,
    /// Where the guest finds it; the same path if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// `read` or `read-write`; `read` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

/// Ours: what ran a task: everything but module and input that its result may depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Engine {
    /// `wasmtime`, …
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of the sandbox around it, which defines clocks, seeds and limits.
    pub sandbox: String,
    /// The processor: `x86_64`, …
    pub arch: String,
    /// `pure`, `deterministic` or `granted`.
    pub profile: String,
    /// `in-process`, `process` or `external`.
    pub isolation: String,
    /// What the engine was told beyond its defaults, sorted.
    pub features: Vec<String>,
}
