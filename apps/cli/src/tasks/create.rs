//! `tasks create`

use std::path::PathBuf;

use clap::Args;
use propeller_api::Task;
use propeller_sdk::Reply;

use super::spec::Spec;
use super::{upload, wait};
use crate::Session;
use crate::error::{CliError, Exit};

/// A task to create.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tasks create add --file add.wasm --inputs 1,2 --wait
  tasks create hello --image ghcr.io/me/hello:1 --wait
  tasks create thumb --file thumbnail.wasm --stdin photo.jpg --wait > thumb.png")]
pub struct Create {
    /// Name of the task; also the function to call, unless --invoke names one
    name: String,

    /// Module to upload
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    file: Option<PathBuf>,

    /// Start it at once
    #[arg(long)]
    start: bool,

    /// Start it at once, wait until it has ended and print what it produced
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    spec: Spec,
}

pub(crate) async fn run(args: Create, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let Create {
        name,
        file,
        start,
        wait,
        spec,
    } = args;
    let start = start || wait;
    let request = spec.into_request(Some(name))?;
    // What cannot be read should not leave a task behind that nobody can run.
    let module = match file {
        Some(path) => Some(upload::Module::open(path).await?),
        None => None,
    };
    let mut task = session
        .client
        .task_create(&request, start && module.is_none())
        .await?;
    let id = task.id.clone();
    tell(session, wait, &format!("Created task {id}"))?;
    if let Some(module) = module {
        let file = module.path().to_owned();
        let sent = module.send(&id, session).await;
        task = sent.map_err(|source| CliError::NotUploaded {
            id: id.clone(),
            file,
            source,
        })?;
        tell(
            session,
            wait,
            &format!("Uploaded its module as {}", task.app_name),
        )?;
        if start {
            task = start_and_view(&id, session).await?;
        }
    }
    if wait {
        return wait::until_ended(&id, None, session).await;
    }
    if session.json {
        session.ui.json(&task)?;
        return Ok(Exit::Success);
    }
    next_step(&task, start, session)?;
    Ok(Exit::Success)
}

async fn start_and_view(id: &str, session: &mut Session<'_, '_>) -> Result<Reply<Task>, CliError> {
    let started = session.client.task_start(id).await;
    started.map_err(|source| CliError::NotStarted {
        id: id.to_owned(),
        source,
    })?;
    Ok(session.client.task_view(id).await?)
}

/// Says what was done. Who waits gets the task's output alone on standard output.
fn tell(session: &mut Session<'_, '_>, wait: bool, sentence: &str) -> Result<(), CliError> {
    if wait && !session.json {
        session.ui.note(sentence);
        return Ok(());
    }
    session.done(sentence)
}

fn next_step(task: &Task, started: bool, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let (program, id) = (session.program, &task.id);
    let parts = [&task.module, &task.file, &task.image_url];
    let has_module = parts.iter().any(|part| !part.is_empty());
    session.ui.say(&if started {
        format!("Started it; wait for it with: {program} tasks wait {id}")
    } else if has_module {
        format!("Start it with: {program} tasks start {id}")
    } else {
        format!("Give it a module with: {program} tasks upload {id} FILE")
    })
}
