//! Attempts at a task, and what they cost.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::logs::ExitKind;

/// Ours: one attempt at a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// What proves where it ran, of an encrypted task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Ours: what proves where an attempt ran: evidence of its TEE, and what that is about.
///
/// The report data of the evidence is a hash of task, attempt, `image` and `session`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Proof {
    /// Kind of the TEE: `tdx`, `snp`, `sgx`, or `sample`, which is no hardware.
    pub tee: String,
    /// Whether the manager held a policy against the evidence; else only its proplet vouches for it.
    pub checked: bool,
    /// Where the key came from that opened the image.
    pub key: String,
    /// Digest of the image.
    pub image: String,
    /// Binding of the session in which the attempt was given, in hexadecimal.
    pub session: String,
    /// `sha256:…` of the evidence as it came.
    pub evidence_digest: String,
    /// The evidence, in the form that key brokers take.
    pub evidence: Value,
    /// Where the time went before the guest began.
    pub steps: ProofSteps,
}

/// Ours: where the time of an attested start went, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProofSteps {
    /// Making evidence, for the broker and for the proof.
    pub evidence_us: u64,
    /// Getting a token of the key broker; 0 while one is in force.
    pub token_us: u64,
    /// Getting the key.
    pub key_us: u64,
    /// Fetching and unpacking the image.
    pub image_us: u64,
    /// Checking and decrypting its layers; layers are decrypted side by side, and their times added.
    pub decrypt_us: u64,
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
