//! `tasks wait`

use std::time::Duration;

use clap::Args;

use super::{results, state_of};
use crate::Session;
use crate::error::{CliError, Exit};
use crate::units::parse_duration;

/// Which task to wait for, and how long.
#[derive(Debug, Args)]
pub struct Wait {
    /// Id of the task
    id: String,

    /// Give up after this time, such as 60s; the task goes on [default: wait until it has ended]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: Wait, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    until_ended(&args.id, args.timeout, session).await
}

/// Waits until a task has ended and shows what it produced: its JSON, or its output.
pub(crate) async fn until_ended(
    id: &str,
    timeout: Option<Duration>,
    session: &mut Session<'_, '_>,
) -> Result<Exit, CliError> {
    let task = session.client.task_wait(id, timeout).await?;
    if session.json {
        session.ui.json(&task)?;
    } else {
        let produced = session.client.task_results(id).await?;
        results::show(id, &produced, session).await?;
    }
    results::verdict(id, state_of(id, task.state)?, &task.error, &task.hint)
}
