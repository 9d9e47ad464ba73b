//! One task, from the request to the result.

use std::time::{Duration, Instant};

use propeller_api::{Results, Task, TaskRequest, TaskState, TaskUsage};
use serde::Deserialize;

use crate::error::BenchError;
use crate::http::Connection;

/// The two requests of a client that wants a result.
#[derive(Debug)]
pub(crate) struct Round {
    /// The task.
    pub(crate) id: String,
    /// From the request to the 201, which says that the task is on the disk.
    pub(crate) submit: Duration,
    /// From the 201 to the result.
    pub(crate) settle: Duration,
}

impl Round {
    /// From the request to the result.
    pub(crate) fn total(&self) -> Duration {
        self.submit + self.settle
    }
}

/// What of the 201 matters here.
#[derive(Debug, Deserialize)]
struct Created {
    id: String,
}

/// A request to call the `add` export of `module`.
pub(crate) fn add_request(module: &str, a: usize, b: usize) -> TaskRequest {
    TaskRequest {
        name: Some("add".to_owned()),
        module: Some(module.to_owned()),
        invoke: Some("add".to_owned()),
        inputs: Some(vec![a.to_string(), b.to_string()]),
        ..TaskRequest::default()
    }
}

/// Submits a task, waits for its end, and checks what it gave.
pub(crate) async fn round(
    connection: &mut Connection,
    request: &TaskRequest,
    is_right: impl Fn(&Results) -> bool,
) -> Result<Round, BenchError> {
    let json = serde_json::to_vec(request)?;
    let begun = Instant::now();
    let created = connection.post("/tasks?start=true", &json).await?;
    let submit = begun.elapsed();
    let Created { id } = serde_json::from_slice(&created)?;
    let path = format!("/tasks/{id}/results?wait=30");
    loop {
        let body = connection.get(&path).await?;
        let settle = begun.elapsed().saturating_sub(submit);
        let results: Results = serde_json::from_slice(&body)?;
        let state = TaskState::from_number(results.state);
        if state.is_some_and(|state| !state.is_final()) {
            continue;
        }
        if state == Some(TaskState::Completed) && is_right(&results) {
            return Ok(Round { id, submit, settle });
        }
        return Err(BenchError::WrongResult {
            id,
            state: state.map_or("unknown", TaskState::word),
            result: results.results.to_string(),
            error: results.error,
        });
    }
}

/// What the last attempt at a task cost.
pub(crate) async fn usage(connection: &mut Connection, id: &str) -> Result<TaskUsage, BenchError> {
    let body = connection.get(&format!("/tasks/{id}")).await?;
    let task: Task = serde_json::from_slice(&body)?;
    let last = task.attempts.last();
    last.and_then(|attempt| attempt.usage)
        .ok_or(BenchError::NoUsage { id: task.id })
}
