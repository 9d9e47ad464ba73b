//! The JSON that Propeller 0.5 speaks over MQTT, for plain compatibility mode.
//!
//! Field names, order and zero values are upstream's: its manager always sends `state`,
//! `cli_args`, `broadcast`, `daemon`, `latent` and `encrypted`, whatever they are. What this
//! version cannot do is refused by name if it is anything but its zero value.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// `control/manager/start`: run this.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The attempt's id: upstream's proplet quotes it as `task_id` in its results.
    pub id: String,
    /// The task's name, which is the export to call.
    pub name: String,
    /// Upstream's integer state; a proplet ignores it.
    #[serde(default)]
    pub state: u8,
    /// An OCI reference or URL.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub image_url: Option<String>,
    /// The module, in standard base64.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub file: Option<String>,
    /// Arguments, always as strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// Flags for an external runtime; always present.
    #[serde(default)]
    pub cli_args: Option<Vec<String>>,
    /// Whether every proplet should run it.
    #[serde(default)]
    pub broadcast: bool,
    /// Whether it runs until it is stopped.
    #[serde(default)]
    pub daemon: bool,
    /// Whether it waits for invocations.
    #[serde(default)]
    pub latent: bool,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Whether the module needs attestation.
    #[serde(default)]
    pub encrypted: bool,
    /// Where its key is.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub kbs_resource_path: Option<String>,
    /// How to measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_profile: Option<Value>,
    /// The only proplet that should run it.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub proplet_id: Option<String>,
    /// Storage on the host.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub hal_storage_path: Option<String>,
    /// Results of the tasks it depends on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_results: Option<Value>,
}

/// `control/manager/stop`: stop that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The attempt's id.
    pub id: String,
    /// Whether every proplet should stop it.
    #[serde(default)]
    pub broadcast: bool,
    /// Whom it is for. Upstream's proplet does not look.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub proplet_id: Option<String>,
}

/// `control/proplet/create`: I am here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Create {
    /// Who.
    pub proplet_id: String,
    /// Kubernetes namespace, `default` elsewhere.
    #[serde(default)]
    pub namespace: String,
    /// What it is.
    #[serde(default)]
    pub metadata: Metadata,
}

/// See [`Create::metadata`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub environment: String,
    pub os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    pub cpu_arch: String,
    pub total_memory_bytes: u64,
    pub proplet_version: String,
    pub wasm_runtime: String,
}

/// `control/proplet/alive`: I live; or, as a last will of `status` `offline`, I do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Who.
    pub proplet_id: String,
    /// `alive` or `offline`.
    #[serde(default)]
    pub status: String,
    /// Kubernetes namespace, `default` elsewhere.
    #[serde(default)]
    pub namespace: String,
}

/// `control/proplet/results`: this is how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The attempt's id.
    pub task_id: String,
    /// Who. Missing in upstream's federated results.
    #[serde(default)]
    pub proplet_id: String,
    /// A string from every runtime; an object in federated learning.
    #[serde(default)]
    pub results: Value,
    /// Null, absent or empty if it went well.
    #[serde(default)]
    pub error: Option<String>,
}

/// `registry/proplet`: fetch me this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The image, as the start message names it.
    pub app_name: String,
}

/// `registry/server`: a piece of a module, for everybody who has asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The image, as it was asked for.
    pub app_name: String,
    /// Which piece, from 0.
    pub chunk_idx: u32,
    /// How many there are.
    pub total_chunks: u32,
    /// Its bytes, in standard base64.
    pub data: String,
}

/// A [`Chunk`] on its way out, whose bytes are encoded where they are written and nowhere else.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChunkOf<'a> {
    /// The image, as it was asked for.
    pub app_name: &'a str,
    /// Which piece, from 0.
    pub chunk_idx: u32,
    /// How many there are.
    pub total_chunks: u32,
    /// Its bytes.
    #[serde(serialize_with = "base64")]
    pub data: &'a [u8],
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&BASE64.encode_display(bytes))
}

/// Why a JSON message is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// Not JSON of this shape.
    #[error("malformed JSON message")]
    Malformed(#[source] serde_json::Error),
    /// Longer than anybody sends.
    #[error("a JSON message of {0} bytes is longer than 10 MiB")]
    TooLong(usize),
    /// Something this version cannot do.
    #[error("not supported by this version: {0}")]
    Unsupported(&'static str),
}

/// Largest JSON message, in bytes: the packet limit of upstream's proplet.
pub const JSON_LEN_MAX: usize = 10 * 1024 * 1024;

/// Reads one of the messages of this module.
///
/// # Errors
/// See [`UpstreamError`].
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, UpstreamError> {
    if bytes.len() > JSON_LEN_MAX {
        return Err(UpstreamError::TooLong(bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(UpstreamError::Malformed)
}

/// Writes one of the messages of this module.
///
/// # Panics
/// Never: the types of this module can always be written.
#[must_use]
pub fn write<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("these types can always be written")
}

/// As [`write`], at the end of `out`.
///
/// # Panics
/// Never: the types of this module can always be written.
pub fn write_to<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, message).expect("these types can always be written");
}

impl Start {
    /// The message, if it asks for nothing that this version cannot do.
    ///
    /// # Errors
    /// Names the first field that does.
    pub fn supported(self) -> Result<Self, UpstreamError> {
        let set = |field: &Option<String>| !is_empty(field);
        let unsupported = [
            ("broadcast", self.broadcast),
            ("latent", self.latent),
            ("encrypted", self.encrypted),
            ("kbs_resource_path", set(&self.kbs_resource_path)),
            ("monitoring_profile", self.monitoring_profile.is_some()),
            ("hal_storage_path", set(&self.hal_storage_path)),
            ("parent_results", self.parent_results.is_some()),
        ];
        match unsupported.into_iter().find(|(_, is_set)| *is_set) {
            Some((field, _)) => Err(UpstreamError::Unsupported(field)),
            None => Ok(self),
        }
    }
}

impl Results {
    /// The error, if there is one: upstream's proplet sends null, leaves it out or sends "".
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.error.as_deref().filter(|error| !error.is_empty())
    }

    /// The result as text, whatever JSON it is.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.results {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

fn is_empty(field: &Option<String>) -> bool {
    field.as_deref().is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_written_as_it_is_read_whatever_its_length() {
        for len in [0, 1, 2, 3, 4096, 100_000] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let chunk = Chunk {
                app_name: "example.com/a\"b".to_owned(),
                chunk_idx: 1,
                total_chunks: 3,
                data: BASE64.encode(&bytes),
            };
            let of = ChunkOf {
                app_name: &chunk.app_name,
                chunk_idx: 1,
                total_chunks: 3,
                data: &bytes,
            };
            assert_eq!(write(&of), write(&chunk));
            assert_eq!(read::<Chunk>(&write(&of)).unwrap(), chunk);
        }
    }
}
