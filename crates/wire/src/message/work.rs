//! What a task is given and what an attempt produces: the plaintext of envelopes of their own.

use propeller_model::{Engine, Grants, Profile};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{InputObjects, StoredObject};

/// What a task is given. Travels and rests in an envelope of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The export to call, if the task names one.
    pub invoke: Option<String>,
    /// The task's name, which upstream uses to name the export.
    pub task_name: String,
    /// Arguments: typed values for an export, argv for a command.
    pub args: Vec<String>,
    /// Environment of the guest.
    pub env: Vec<(String, String)>,
    /// Standard input of the guest.
    pub stdin: ByteBuf,
    /// Limits that the task asks for.
    pub limits: AskedLimits,
    /// Whether it runs until it is stopped.
    pub daemon: bool,
    /// How the guest sees the world.
    pub profile: Profile,
    /// What the task asks for, with the profile `granted`.
    pub grants: Grants,
    /// What of it is in the store; see [`Input::to_bytes`].
    #[serde(skip)]
    pub objects: Option<InputObjects>,
}

/// Limits that a task asks for; what it leaves out is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedLimits {
    /// See `propeller_model::Limits`.
    pub memory_bytes: Option<u64>,
    /// See `propeller_model::Limits`.
    pub fuel: Option<u64>,
    /// See `propeller_model::Limits`.
    pub wall_ms: Option<u64>,
    /// Standard output, standard error and result, each.
    pub output_bytes: Option<u64>,
}

/// What an attempt produced. Travels and rests in an envelope of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What the function returned, as text.
    pub result: Option<String>,
    /// Captured standard output.
    pub stdout: ByteBuf,
    /// Captured standard error.
    pub stderr: ByteBuf,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// What ran the guest; nothing if it did not run.
    pub engine: Option<Engine>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Bytes of standard output and of standard error that came before and are not kept: of a daemon
    /// only the end is.
    pub gone: [u64; 2],
    /// Standard output, if it is in the store and not here; see [`Output::to_bytes`].
    #[serde(skip)]
    pub stdout_object: Option<StoredObject>,
}
