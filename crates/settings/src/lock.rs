//! One process per data directory.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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
    file: File,
}

/// How often a lock is tried, and the pause in between: whoever had it may be letting go of it.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

impl Drop for DirectoryLock {
    /// To close the file is not enough: a process that was forked a moment ago has it too, until it
    /// executes its program.
    fn drop(&mut self) {
        // What cannot be unlocked is closed all the same.
        let _closed = self.file.unlock();
    }
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
        let mut locked = file.try_lock();
        for _ in 1..TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(PAUSE);
            locked = file.try_lock();
        }
        match locked {
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
        Ok(Self { file })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with its test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("propeller-lock-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("the folder was made");
        }
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let scratch = Scratch::new("one");
        let _first = DirectoryLock::take(&scratch.0, "test").expect("it is free");
        let second = DirectoryLock::take(&scratch.0, "test").expect_err("it is taken");
        let pid = std::process::id();
        assert!(
            second.to_string().contains(&format!("(process {pid})")),
            "{second}"
        );
    }

    /// As a process has it that was forked and has not executed its program yet.
    #[test]
    fn a_lock_is_gone_with_its_owner_although_another_one_has_the_file() {
        let scratch = Scratch::new("forked");
        let lock = DirectoryLock::take(&scratch.0, "test").expect("it is free");
        let inherited = lock.file.try_clone().expect("a file can be had twice");
        drop(lock);
        assert!(DirectoryLock::take(&scratch.0, "test").is_ok());
        drop(inherited);
    }
}
