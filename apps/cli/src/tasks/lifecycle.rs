//! `tasks start`, `tasks stop` and `tasks delete`

use clap::Args;

use crate::Session;
use crate::error::{CliError, Exit, Noun};

/// Some tasks.
#[derive(Debug, Args)]
pub struct Ids {
    /// Ids of the tasks
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(crate) async fn start(id: &str, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let started = session.client.task_start(id).await?;
    if session.json {
        session.ui.json(&started)?;
        return Ok(Exit::Success);
    }
    let program = session.program;
    session.ui.say(&format!("Started task {id}"))?;
    session
        .ui
        .say(&format!("Wait for it with: {program} tasks wait {id}"))?;
    Ok(Exit::Success)
}

pub(crate) async fn stop(id: &str, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let stopped = session.client.task_stop(id).await?;
    if session.json {
        session.ui.json(&stopped)?;
        return Ok(Exit::Success);
    }
    session.ui.say(&format!("Stopped task {id}"))?;
    Ok(Exit::Success)
}

/// Deletes as many as can be deleted, and tells about each of the others.
pub(crate) async fn delete(args: Ids, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for id in &args.ids {
        match session.client.task_delete(id).await {
            Ok(()) => session.done(&format!("Deleted task {id}"))?,
            Err(error) => {
                let error = CliError::NotDeleted {
                    id: id.clone(),
                    source: error,
                };
                exit = session.ui.fail(&error.explain(session.program, Noun::Task));
            }
        }
    }
    Ok(exit)
}
