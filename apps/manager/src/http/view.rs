//! Renders what is stored as what clients see.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use propeller_api::{Attempt, Limits, Results, Task, TaskState, TaskUsage, ZERO_TIME, time_text};
use propeller_envelope::{Context, Keyring, open};
use propeller_model::task::{Outcome, State};
use propeller_model::{AttemptId, TaskId};
use propeller_wire::message::{Input, Output, decode};
use serde_json::Value;

use super::ApiError;
use super::grants::{engine, grants};
use crate::store::attempt::{Attempt as AttemptRow, attempt_find, attempt_list};
use crate::store::module::module_find;
use crate::store::task::{Task as TaskRow, task_find};
use crate::store::{Blob, Reader, StoreError};

/// Opens what is stored sealed.
#[derive(Debug, Clone)]
pub(super) struct Renderer {
    pub(super) keys: Keyring,
    pub(super) tenant: String,
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
        let (attempts, output, file) = match detail {
            Detail::Brief => (Vec::new(), None, excerpt(reader, &row)?),
            Detail::Full => (
                reader.with(|db| attempt_list(db, row.id))?,
                self.output(reader, &row)?,
                excerpt(reader, &row)?,
            ),
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
        let error = match (&output.error, state) {
            (Some(error), TaskState::Failed) => error.clone(),
            (_, TaskState::Failed) => row.error.clone(),
            _ => String::new(),
        };
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
            encrypted: false,
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
            protection: row.protection,
            trace_id: row.trace.id(),
            limits: limits(&input.limits),
            profile: input.profile.to_string(),
            grants: grants(input.grants),
            attempts: attempts.into_iter().map(attempt).collect(),
            exit_code: output.exit_code,
            file,
        })
    }

    /// What the last attempt of a finished task produced.
    pub(super) fn results(&self, reader: &Reader, id: TaskId) -> Result<Results, ApiError> {
        let row = find(reader, id)?;
        let output = self.output(reader, &row)?;
        let state = api_state(&row.state);
        let output = output.unwrap_or_default();
        let error = match state {
            TaskState::Failed => output.error.clone().unwrap_or(row.error),
            _ => String::new(),
        };
        Ok(Results {
            results: results_value(&output),
            state: state as u8,
            error,
            exit_code: output.exit_code,
            stdout_base64: BASE64.encode(&output.stdout),
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
        decode(&plain).map_err(|_| unopenable("input"))
    }

    fn output(&self, reader: &Reader, row: &TaskRow) -> Result<Option<Output>, ApiError> {
        let State::Done { attempts, .. } = row.state else {
            return Ok(None);
        };
        let id = AttemptId {
            task: row.id,
            number: attempts,
        };
        let Some(attempt) = reader.with(|db| attempt_find(db, id))? else {
            return Ok(None);
        };
        let of_this_run = row
            .started_ms
            .is_none_or(|start| attempt.assigned_ms >= start);
        let Some(blob) = attempt.output.filter(|_| of_this_run) else {
            return Ok(None);
        };
        let sealed = reader.blobs().read(blob)?;
        let context = Context::Result {
            tenant: &self.tenant,
            task: *row.id.0.as_bytes(),
            attempt: attempts,
            proplet: &attempt.proplet,
        };
        let plain = open(&self.keys, &context, &sealed).map_err(|_| unopenable("result"))?;
        Ok(Some(decode(&plain).map_err(|_| unopenable("result"))?))
    }
}

/// The row of a task.
pub(super) fn find(reader: &Reader, id: TaskId) -> Result<TaskRow, ApiError> {
    reader
        .with(|db| task_find(db, id))?
        .ok_or_else(|| crate::dispatch::Refusal::NoTask(id).into())
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
        usage: row.usage.as_deref().and_then(usage),
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
    match (&output.result, output.exit_code, output.stdout.is_empty()) {
        (Some(result), _, _) => Value::String(result.clone()),
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
