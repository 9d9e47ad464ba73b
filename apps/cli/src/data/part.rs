//! Files that are not whole yet, and take their place when they are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use propeller_ces::{Digest, Object, ReadAt};

use super::failure::Failure;
use super::sink::remove_stale;
use crate::units::bytes_text;

/// How much may be written before it is made sure that it is on the disk, in bytes. As much is read
/// again when an interrupted run goes on: nobody knows whether a power failure left it whole.
const SYNC_LEN: u64 = 16 * 1024 * 1024;

/// A file that is not whole yet, with its object's digest in its name.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    output: PathBuf,
    /// What an earlier run has written is good up to here.
    begin: u64,
    /// What is written and perhaps not on the disk yet.
    unsynced: u64,
}

impl Part {
    pub(crate) fn open<S: ReadAt>(
        output: &Path,
        object: &Object<S>,
        restart: bool,
    ) -> Result<Self, Failure> {
        let path = part_path(output, object.digest())?;
        let failed = |source| Failure::Write {
            path: path.clone(),
            source,
        };
        if restart {
            remove_stale(&path).map_err(failed)?;
        }
        let old = own(&path).map_err(failed)?;
        let mut file = match old {
            Some(file) => file,
            None => create(&path).map_err(failed)?,
        };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another command is writing it");
            return Err(failed(busy));
        }
        let written = file.metadata().map_err(failed)?.len();
        let segment = object.header().segment_size.bytes();
        let begin = resume_at(written.min(object.plain_len()), segment.into());
        file.set_len(begin).map_err(failed)?;
        file.seek(SeekFrom::Start(begin)).map_err(failed)?;
        Ok(Self {
            file,
            output: output.to_owned(),
            begin,
            unsynced: 0,
            path,
        })
    }

    pub(crate) fn place(self) -> Result<(), Failure> {
        let placed = self.file.sync_all();
        let placed = placed.and_then(|()| fs::rename(&self.path, &self.output));
        placed.map_err(|source| Failure::Write {
            path: self.output,
            source,
        })
    }

    /// Where this run goes on, in bytes.
    pub(crate) fn begin(&self) -> u64 {
        self.begin
    }

    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// Takes it away: nothing of it is to be used.
    pub(crate) fn remove(&self) {
        fs::remove_file(&self.path).ok();
    }

    /// Says what is kept for the next run, if that is of any use to it.
    pub(crate) fn keep(&self) -> Option<String> {
        let written = self.file.metadata().map_or(0, |meta| meta.len());
        if written <= SYNC_LEN {
            self.remove();
            return None;
        }
        let size = bytes_text(written);
        Some(format!("{size} are kept in {}", self.path.display()))
    }
}

impl Write for Part {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = self.file.write(buf)?;
        self.unsynced += len as u64;
        if self.unsynced >= SYNC_LEN / 2 {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a run goes on after one that wrote so much: at a segment's beginning.
fn resume_at(written: u64, segment: u64) -> u64 {
    written.saturating_sub(SYNC_LEN) / segment * segment
}

fn part_path(output: &Path, digest: Digest) -> Result<PathBuf, Failure> {
    let Some(name) = output.file_name() else {
        return Err(Failure::Write {
            path: output.to_owned(),
            source: io::ErrorKind::IsADirectory.into(),
        });
    };
    // Half of it tells objects apart as well, and leaves room for the file's name.
    let digest = digest.to_string();
    let digest = &digest[..32];
    Ok(output.with_file_name(format!(".{}.{digest}.part", name.to_string_lossy())))
}

/// An earlier run's file, if it is one that nobody else could have written.
fn own(path: &Path) -> io::Result<Option<File>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let is_own = meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
        if !meta.is_file() || !is_own {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "others may have written it: remove it",
            ));
        }
    }
    OpenOptions::new().write(true).open(path).map(Some)
}

/// A new file, for its owner alone: what was encrypted stays so.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file that takes another's place when it is whole.
pub(crate) struct Replacement {
    pub(crate) file: File,
    path: PathBuf,
    output: PathBuf,
    is_placed: bool,
}

impl Replacement {
    pub(crate) fn open(output: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Write {
            path: output.to_owned(),
            source,
        };
        let name = output.file_name();
        let name = name.ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
        let path = output.with_file_name(format!(".{}.part", name.to_string_lossy()));
        remove_stale(&path).map_err(failed)?;
        let file = create(&path).map_err(failed)?;
        file.try_lock().ok();
        Ok(Self {
            file,
            path,
            output: output.to_owned(),
            is_placed: false,
        })
    }

    pub(crate) fn place(mut self) -> Result<(), Failure> {
        let placed = self.file.sync_all();
        let placed = placed.and_then(|()| fs::rename(&self.path, &self.output));
        placed.map_err(|source| Failure::Write {
            path: self.output.clone(),
            source,
        })?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_placed {
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_at_a_segment_that_is_on_the_disk_for_sure() {
        let mib = 1024 * 1024;
        for (written, begin) in [
            (0, 0),
            (16 * mib, 0),
            (17 * mib - 1, 0),
            (17 * mib, mib),
            (40 * mib + 7, 24 * mib),
        ] {
            assert_eq!(resume_at(written, mib), begin, "{written}");
        }
    }
}
