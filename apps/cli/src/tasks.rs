//! Verbs about tasks.

mod create;
mod failure;
mod grants;
mod large;
mod lifecycle;
mod list;
mod logs;
mod metrics;
mod pipe;
mod results;
mod seal;
mod spec;
mod stdin;
mod stored;
mod update;
mod upload;
mod view;
mod wait;

pub use create::Create;
pub use grants::GrantArgs;
pub use large::{LargeError, copy_stdout, give_stdin};
pub use lifecycle::Ids;
pub use list::List;
pub use logs::{Logs, Stream};
pub use metrics::Metrics;
pub use results::Results;
pub use spec::LimitArgs;
pub use stdin::{Large, Stdin};
pub use update::Update;
pub use upload::Upload;
pub use wait::Wait;

pub(crate) use failure::Failure;

use clap::{Args, Subcommand};
use propeller_api::TaskState;

use crate::Session;
use crate::error::{CliError, Exit};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskVerb {
    /// Create a task, and upload its module, start it and wait for it if you like
    Create(Box<Create>),
    /// List tasks, newest first
    List(List),
    /// Show one task and its attempts
    View(Id),
    /// Change what a task is to do; what you do not mention stays
    Update(Box<Update>),
    /// Delete tasks
    Delete(Ids),
    /// Start a task, also again
    Start(Id),
    /// Stop a task
    Stop(Id),
    /// Print what a task produced, byte for byte
    Results(Results),
    /// Print what a task prints, also while it runs
    Logs(Logs),
    /// Give a task its module
    Upload(Upload),
    /// Wait until a task has ended, and print what it produced
    Wait(Wait),
    /// Show what the attempts at a task cost
    Metrics(Metrics),
}

/// One task.
#[derive(Debug, Args)]
pub struct Id {
    /// Id of the task
    id: String,
}

pub(crate) async fn run(verb: TaskVerb, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    match verb {
        TaskVerb::Create(args) => Box::pin(create::run(*args, session)).await,
        TaskVerb::List(args) => list::run(args, session).await,
        TaskVerb::View(Id { id }) => view::run(&id, session).await,
        TaskVerb::Update(args) => Box::pin(update::run(*args, session)).await,
        TaskVerb::Delete(args) => lifecycle::delete(args, session).await,
        TaskVerb::Start(Id { id }) => lifecycle::start(&id, session).await,
        TaskVerb::Stop(Id { id }) => lifecycle::stop(&id, session).await,
        TaskVerb::Results(args) => results::run(args, session).await,
        TaskVerb::Logs(args) => logs::run(args, session).await,
        TaskVerb::Upload(args) => upload::run(args, session).await,
        TaskVerb::Wait(args) => wait::run(args, session).await,
        TaskVerb::Metrics(args) => metrics::run(args, session).await,
    }
}

/// The state that a number from the manager means.
fn state_of(id: &str, state: u8) -> Result<TaskState, CliError> {
    TaskState::from_number(state).ok_or_else(|| CliError::UnknownState {
        id: id.to_owned(),
        state,
    })
}
