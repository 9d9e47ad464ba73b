//! A file that takes another's place when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Failure;

/// Where an output goes: a file beside the one that it replaces, or a pipe or a device as it is.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    output: PathBuf,
    /// Where the file is until it is whole; nothing replaces pipes and devices.
    beside: Option<PathBuf>,
}

impl NewFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Self::try_open(path).map_err(|source| Failure::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn try_open(path: &Path) -> io::Result<Self> {
        let output = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(meta) if !meta.is_file() => {
                return Ok(Self {
                    file: OpenOptions::new().write(true).open(path)?,
                    output: path.to_owned(),
                    beside: None,
                });
            }
            // What a link leads to is replaced, and the link stays one.
            Ok(_) => fs::canonicalize(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let name = output.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        // Two commands at once do not get in each other's way.
        let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let beside = output.with_file_name(name);
        // What travelled sealed is for its owner alone.
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        Ok(Self {
            file: file.open(&beside)?,
            output,
            beside: Some(beside),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.failed(source))
    }

    /// Says that what was written is all, and whole.
    pub(super) fn place(mut self) -> Result<(), Failure> {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        let placed = self.file.sync_all();
        let placed = placed.and_then(|()| fs::rename(beside, &self.output));
        placed.map_err(|source| self.failed(source))?;
        self.beside = None;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Failure {
        Failure::Write {
            path: self.output.clone(),
            source,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            fs::remove_file(beside).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.collect()
    }

    #[test]
    fn a_file_is_replaced_when_the_new_one_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old").unwrap();
        let mut half = NewFile::open(&path).unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out"]);
        let mut new = NewFile::open(&path).unwrap();
        new.write(b"new").unwrap();
        new.place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_link_stays_one_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (link, led) = (folder.path().join("link"), folder.path().join("led"));
        fs::write(&led, "old").unwrap();
        std::os::unix::fs::symlink(&led, &link).unwrap();
        let mut new = NewFile::open(&link).unwrap();
        new.write(b"new").unwrap();
        new.place().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&led).unwrap(), b"new");
        assert!(NewFile::open(folder.path()).is_err());
        NewFile::open(Path::new("/dev/null"))
            .unwrap()
            .place()
            .unwrap();
    }
}
