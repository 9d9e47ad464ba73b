//! Files that are not whole yet, and take their place when they are.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use propeller_ces::{Digest, Object, ReadAt};

use super::failure::Failure;
use super::files::{create, hold, open_begun, remove_stale, sync_name};
use crate::units::bytes_text;

/// How much may be written before it is made sure that it is on the disk, in bytes. As much is read
/// again when an interrupted run goes on: nobody knows whether a power failure left it whole.
const SYNC_LEN: u64 = 16 * 1024 * 1024;

/// Where an output goes.
#[derive(Debug)]
pub(crate) enum Output {
    /// `-`.
    Standard,
    /// A pipe or a device: it is written to as it is, and nothing takes its place.
    Stream(File),
    /// A file, which is replaced when what takes its place is whole; or none yet.
    File(PathBuf),
}

impl Output {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        Self::find(path).map_err(|source| Failure::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn find(path: &Path) -> io::Result<Self> {
        let is_link = match fs::symlink_metadata(path) {
            Ok(meta) => meta.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::File(path.to_owned()));
            }
            Err(error) => return Err(error),
        };
        let kind = fs::metadata(path)?.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !kind.is_file() {
            return Ok(Self::Stream(File::options().write(true).open(path)?));
        }
        // What a link leads to is replaced, and the link stays one.
        Ok(Self::File(match is_link {
            true => fs::canonicalize(path)?,
            false => path.to_owned(),
        }))
    }
}

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
        let path = part_path(output, object.digest(), "part")?;
        let failed = |source| Failure::Write {
            path: path.clone(),
            source,
        };
        if restart {
            remove_stale(&path).map_err(failed)?;
        }
        let mut file = begin(&path).map_err(failed)?;
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
        place(&self.file, &self.path, &self.output)
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

fn part_path(output: &Path, digest: Digest, end: &str) -> Result<PathBuf, Failure> {
    let Some(name) = output.file_name() else {
        return Err(Failure::Write {
            path: output.to_owned(),
            source: io::ErrorKind::IsADirectory.into(),
        });
    };
    // Half of it tells objects apart as well, and leaves room for the file's name.
    let digest = digest.to_string();
    let digest = &digest[..32];
    Ok(output.with_file_name(format!(".{}.{digest}.{end}", name.to_string_lossy())))
}

/// An earlier run's file, or a new one for its owner alone: what was encrypted stays so.
fn begin(path: &Path) -> io::Result<File> {
    let file = match open_begun(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(path, true),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    // Nobody else could have written it, and it is nowhere under another name.
    let is_own = meta.uid() == rustix::process::geteuid().as_raw()
        && meta.mode() & 0o077 == 0
        && meta.nlink() == 1;
    if !is_own {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may have written it: remove it",
        ));
    }
    hold(&file, path)?;
    Ok(file)
}

/// Puts a file where another one is or none. Until then it is its owner's alone, and then for whoever
/// might read the one that it replaces.
fn place(file: &File, path: &Path, output: &Path) -> Result<(), Failure> {
    let replaced = fs::symlink_metadata(output).ok();
    let placed = file.sync_all();
    let placed = placed.and_then(|()| fs::rename(path, output));
    let placed = placed.and_then(|()| match replaced.filter(Metadata::is_file) {
        Some(replaced) => let_in(file, &replaced),
        None => Ok(()),
    });
    let placed = placed.and_then(|()| sync_name(output));
    placed.map_err(|source| Failure::Write {
        path: output.to_owned(),
        source,
    })
}

/// Lets those read a file that might read another. A group that we are not in is not let in: the
/// file would be of one of ours.
fn let_in(file: &File, replaced: &Metadata) -> io::Result<()> {
    let mut mode = replaced.mode() & 0o777;
    let is_of_group = file.metadata()?.gid() == replaced.gid()
        || std::os::unix::fs::fchown(file, None, Some(replaced.gid())).is_ok();
    if !is_of_group {
        mode &= !0o070;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// A part of an object, in a file that takes another's place when it is whole.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) file: File,
    path: PathBuf,
    output: PathBuf,
    is_placed: bool,
}

impl Replacement {
    /// Until then it has the object's digest in its name: a name that nobody else chooses.
    pub(crate) fn open(output: &Path, digest: Digest) -> Result<Self, Failure> {
        let path = part_path(output, digest, "range.part")?;
        let begun = begin(&path).and_then(|file| file.set_len(0).map(|()| file));
        match begun {
            Ok(file) => Ok(Self {
                file,
                path,
                output: output.to_owned(),
                is_placed: false,
            }),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    pub(crate) fn place(mut self) -> Result<(), Failure> {
        place(&self.file, &self.path, &self.output)?;
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
