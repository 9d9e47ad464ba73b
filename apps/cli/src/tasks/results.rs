//! `tasks results`

use std::path::{Path, PathBuf};

use clap::Args;
use propeller_api::{self as api, SealedObject, TaskState};
use propeller_sdk::Client;
use serde_json::Value;

use super::stored::Opening;
use super::{Failure, state_of};
use crate::Session;
use crate::error::{CliError, Exit, Noun};
use crate::json::pretty;
use crate::new_file::{NewFile, Readers};
use crate::units::bytes_text;

/// Which task's output, and where it goes.
#[derive(Debug, Args)]
pub struct Results {
    /// Id of the task
    id: String,

    /// Where the output of a completed task goes: a file, which is replaced when all of it is
    /// there, a pipe or a device [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What there is to print.
enum Produced<'r> {
    Bytes(Vec<u8>),
    /// In the manager's object store.
    Stored(&'r SealedObject),
}

pub(crate) async fn run(args: Results, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let Results { id, output } = args;
    let results = session.client.task_results(&id).await?;
    let state = state_of(&id, results.state)?;
    if session.json {
        session.ui.json(&results)?;
    }
    match output.filter(|path| path != Path::new("-")) {
        Some(path) => {
            if !session.json {
                session.ui.guest_err(results.stderr.as_bytes());
                session.ui.guest_done()?;
            }
            if state == TaskState::Completed && !save(&id, &results, &path, session).await? {
                return Ok(Exit::Interrupted);
            }
        }
        None if session.json => {}
        None => show(&id, &results, session).await?,
    }
    verdict(&id, state, &results.error, &results.hint)
}

/// Writes the task's output to standard output and its messages to standard error: as they are, but
/// on a terminal, where no byte of a guest moves the cursor. Of a task that has not completed, an output that is not to be had is only noted: why the task ended
/// is what its caller has to tell.
pub(crate) async fn show(
    id: &str,
    results: &api::Results,
    session: &mut Session<'_, '_>,
) -> Result<(), CliError> {
    session.ui.guest_err(results.stderr.as_bytes());
    let shown = match produced(results) {
        Ok(Produced::Bytes(bytes)) => session.ui.guest_out(&bytes),
        Ok(Produced::Stored(sealed)) => print(id, sealed, session).await,
        Err(error) => Err(error),
    };
    session.ui.guest_done()?;
    match shown {
        Err(error @ (CliError::Task(_) | CliError::Encoding(_)))
            if results.state != TaskState::Completed as u8 =>
        {
            let told = error.explain(session.program, Noun::Task);
            let note = [vec![told.message], told.causes].concat().join(": ");
            session.ui.note(&format!("note: {note}"));
            Ok(())
        }
        shown => shown,
    }
}

fn produced(results: &api::Results) -> Result<Produced<'_>, CliError> {
    if let Some(sealed) = &results.stdout_object {
        return Ok(Produced::Stored(sealed));
    }
    if !results.stdout_base64.is_empty() {
        let output = data_encoding::BASE64.decode(results.stdout_base64.as_bytes());
        return output.map(Produced::Bytes).map_err(CliError::Encoding);
    }
    let text = match &results.results {
        Value::Null => String::new(),
        // A command's output is above, so this is what a function returned.
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("{text}\n"),
        other => pretty(&other.to_string()),
    };
    Ok(Produced::Bytes(text.into_bytes()))
}

/// Opens an output and prints it. Nothing is printed of what does not open.
async fn print(
    id: &str,
    sealed: &SealedObject,
    session: &mut Session<'_, '_>,
) -> Result<(), CliError> {
    let bar = session.ui.progress(sealed.length, "Getting".to_owned());
    let Session { client, ui, .. } = session;
    let got = fetch(id, sealed, client, |bytes, got| {
        bar.set_position(got);
        ui.guest_out(bytes)
    });
    let got = got.await;
    bar.finish_and_clear();
    got.map(|_| ())
}

/// Writes the task's output to a file. False if Ctrl-C ended that.
async fn save(
    id: &str,
    results: &api::Results,
    path: &Path,
    session: &mut Session<'_, '_>,
) -> Result<bool, CliError> {
    let failed = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = NewFile::open(path, Readers::Owner).map_err(failed)?;
    let len = match produced(results)? {
        Produced::Bytes(bytes) => {
            file.write(&bytes).map_err(failed)?;
            bytes.len() as u64
        }
        Produced::Stored(sealed) => {
            let bar = session.ui.progress(sealed.length, "Getting".to_owned());
            let got = fetch(id, sealed, &session.client, |bytes, got| {
                bar.set_position(got);
                Ok(file.write(bytes).map_err(failed)?)
            });
            let got = tokio::select! {
                got = got => Some(got),
                Ok(()) = tokio::signal::ctrl_c() => None,
            };
            bar.finish_and_clear();
            match got {
                Some(len) => len?,
                // What there is of the file goes with it.
                None => return Ok(false),
            }
        }
    };
    file.place().map_err(failed)?;
    session.done(&format!("Wrote {} to {}", bytes_text(len), path.display()))?;
    Ok(true)
}

/// Opens an output and hands it on, each time with how much that makes. Gives its length.
async fn fetch(
    id: &str,
    sealed: &SealedObject,
    client: &Client,
    mut take: impl FnMut(&[u8], u64) -> Result<(), CliError>,
) -> Result<u64, CliError> {
    let failed = |got, source| Failure::Output {
        id: id.to_owned(),
        got,
        source: Box::new(source),
    };
    let opening = Opening::begin(id, sealed, client).await;
    let mut opening = opening.map_err(|source| failed(0, source))?;
    let mut got = 0;
    while let Some(bytes) = opening.next().await.map_err(|source| failed(got, source))? {
        got += bytes.len() as u64;
        take(&bytes, got)?;
    }
    Ok(got)
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
