//! `tasks update`

use std::path::PathBuf;

use clap::Args;
use propeller_api::TaskRequest;

use super::spec::Spec;
use super::upload;
use crate::Session;
use crate::error::{CliError, Exit};

/// What to change in a task.
#[derive(Debug, Args)]
pub struct Update {
    /// Id of the task
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// New module to upload
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    spec: Spec,
}

pub(crate) async fn run(args: Update, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let Update {
        id,
        name,
        file,
        spec,
    } = args;
    let request = spec.into_request(name)?;
    let changes = request != TaskRequest::default();
    let module = match file {
        Some(path) => Some(upload::Module::open(path).await?),
        None if changes => None,
        None => return Err(CliError::NothingToChange),
    };
    let mut updated = None;
    if changes {
        updated = Some(session.client.task_update(&id, &request).await?);
    }
    if let Some(module) = module {
        updated = Some(module.send(&id, session).await?);
    }
    match updated {
        Some(task) if session.json => session.ui.json(&task)?,
        _ => session.ui.say(&format!("Updated task {id}"))?,
    }
    Ok(Exit::Success)
}
