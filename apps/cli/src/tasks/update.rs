//! `tasks update`

use std::path::PathBuf;

use clap::Args;
use propeller_api::{Task, TaskRequest};
use propeller_sdk::{ClientError, Reply};

use super::spec::Spec;
use super::stdin::Stdin;
use super::{Failure, seal, upload};
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
    let (mut request, stdin) = spec.into_request(name)?;
    if let Some(stdin) = &stdin {
        stdin.mention(&mut request);
    }
    if request.stdin.as_deref() == Some("") {
        let task = session.client.task_view(&id).await?;
        if task.stdin_object.is_some() {
            return Err(Failure::NotEmptied { id }.into());
        }
    }
    let input = stdin.and_then(Stdin::into_large);
    let changes = request != TaskRequest::default();
    let module = match file {
        Some(path) => Some(upload::Module::open(path).await?),
        None if changes => None,
        None => return Err(CliError::NothingToChange),
    };
    let mut updated = None;
    if changes {
        let changed = session.client.task_update(&id, &request).await;
        updated = Some(match changed {
            Err(error) if input.is_some() => return Err(refused(error, id, session).await),
            changed => changed?,
        });
    }
    match input {
        None => finish(&id, updated, module, session).await,
        Some(input) => {
            let path = input.path.clone();
            let bar = seal::bar(&input, session.ui);
            let sent = seal::send(input, &id, &session.client, bar).await;
            sent.map_err(|source| Failure::NotGiven {
                id: id.clone(),
                path,
                source: Box::new(source),
            })?;
            seal::interruptible(async {
                let task = session.client.task_view(&id).await?;
                finish(&id, Some(task), module, session).await
            })
            .await
        }
    }
}

async fn finish(
    id: &str,
    mut updated: Option<Reply<Task>>,
    module: Option<upload::Module>,
    session: &mut Session<'_, '_>,
) -> Result<Exit, CliError> {
    if let Some(module) = module {
        updated = Some(module.send(id, session).await?);
    }
    match updated {
        Some(task) if session.json => session.ui.json(&task)?,
        _ => session.ui.say(&format!("Updated task {id}"))?,
    }
    Ok(Exit::Success)
}

/// Why a task does not take the key of another input: it may have one already.
async fn refused(error: ClientError, id: String, session: &Session<'_, '_>) -> CliError {
    if !matches!(error, ClientError::Refused { status: 409, .. }) {
        return error.into();
    }
    match session.client.task_view(&id).await {
        Ok(task) if task.stdin_object.is_some() => Failure::HasInput { id, source: error }.into(),
        _ => error.into(),
    }
}
