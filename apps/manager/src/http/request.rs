//! What clients send, parsed into what the dispatcher understands.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode};
use data_encoding::BASE64;
use propeller_api::{Limits, TaskRequest};
use propeller_attest::rcar::KbsUri;
use propeller_model::{Digest, PropletId, TaskId, Trace};
use propeller_wire::message::{AskedLimits, Input};
use rusqlite::types::Value;
use serde::Deserialize;

use super::objects::check_daemon;
use super::{ApiError, Keep, grants};

/// Labels of a task, as JSON, in bytes: upstream's bound.
const METADATA_LEN_MAX: usize = 1_048_576;
/// What a guest is given, all in all, in bytes. It travels in one message.
const INPUT_LEN_MAX: usize = 3 * 1024 * 1024;
const NAME_LEN_MAX: usize = 256;
/// Labels that a list can be filtered by at a time.
const FILTER_MAX: usize = 16;

/// Where the request belongs, by its `traceparent`. One that is none counts as none: the standard
/// wants a new trace then, not a refusal.
pub(super) fn trace(headers: &HeaderMap) -> Option<Trace> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

/// `offset` and `limit`.
#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    offset: Option<String>,
    limit: Option<String>,
}

impl Paging {
    const LIMIT_MAX: u64 = 100;

    /// Offset and limit, checked.
    pub(super) fn read(&self) -> Result<(u64, u64), ApiError> {
        let number = |text: &Option<String>, default, what: &str| match text {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| {
                ApiError::invalid(format!("invalid query parameter: {what} is a whole number"))
            }),
        };
        let offset = number(&self.offset, 0, "offset")?;
        let limit = number(&self.limit, Self::LIMIT_MAX, "limit")?;
        if !(1..=Self::LIMIT_MAX).contains(&limit) {
            return Err(ApiError::invalid("invalid limit size: 1 to 100"));
        }
        // SQLite counts in signed numbers.
        let offset = offset.min(i64::MAX.unsigned_abs());
        Ok((offset, limit))
    }

    /// The page of a list that is in memory.
    pub(super) fn page<T>(&self, items: Vec<T>) -> Result<Page<T>, ApiError> {
        let (offset, limit) = self.read()?;
        let total = items.len() as u64;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Page {
            offset,
            limit,
            total,
            items: items.into_iter().skip(skip).take(take).collect(),
        })
    }
}

/// Some of many items.
pub(super) struct Page<T> {
    pub(super) offset: u64,
    pub(super) limit: u64,
    pub(super) total: u64,
    pub(super) items: Vec<T>,
}

/// The id of a task in a path.
pub(super) fn task_id(text: &str) -> Result<TaskId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("invalid path: a task id is a UUID"))
}

/// The id of a proplet in a path.
pub(super) fn proplet_id(text: &str) -> Result<PropletId, ApiError> {
    text.parse()
        .map_err(|error: propeller_model::PropletIdError| ApiError::invalid(error.to_string()))
}

/// A name, checked.
pub(super) fn name(text: &str) -> Result<String, ApiError> {
    if text.is_empty() || text.len() > NAME_LEN_MAX || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "something went wrong with the request: name is 1 to 256 printable characters",
        ));
    }
    Ok(text.to_owned())
}

/// A priority, checked.
pub(super) fn priority(number: i64) -> Result<u8, ApiError> {
    u8::try_from(number)
        .ok()
        .filter(|priority| *priority <= 100)
        .ok_or_else(|| ApiError::invalid("priority is 0 to 100"))
}

/// The only proplet that may have a task; an empty text means anyone.
pub(super) fn pinned(text: &str) -> Result<Option<PropletId>, ApiError> {
    if text.is_empty() {
        Ok(None)
    } else {
        proplet_id(text).map(Some)
    }
}

/// Labels as JSON, checked.
pub(super) fn metadata(
    labels: &serde_json::Map<String, serde_json::Value>,
) -> Result<String, ApiError> {
    let json = serde_json::Value::from(labels.clone()).to_string();
    if json.len() > METADATA_LEN_MAX {
        return Err(ApiError::invalid("metadata is at most 1048576 bytes"));
    }
    Ok(json)
}

/// The digest of a module that is already there.
pub(super) fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: propeller_model::DigestError| {
        ApiError::invalid(format!("module: {error}"))
    })
}

/// Where a key broker keeps the key of the image, if the task is encrypted. Empty leaves it to the
/// image, or to the proplet.
pub(super) fn key_of_image(request: &TaskRequest) -> Result<Option<String>, ApiError> {
    let path = request.kbs_resource_path.as_deref();
    let path = path.filter(|path| !path.is_empty());
    match (request.encrypted.unwrap_or_default(), path) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid(
            "kbs_resource_path: only an encrypted task has one: set encrypted as well",
        )),
        (true, None) => Ok(Some(String::new())),
        (true, Some(path)) => match path.parse::<KbsUri>() {
            Ok(_) => Ok(Some(path.to_owned())),
            Err(error) => Err(ApiError::invalid(format!("kbs_resource_path: {error}"))),
        },
    }
}

/// Changes an input as a request says.
pub(super) fn change_input(
    input: &mut Input,
    request: &TaskRequest,
    keep: &Keep,
) -> Result<(), ApiError> {
    if let Some(name) = request.name.as_ref().filter(|name| !name.is_empty()) {
        input.task_name.clone_from(name);
    }
    if let Some(inputs) = &request.inputs {
        input.args.clone_from(inputs);
    }
    if let Some(env) = &request.env {
        input.env = environment(env)?;
    }
    if let Some(stdin) = &request.stdin {
        let bytes = BASE64
            .decode(stdin.as_bytes())
            .map_err(|_| ApiError::invalid("stdin is not standard base64"))?;
        keep.change_stdin(input, bytes)?;
    }
    if let Some(limits) = request.limits {
        input.limits = asked(&limits)?;
    }
    keep.change_key(input, request)?;
    input.daemon = request.daemon.unwrap_or(input.daemon);
    check_daemon(input)?;
    grants::change(input, request)?;
    let flag = request.cli_args.as_deref().map(invoke_flag).transpose()?;
    match (&request.invoke, flag.flatten()) {
        (Some(named), Some(flag)) if *named != flag => {
            return Err(ApiError::invalid(
                "invoke and cli_args --invoke differ: set one of them",
            ));
        }
        (Some(named), _) => input.invoke = Some(named.clone()).filter(|name| !name.is_empty()),
        (None, Some(flag)) => input.invoke = Some(flag),
        (None, None) => {}
    }
    let len = input.to_bytes().len();
    if len > INPUT_LEN_MAX {
        let detail = format!(
            "inputs, environment and stdin are {len} bytes, at most {INPUT_LEN_MAX} are accepted"
        );
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(())
}

/// The limits that a task asks for. None of them is 0: of nothing, no guest gets anywhere.
fn asked(limits: &Limits) -> Result<AskedLimits, ApiError> {
    let Limits {
        memory_bytes,
        fuel,
        wall_ms,
        output_bytes,
    } = *limits;
    for (name, value) in [
        ("memory_bytes", memory_bytes),
        ("fuel", fuel),
        ("wall_ms", wall_ms),
        ("output_bytes", output_bytes),
    ] {
        if value == Some(0) {
            let why = format!(
                "limits.{name} is 0, with which no task can run: leave it out for the default"
            );
            return Err(ApiError::invalid(why));
        }
    }
    Ok(AskedLimits {
        memory_bytes,
        fuel,
        wall_ms,
        output_bytes,
    })
}

/// `cli_args` is a closed list: `--invoke NAME` and nothing else, because upstream passes it to a
/// program on the host.
fn invoke_flag(args: &[String]) -> Result<Option<String>, ApiError> {
    match args {
        [] => Ok(None),
        [flag, name] if flag == "--invoke" => Ok(Some(name.clone())),
        [one] if one.starts_with("--invoke=") => Ok(Some(one["--invoke=".len()..].to_owned())),
        [first, ..] => Err(ApiError::unsupported(&format!("cli_args {first}"))),
    }
}

fn environment(env: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, ApiError> {
    env.iter()
        .map(|(name, value)| {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(ApiError::invalid(
                    "env: names are not empty and hold no `=`, and nothing holds a zero byte",
                ));
            }
            Ok((name.clone(), value.clone()))
        })
        .collect()
}

/// The labels of a `metadata` parameter.
pub(super) fn filter(query: &[(String, String)]) -> Result<Vec<(String, Value)>, ApiError> {
    let mut given = query.iter().filter(|(name, _)| name == "metadata");
    let Some((_, json)) = given.next() else {
        return Ok(Vec::new());
    };
    if given.next().is_some() {
        return Err(ApiError::invalid(
            "metadata may be given once: put all labels into one object",
        ));
    }
    let wrong = || ApiError::invalid("metadata is a JSON object of texts, numbers or flags");
    let labels: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|_| wrong())?;
    if labels.len() > FILTER_MAX {
        return Err(ApiError::invalid("metadata filters by at most 16 labels"));
    }
    labels
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                serde_json::Value::String(text) => Value::Text(text),
                serde_json::Value::Bool(flag) => Value::Integer(i64::from(flag)),
                serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Value::Integer(whole),
                    (None, Some(real)) => Value::Real(real),
                    (None, None) => return Err(wrong()),
                },
                _ => return Err(wrong()),
            };
            Ok((name, value))
        })
        .collect()
}
