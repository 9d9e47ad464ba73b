//! One process per data directory.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why a directory is not ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{directory} is in use by another {owner}{holder}: stop it or choose another directory"
    )]
    Taken {
        /// The directory.
        directory: PathBuf,
        /// What kind of service wants it.
        owner: &'static str,
        /// ` (process 123)`, if the lock file says so.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {directory}")]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The proof that a directory is ours. The lock ends with the process, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory, readable by its owner alone, and locks it.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(directory: &Path, owner: &'static str) -> Result<Self, LockError> {
        let io = |cause| LockError::Io {
            directory: directory.to_owned(),
            cause,
        };
        make_private(directory).map_err(io)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Taken {
                    directory: directory.to_owned(),
                    owner,
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        file.set_len(0).map_err(io)?;
        write!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.rewind().and_then(|()| file.read_to_string(&mut text)) {
        Ok(_) if text.parse::<u32>().is_ok() => format!(" (process {text})"),
        _ => String::new(),
    }
}
