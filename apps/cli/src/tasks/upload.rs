//! `tasks upload`

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_api::Task;
use propeller_sdk::{ClientError, Reply};
use tokio::fs::File;

use crate::Session;
use crate::error::{CliError, Exit};
use crate::units::bytes_text;

/// A module for a task.
#[derive(Debug, Args)]
pub struct Upload {
    /// Id of the task
    id: String,

    /// WebAssembly module
    file: PathBuf,
}

/// A file that is open and has a length.
#[derive(Debug)]
pub(crate) struct Module {
    path: PathBuf,
    file: File,
    len: u64,
}

pub(crate) async fn run(args: Upload, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let Upload { id, file } = args;
    let module = Module::open(file).await?;
    let size = bytes_text(module.len);
    let task = module.send(&id, session).await?;
    if session.json {
        session.ui.json(&task)?;
        return Ok(Exit::Success);
    }
    let program = session.program;
    session
        .ui
        .say(&format!("Uploaded {} ({size}) to task {id}", task.app_name))?;
    session
        .ui
        .say(&format!("Start it with: {program} tasks start {id}"))?;
    Ok(Exit::Success)
}

impl Module {
    pub(crate) async fn open(path: PathBuf) -> Result<Self, CliError> {
        match Self::try_open(&path).await {
            Ok((file, len)) => Ok(Self { path, file, len }),
            Err(source) => Err(CliError::Read { path, source }),
        }
    }

    async fn try_open(path: &Path) -> io::Result<(File, u64)> {
        let file = File::open(path).await?;
        let metadata = file.metadata().await?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        Ok((file, metadata.len()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends the file to a task, under its own name, and shows how far that is.
    pub(crate) async fn send(
        self,
        id: &str,
        session: &mut Session<'_, '_>,
    ) -> Result<Reply<Task>, ClientError> {
        let Self { path, file, len } = self;
        let name = path.file_name().map(OsStr::to_string_lossy);
        let name = name.unwrap_or_default().into_owned();
        let bar = session.ui.progress(len, name.clone());
        let watched = bar.clone();
        let upload = propeller_sdk::Upload::from_reader(name, file, len)
            .on_progress(move |sent| watched.set_position(sent));
        let sent = session.client.task_upload(id, upload).await;
        bar.finish_and_clear();
        sent
    }
}
