//! Renders what is stored as what clients see.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use propeller_api::{
    Attempt, ExitKind as ApiExitKind, Limits, LogEvent, Results, Task, TaskState, TaskUsage,
    ZERO_TIME, time_text,
};
use propeller_envelope::{Context, Keyring, open};
use propeller_model::task::{Outcome, State};
use propeller_model::{AttemptId, ExitKind, PropletId, TaskId};
use propeller_wire::message::{Input, Output, Printed};
use serde_json::Value;

use super::ApiError;
use super::grants::{engine, grants};
use super::objects::{object_info, stdin_of};
use crate::store::attempt::{Attempt as AttemptRow, attempt_find, attempt_list};
use crate::store::module::module_find;
use crate::store::task::{Task as TaskRow, task_find};
use crate::store::{Blob, Reader, StoreError};

/// Where to look for an output that is in no log.
const ELSEWHERE: &str = "standard output is in the object store: `propeller tasks results` gets it";

/// Opens what is stored sealed.
#[derive(Debug, Clone)]
pub(super) struct Renderer {
    pub(super) keys: Keyring,
    pub(super) tenant: String,
}

/// What a task that has ended has left behind.
#[derive(Debug)]
pub(super) struct Ended {
    /// The attempt that it ended with, and whose.
    pub(super) attempt: Option<(AttemptId, PropletId)>,
    /// What that produced.
    pub(super) output: Output,
    /// The last line of its log.
    pub(super) end: LogEvent,
}

/// What is shown of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// A line in a list.
    Brief,
    /// With its attempts and its results.
    Full,
}

impl Renderer {
    /// One task with its attempts and results.
    pub(super) fn task(&self, reader: &Reader, id: TaskId) -> Result<Task, ApiError> {
        let row = find(reader, id)?;
        self.render(reader, row, Detail::Full)
    }

    /// A task as clients see it.
    pub(super) fn render(
        &self,
        reader: &Reader,
        row: TaskRow,
        detail: Detail,
    ) -> Result<Task, ApiError> {
        let file = excerpt(reader, &row)?;
        let (attempts, output, exit) = match detail {
            Detail::Brief => (Vec::new(), None, None),
            Detail::Full => {
                let last = last_attempt(reader, &row)?;
                let output = self.output(reader, &row, last.as_ref())?;
                let exit = last.and_then(|last| last.exit);
                (reader.with(|db| attempt_list(db, row.id))?, output, exit)
            }
        };
        let input = match (&row.input, detail) {
            (Some(blob), Detail::Full) => self.input(reader, row.id, blob.clone())?,
            // One input that does not open must not hide all other tasks of a list.
            (Some(blob), Detail::Brief) => {
                self.input(reader, row.id, blob.clone()).unwrap_or_default()
            }
            (None, _) => Input::default(),
        };
        let output = output.unwrap_or_default();
        let state = api_state(&row.state);
        let stdin_object = stdin_of(&input).as_ref().map(object_info);
        let key = row.image.as_ref().and_then(|image| image.key.clone());
        let error = failure(state, &output, row.error);
        let proplet = row
            .last_proplet
            .as_ref()
            .or_else(|| row.state.proplet())
            .or(row.pinned.as_ref());
        Ok(Task {
            id: row.id.to_string(),
            name: row.name,
            kind: "standard".to_owned(),
            state: state as u8,
            cli_args: None,
            inputs: input.args,
            env: input.env.into_iter().collect::<BTreeMap<_, _>>(),
            daemon: row.daemon,
            encrypted: key.is_some(),
            kbs_resource_path: key.unwrap_or_default(),
            proplet_id: proplet.map(ToString::to_string).unwrap_or_default(),
            results: results_value(&output),
            error,
            start_time: time_text(row.started_ms),
            finish_time: time_text(row.finished_ms),
            created_at: time_text(Some(row.created_ms)),
            updated_at: time_text(Some(row.updated_ms)),
            next_run: ZERO_TIME.to_owned(),
            priority: row.priority,
            metadata: row
                .metadata
                .and_then(|json| serde_json::from_str(&json).ok()),
            invoke: input.invoke.unwrap_or_default(),
            app_name: row.app_name,
            module: row
                .module
                .map(|digest| digest.to_string())
                .unwrap_or_default(),
            image_url: row.image.map(|image| image.reference).unwrap_or_default(),
            protection: row.protection,
            trace_id: row.trace.id(),
            limits: limits(&input.limits),
            profile: input.profile.to_string(),
            grants: grants(input.grants),
            stdin_object,
            attempts: attempts.into_iter().map(attempt).collect(),
            exit: exit.map(exit_kind),
            hint: output.hint.unwrap_or_default(),
            exit_code: output.exit_code,
            file,
        })
    }

    /// What the last attempt of a finished task produced.
    pub(super) fn results(&self, reader: &Reader, id: TaskId) -> Result<Results, ApiError> {
        let row = find(reader, id)?;
        let last = last_attempt(reader, &row)?;
        let output = self.output(reader, &row, last.as_ref())?;
        let state = api_state(&row.state);
        let output = output.unwrap_or_default();
        let stdout_object = self.sealed_stdout(reader, &row, &output)?;
        Ok(Results {
            results: results_value(&output),
            state: state as u8,
            error: failure(state, &output, row.error),
            exit: last.and_then(|last| last.exit).map(exit_kind),
            hint: output.hint.unwrap_or_default(),
            exit_code: output.exit_code,
            stdout_base64: BASE64.encode(&output.stdout),
            stdout_object,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            engine: output.engine.map(engine),
        })
    }

    /// What a task is given.
    pub(super) fn input(
        &self,
        reader: &Reader,
        task: TaskId,
        blob: Blob,
    ) -> Result<Input, ApiError> {
        let sealed = reader.blobs().read(blob)?;
        let context = Context::Input {
            tenant: &self.tenant,
            task: *task.0.as_bytes(),
        };
        let plain = open(&self.keys, &context, &sealed).map_err(|_| unopenable("input"))?;
        Input::from_bytes(&plain).map_err(|_| unopenable("input"))
    }

    /// What a task that has ended has left behind; `None` if it has not ended.
    pub(super) fn ended(&self, reader: &Reader, id: TaskId) -> Result<Option<Ended>, ApiError> {
        let row = find(reader, id)?;
        if !matches!(row.state, State::Done { .. }) {
            return Ok(None);
        }
        let last = last_attempt(reader, &row)?;
        let output = self.output(reader, &row, last.as_ref())?;
        let output = output.unwrap_or_default();
        let state = api_state(&row.state);
        let elsewhere = output.stdout_object.is_some().then_some(ELSEWHERE);
        let end = LogEvent::End {
            state: state as u8,
            exit: last.as_ref().and_then(|last| last.exit).map(exit_kind),
            error: failure(state, &output, row.error),
            hint: output
                .hint
                .clone()
                .or_else(|| elsewhere.map(ToOwned::to_owned))
                .unwrap_or_default(),
        };
        let attempt = last.and_then(|last| {
            let number = last.number;
            Some((AttemptId { task: id, number }, last.proplet.parse().ok()?))
        });
        Ok(Some(Ended {
            attempt,
            output,
            end,
        }))
    }

    /// Opens a piece of what a guest prints.
    pub(super) fn piece(
        &self,
        proplet: &PropletId,
        printed: &Printed,
    ) -> Result<Vec<u8>, ApiError> {
        let context = Context::Log {
            tenant: &self.tenant,
            task: *printed.attempt.task.0.as_bytes(),
            attempt: printed.attempt.number,
            proplet: proplet.as_str(),
            stream: printed.stream.code(),
            offset: printed.offset,
        };
        let plain = open(&self.keys, &context, &printed.bytes).map_err(|_| unopenable("log"))?;
        Ok(plain.to_vec())
    }

    fn output(
        &self,
        reader: &Reader,
        row: &TaskRow,
        last: Option<&AttemptRow>,
    ) -> Result<Option<Output>, ApiError> {
        let Some(attempt) = last else {
            return Ok(None);
        };
        let Some(blob) = attempt.output.clone() else {
            return Ok(None);
        };
        let sealed = reader.blobs().read(blob)?;
        let context = Context::Result {
            tenant: &self.tenant,
            task: *row.id.0.as_bytes(),
            attempt: attempt.number,
            proplet: &attempt.proplet,
        };
        let plain = open(&self.keys, &context, &sealed).map_err(|_| unopenable("result"))?;
        let output = Output::from_bytes(&plain).map_err(|_| unopenable("result"))?;
        Ok(Some(output))
    }
}

/// The row of a task.
pub(super) fn find(reader: &Reader, id: TaskId) -> Result<TaskRow, ApiError> {
    reader
        .with(|db| task_find(db, id))?
        .ok_or_else(|| crate::dispatch::Refusal::NoTask(id).into())
}

/// The attempt that a run ended with; `None` if it has not ended, or ended without one.
fn last_attempt(reader: &Reader, row: &TaskRow) -> Result<Option<AttemptRow>, ApiError> {
    let State::Done { attempts, .. } = row.state else {
        return Ok(None);
    };
    let id = AttemptId {
        task: row.id,
        number: attempts,
    };
    let attempt = reader.with(|db| attempt_find(db, id))?;
    let is_of_this_run = |attempt: &AttemptRow| {
        row.started_ms
            .is_none_or(|start| attempt.assigned_ms >= start)
    };
    Ok(attempt.filter(is_of_this_run))
}

/// Why a task failed: what its guest's proplet says, else what the manager does.
fn failure(state: TaskState, output: &Output, otherwise: String) -> String {
    match state {
        TaskState::Failed => output.error.clone().unwrap_or(otherwise),
        _ => String::new(),
    }
}

fn exit_kind(kind: ExitKind) -> ApiExitKind {
    match kind {
        ExitKind::Returned => ApiExitKind::Returned,
        ExitKind::Exited => ApiExitKind::Exited,
        ExitKind::Trap => ApiExitKind::Trap,
        ExitKind::Limit => ApiExitKind::Limit,
        ExitKind::Inconclusive => ApiExitKind::Inconclusive,
        ExitKind::Refused => ApiExitKind::Refused,
        ExitKind::Escaped => ApiExitKind::Escaped,
        ExitKind::Host => ApiExitKind::Host,
        ExitKind::Lost => ApiExitKind::Lost,
        ExitKind::Stopped => ApiExitKind::Stopped,
    }
}

/// A usage as it is stored.
pub(super) fn usage(json: &str) -> Option<TaskUsage> {
    serde_json::from_str(json).ok()
}

fn attempt(row: AttemptRow) -> Attempt {
    Attempt {
        number: row.number,
        proplet_id: row.proplet,
        reason: row.reason,
        assigned_at: time_text(Some(row.assigned_ms)),
        ended_at: row.ended_ms.map(|ms| time_text(Some(ms))),
        outcome: row.outcome,
        exit: row.exit.map(exit_kind),
        usage: row.usage.as_deref().and_then(usage),
        proof: row.proof.and_then(|json| serde_json::from_str(&json).ok()),
    }
}

fn excerpt(reader: &Reader, row: &TaskRow) -> Result<String, StoreError> {
    let Some(digest) = row.module else {
        return Ok(String::new());
    };
    let module = reader.with(|db| module_find(db, digest))?;
    Ok(module.map(|module| module.excerpt).unwrap_or_default())
}

/// What a function returned, else what a command printed, as text; null if there is neither.
fn results_value(output: &Output) -> Value {
    let printed_elsewhere = output.stdout_object.is_some();
    match (&output.result, output.exit_code, output.stdout.is_empty()) {
        (Some(result), _, _) => Value::String(result.clone()),
        _ if printed_elsewhere => Value::Null,
        (None, None, true) => Value::Null,
        (None, _, _) => match std::str::from_utf8(&output.stdout) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => Value::Null,
        },
    }
}

fn limits(asked: &propeller_wire::message::AskedLimits) -> Option<Limits> {
    let limits = Limits {
        memory_bytes: asked.memory_bytes,
        fuel: asked.fuel,
        wall_ms: asked.wall_ms,
        output_bytes: asked.output_bytes,
    };
    (limits != Limits::default()).then_some(limits)
}

fn api_state(state: &State) -> TaskState {
    match state {
        State::Created { .. } => TaskState::Pending,
        State::Queued { .. } | State::Assigned { .. } => TaskState::Scheduled,
        State::Running { .. } => TaskState::Running,
        State::Done { outcome, .. } => match outcome {
            Outcome::Completed => TaskState::Completed,
            Outcome::Failed => TaskState::Failed,
            Outcome::Stopped => TaskState::Interrupted,
        },
    }
}

/// A key was removed from the keyring too early, or the data directory was tampered with.
fn unopenable(what: &'static str) -> ApiError {
    tracing::error!(
        what,
        "an envelope of the store does not open with any workload key"
    );
    ApiError::internal(
        "something stored does not open with this manager's workload keys: \
         add the key it was sealed with to MANAGER_WORKLOAD_KEYS_OPEN",
    )
}
