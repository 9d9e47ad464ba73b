//! `tasks results`

use propeller_api::{Results, TaskState};
use serde_json::Value;

use super::state_of;
use crate::Session;
use crate::error::{CliError, Exit};
use crate::json::pretty;

pub(crate) async fn run(id: &str, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let results = session.client.task_results(id).await?;
    let state = state_of(id, results.state)?;
    if session.json {
        session.ui.json(&results)?;
    } else {
        show(&results, session)?;
    }
    verdict(id, state, &results.error, &results.hint)
}

/// Writes the task's output to standard output and its messages to standard error, as they are.
pub(crate) fn show(results: &Results, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    session.ui.raw_note(results.stderr.as_bytes());
    if !results.stdout_base64.is_empty() {
        let output = data_encoding::BASE64
            .decode(results.stdout_base64.as_bytes())
            .map_err(CliError::Encoding)?;
        return session.ui.raw(&output);
    }
    match &results.results {
        Value::Null => Ok(()),
        // A command's output is printed above, so this is what a function returned.
        Value::String(text) if text.is_empty() => Ok(()),
        Value::String(text) => session.ui.text(&format!("{text}\n")),
        other => session.ui.text(&pretty(&other.to_string())),
    }
}

/// Only a completed task has done what it was asked.
pub(crate) fn verdict(id: &str, state: TaskState, why: &str, hint: &str) -> Result<Exit, CliError> {
    let (id, why, hint) = (id.to_owned(), why.to_owned(), hint.to_owned());
    match state {
        TaskState::Completed => Ok(Exit::Success),
        state if state.is_final() => Err(CliError::Ended {
            id,
            state,
            why,
            hint,
        }),
        state => Err(CliError::NoResult { id, state }),
    }
}
