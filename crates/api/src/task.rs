//! Tasks in the API.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::attempt::Attempt;
use crate::grants::Grants;
use crate::logs::ExitKind;
use crate::secret::KeyText;

/// Upstream's way to say "no time".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Upstream's integers for the state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// Accepted, not started.
    Pending = 0,
    /// Started, and waiting for a proplet or on its way to one.
    Scheduled = 1,
    /// The guest runs.
    Running = 2,
    /// Ended well.
    Completed = 3,
    /// Failed.
    Failed = 4,
    /// Skipped by a workflow; not used by this version.
    Skipped = 5,
    /// Stopped by its owner.
    Interrupted = 6,
}

impl TaskState {
    /// The state of an integer.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Pending,
            1 => Self::Scheduled,
            2 => Self::Running,
            3 => Self::Completed,
            4 => Self::Failed,
            5 => Self::Skipped,
            6 => Self::Interrupted,
            _ => return None,
        })
    }

    /// The state in a word, for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether nothing more happens until it is started again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Skipped | Self::Interrupted
        )
    }
}

/// A task, as the manager shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Task {
    /// UUID, time-ordered.
    pub id: String,
    /// What its owner calls it; the export to call, unless `invoke` names one.
    pub name: String,
    /// `standard`.
    pub kind: String,
    /// 0 pending, 1 scheduled, 2 running, 3 completed, 4 failed, 6 interrupted.
    pub state: u8,
    /// Flags from a closed list: `--invoke NAME`.
    pub cli_args: Option<Vec<String>>,
    /// Arguments, always as strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Environment of the guest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether it runs until it is stopped or fails.
    pub daemon: bool,
    /// Whether only a proplet in a TEE may open it, with a key that a key broker releases there.
    pub encrypted: bool,
    /// Where the key broker keeps the key of an encrypted image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kbs_resource_path: String,
    /// The proplet that has or had it, or the only one that may.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proplet_id: String,
    /// What the last run produced.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub results: Value,
    /// Why the last run failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// When the last run started, RFC 3339.
    pub start_time: String,
    /// When the last run ended.
    pub finish_time: String,
    /// When the task was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// No schedules in this version.
    pub next_run: String,
    /// 0 to 100; higher goes first.
    pub priority: u8,
    /// Labels of its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, Value>>,
    /// Ours: the export to call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub invoke: String,
    /// Ours: what the module is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_name: String,
    /// Ours: `sha256:…` of the plain module.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub module: String,
    /// The image that its module is in, by the digest that it had when it was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_url: String,
    /// Ours: what was guaranteed: `plain`, `shared-key`, `image-key`, or `attested (KIND)` with the
    /// kind of TEE; empty until it was sent, and of an encrypted task until its evidence is here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// Ours: id of its W3C trace, which every line of the log about it carries as `trace`: that of
    /// the `traceparent` header of the request that created or started it, else the task's own id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Ours: limits that the task asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Ours: how the guest sees the world: `pure`, `deterministic` or `granted`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Ours: what the task asks for beyond its sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// Ours: standard input that is too large for a request, if it was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_object: Option<ObjectInfo>,
    /// Ours: every attempt, oldest first. Only when one task is viewed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Ours: how the last attempt of the last run ended. Only when one task is viewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitKind>,
    /// Ours: what to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Ours: exit code of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The start and end of the module in base64, if it has one, as upstream redacts it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
}

/// Ours: what is known of a CES object without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectInfo {
    /// Its digest, 64 hexadecimal digits.
    pub digest: String,
    /// Length of its plaintext, in bytes.
    pub length: u64,
}

/// Ours: limits that a task asks for. What is left out is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory and tables, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Fuel: about one unit per executed instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Wall-clock time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Standard output, standard error and result, each, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
}

/// What a client sends to create or change a task.
///
/// Every field of upstream's task is known here, so that one this version cannot honour is refused
/// by name instead of being ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are documented at Task")]
pub struct TaskRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cli_args: Option<Vec<String>>,
    /// Strings or numbers.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "texts")]
    pub inputs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proplet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, Value>>,
    /// The module, in standard base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Ours: what the module in `file` is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Ours: `sha256:…` of a module that this manager already has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Ours: the export to call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoke: Option<String>,
    /// Ours: standard input, in standard base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Ours: key of the task's objects, 64 hexadecimal digits. Left out, the manager draws one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub object_key: Option<KeyText>,
    /// Ours: limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Ours: `pure`, `deterministic` or `granted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Ours: with the profile `granted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// An image in a registry that has the module: a reference such as `ghcr.io/me/hello:1`, with
    /// `http://` in front and a tag or digest at its end if the registry has no TLS. An address without
    /// either, such as `https://example.com/hello.wasm`, is of the module itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// The image at `image_url`, by digest, is encrypted, and only a proplet in a TEE may open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// Where a key broker keeps the key of an encrypted image: `default/key/my-app`, or
    /// `kbs://HOST/default/key/my-app`. Left out, the image or the proplet says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kbs_resource_path: Option<String>,
    /// Everything below is upstream's and must have its zero value, or is set by the manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_if: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring_profile: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_recurring: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hal_storage_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
}

impl TaskRequest {
    /// The first field that this version cannot honour, if one is set to more than its zero value.
    #[must_use]
    pub fn unsupported(&self) -> Option<&'static str> {
        let text = |field: &Option<String>| field.as_deref().is_some_and(|t| !t.is_empty());
        let flag = |field: Option<bool>| field == Some(true);
        let fields = [
            (
                "kind",
                text(&self.kind) && self.kind.as_deref() != Some("standard"),
            ),
            ("latent", flag(self.latent)),
            (
                "depends_on",
                self.depends_on.as_ref().is_some_and(|d| !d.is_empty()),
            ),
            ("run_if", text(&self.run_if)),
            ("workflow_id", text(&self.workflow_id)),
            ("job_id", text(&self.job_id)),
            (
                "monitoring_profile",
                self.monitoring_profile
                    .as_ref()
                    .is_some_and(|p| !p.is_null()),
            ),
            ("mode", text(&self.mode)),
            ("schedule", text(&self.schedule)),
            ("is_recurring", flag(self.is_recurring)),
            ("timezone", text(&self.timezone)),
            ("broadcast", flag(self.broadcast)),
            ("hal_storage_path", text(&self.hal_storage_path)),
        ];
        fields.iter().find(|(_, set)| *set).map(|(name, _)| *name)
    }
}

/// A page of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// Items skipped.
    pub offset: u64,
    /// Most items on the page, 1 to 100.
    pub limit: u64,
    /// Items in all.
    pub total: u64,
    /// The items, newest first.
    pub tasks: Vec<Task>,
}

/// `POST /tasks/{id}/start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Started {
    /// Always true; an error says otherwise.
    pub started: bool,
}

/// `POST /tasks/{id}/stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// Always true; an error says otherwise.
    pub stopped: bool,
}

/// A time in milliseconds since 1970 as RFC 3339, or upstream's zero time.
#[must_use]
pub fn time_text(ms: Option<i64>) -> String {
    ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_string())
}

/// Upstream accepts numbers and booleans where it stores strings.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let values = Option::<Vec<Value>>::deserialize(deserializer)?;
    values
        .map(|values| values.into_iter().map(text_of::<D::Error>).collect())
        .transpose()
}

fn text_of<E: serde::de::Error>(value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(E::custom("inputs are strings or numbers")),
    }
}
