//! The log of every use of a key.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use propeller_ces::format::ObjectHeader;
use propeller_ces::{Action, Audit, Event, Key};
use serde_json::json;

use super::failure::Failure;
use crate::clock::now_secs;

/// A line of JSON for every use of a key, if somebody wants them.
#[derive(Debug)]
pub(crate) struct AuditLog {
    command: &'static str,
    log: Option<(PathBuf, Mutex<Log>)>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// The first line that could not be written.
    failed: Option<io::Error>,
}

impl AuditLog {
    /// Opens the log before any key is used: a key that would be used untold is not used.
    pub(crate) fn open(path: Option<&Path>, command: &'static str) -> Result<Self, Failure> {
        let log = match path {
            Some(path) => {
                let file = open(path).map_err(|source| Failure::Audit {
                    path: path.to_owned(),
                    source,
                })?;
                Some((path.to_owned(), Mutex::new(Log { file, failed: None })))
            }
            None => None,
        };
        Ok(Self { command, log })
    }

    /// Writes one event down, at once and in one piece: several commands may share a log.
    pub(crate) fn tell(&self, event: &Event) {
        let Some((_, log)) = &self.log else { return };
        let time = i64::try_from(now_secs()).ok();
        let time = time.and_then(|secs| jiff::Timestamp::from_second(secs).ok());
        let line = json!({
            "time": time.map(|time| time.to_string()),
            "command": self.command,
            "action": event.action.name(),
            "key": event.key.to_string(),
            "label": event.label.as_str(),
            "object": event.object.map(|object| object.to_string()),
        });
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = log.file.write_all(format!("{line}\n").as_bytes()) {
            log.failed.get_or_insert(error);
        }
    }

    /// Tells that a key was made.
    pub(crate) fn created(&self, key: &Key) {
        Audit::to(&|event| self.tell(event)).tell(&Event {
            action: Action::Created,
            key: key.id(),
            label: key.label(),
            object: None,
        });
    }

    /// Tells that a key is of another environment than an object.
    pub(crate) fn refused(&self, key: &Key, object: &ObjectHeader) {
        Audit::to(&|event| self.tell(event)).tell(&Event {
            action: Action::Refused,
            key: key.id(),
            label: object.label,
            object: Some(object.id),
        });
    }

    /// Fails if the use of a key could not be told: nothing is handed out then.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Some((path, log)) = &self.log else {
            return Ok(());
        };
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.failed.take() {
            Some(source) => Err(Failure::Audit {
                path: path.clone(),
                source,
            }),
            None => Ok(()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
