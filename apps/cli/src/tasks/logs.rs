//! `tasks logs`

use clap::{Args, ValueEnum};
use propeller_api::{LogEvent, LogStream, TaskState};

use super::state_of;
use crate::Session;
use crate::error::{CliError, Exit};

/// Which task's log, and how much of it.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Logs {
    /// Id of the task
    id: String,

    /// Go on until the task has ended, also over further attempts
    #[arg(short, long)]
    follow: bool,

    /// Only this stream [default: both, each where it belongs]
    #[arg(long, value_name = "STREAM")]
    stream: Option<Stream>,
}

const EXIT_CODES: &str = "\
What the guest wrote to standard output goes to standard output, and its standard error to standard \
error: byte for byte into a file or a pipe, without control characters on a terminal. A daemon's log \
begins with what its proplet still keeps; what is missing, or is in the object store, is said on \
standard error.

Exit codes: 0 after the whole log, however the task ended; 1 if there is none or it was cut off; 130 \
after Ctrl-C.";

/// A stream that guests print to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

/// Where the log stands.
#[derive(Debug, Default)]
struct Reached {
    attempts: u32,
    offsets: [u64; 2],
}

pub(crate) async fn run(args: Logs, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let mut logs = session.client.task_logs(&args.id, args.follow).await?;
    let mut reached = Reached::default();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            event = logs.next() => event?,
            Ok(()) = &mut interrupt => {
                session.ui.guest_done()?;
                return Ok(Exit::Interrupted);
            }
        };
        let Some(event) = event else {
            session.ui.guest_done()?;
            return Ok(Exit::Success);
        };
        if !wanted(args.stream, &event) {
            continue;
        }
        if session.json {
            session.ui.json_text(&format!("{}\n", event.json()))?;
        } else {
            show(&args, event.into_value(), &mut reached, session)?;
        }
        session.ui.flush()?;
    }
}

fn wanted(only: Option<Stream>, event: &LogEvent) -> bool {
    match (only, event) {
        (Some(only), LogEvent::Output { stream, .. }) => matches!(
            (only, stream),
            (Stream::Stdout, LogStream::Stdout) | (Stream::Stderr, LogStream::Stderr)
        ),
        _ => true,
    }
}

fn show(
    args: &Logs,
    event: LogEvent,
    reached: &mut Reached,
    session: &mut Session<'_, '_>,
) -> Result<(), CliError> {
    match event {
        LogEvent::Attempt {
            attempt,
            proplet_id,
        } => {
            session.ui.guest_done()?;
            reached.attempts += 1;
            reached.offsets = [0; 2];
            if reached.attempts > 1 {
                session
                    .ui
                    .note(&format!("attempt {attempt}, on proplet {proplet_id}"));
            }
        }
        LogEvent::Output {
            stream,
            offset,
            data_base64,
            stored,
        } => {
            let bytes = data_encoding::BASE64
                .decode(data_base64.as_bytes())
                .map_err(CliError::Encoding)?;
            let (index, name) = match stream {
                LogStream::Stdout => (0, "standard output"),
                LogStream::Stderr => (1, "standard error"),
            };
            let missing = offset.saturating_sub(reached.offsets[index]);
            if missing > 0 && stored {
                let program = session.program;
                session.ui.note(&format!(
                    "{missing} bytes of {name} are in the object store: get all of it with: {program} \
                     tasks results {}",
                    args.id
                ));
            } else if missing > 0 {
                session
                    .ui
                    .note(&format!("{missing} bytes of {name} are not kept any more"));
            }
            reached.offsets[index] = offset.saturating_add(bytes.len() as u64);
            match stream {
                LogStream::Stdout => session.ui.guest_out(&bytes)?,
                LogStream::Stderr => session.ui.guest_err(&bytes),
            }
        }
        LogEvent::End {
            state, error, hint, ..
        } => {
            session.ui.guest_done()?;
            if args.follow && state_of(&args.id, state)? == TaskState::Failed {
                let why = format!("the task failed: {error}");
                why.lines().for_each(|line| session.ui.note(line));
                if !hint.is_empty() {
                    session.ui.note(&format!("hint: {hint}"));
                }
            }
        }
    }
    Ok(())
}
