//! `tasks create`

use std::path::PathBuf;

use clap::Args;
use propeller_api::Task;
use propeller_sdk::Reply;

use super::spec::Spec;
use super::stdin::{Large, Stdin};
use super::{Failure, seal, upload, wait};
use crate::Session;
use crate::error::{CliError, Exit};
use crate::units::bytes_text;

/// A task to create.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tasks create add --file add.wasm --inputs 1,2 --wait
  tasks create total --file greet.wasm --arg '[1,2,3]' --wait
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

/// What is left to do with a task that there is.
struct Rest {
    module: Option<upload::Module>,
    /// Whether it is to be started, and whether it is so already.
    start: bool,
    is_started: bool,
    wait: bool,
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
    let (request, stdin) = spec.into_request(Some(name))?;
    // What cannot be read should not leave a task behind that nobody can run.
    let module = match file {
        Some(path) => Some(upload::Module::open(path).await?),
        None => None,
    };
    let at_once = start && module.is_none();
    let created = Stdin::create_task(stdin, request, at_once, &session.client).await;
    let (task, input) = created?;
    let is_started = at_once && input.is_none();
    tell(session, wait, &format!("Created task {}", task.id));
    let rest = Rest {
        module,
        start,
        is_started,
        wait,
    };
    match input {
        None => finish(task, rest, session).await,
        Some(input) => {
            // Before the module: a task that has one and lacks its input could be started.
            give(input, &task.id, wait, session).await?;
            seal::interruptible(async {
                let task = session.client.task_view(&task.id).await?;
                finish(task, rest, session).await
            })
            .await
        }
    }
}

/// Uploads a large standard input. A task that does not get it is removed.
async fn give(
    input: Large,
    id: &str,
    wait: bool,
    session: &mut Session<'_, '_>,
) -> Result<(), CliError> {
    let bar = seal::bar(&input, session.ui);
    match seal::send(input, id, &session.client, bar).await {
        Ok(sent) => {
            let (size, digest) = (bytes_text(sent.length), sent.digest);
            let sentence = format!("Uploaded its standard input ({size}), sealed as {digest}");
            tell(session, wait, &sentence);
            Ok(())
        }
        Err(source) => {
            let (id, source) = (id.to_owned(), Box::new(source));
            Err(match session.client.task_delete(&id).await {
                Ok(()) => Failure::Removed { id, source },
                Err(removal) => Failure::NotRemoved {
                    id,
                    source,
                    removal,
                },
            }
            .into())
        }
    }
}

async fn finish(
    mut task: Reply<Task>,
    rest: Rest,
    session: &mut Session<'_, '_>,
) -> Result<Exit, CliError> {
    let Rest {
        module,
        start,
        is_started,
        wait,
    } = rest;
    let id = task.id.clone();
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
        );
    }
    if start && !is_started {
        task = start_and_view(&id, session).await?;
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

/// Says what was done. Who waits gets the task's output alone on standard output. Where nobody listens
/// any more is found out by what is said last: until then there is more to do.
fn tell(session: &mut Session<'_, '_>, wait: bool, sentence: &str) {
    if wait && !session.json {
        session.ui.note(sentence);
    } else {
        session.done(sentence).ok();
    }
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
