//! A file that takes another's place when it is whole.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
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
        let output = match fs::symlink_metadata(path) {
            Ok(_) => match fs::metadata(path)? {
                meta if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                meta if !meta.is_file() => {
                    return Ok(Self {
                        file: OpenOptions::new().write(true).open(path)?,
                        output: path.to_owned(),
                        beside: None,
                    });
                }
                // What a link leads to is replaced, and the link stays one.
                _ => fs::canonicalize(path)?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let beside = beside(&output)?;
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
        sync_name(&self.output).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Failure {
        Failure::Write {
            path: self.output.clone(),
            source,
        }
    }
}

/// Where a file is until it is whole. Two commands at once do not get in each other's way, also in
/// containers, which number their processes alike.
fn beside(output: &Path) -> io::Result<PathBuf> {
    let name = output.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let random = RandomState::new().hash_one(std::process::id()) >> 32;
    let name = format!(".{}.{random:08x}.part", name.to_string_lossy());
    Ok(output.with_file_name(name))
}

/// Makes sure that a file's name survives a power failure as well.
fn sync_name(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    File::open(folder)?.sync_all()
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
    fn two_at_once_do_not_get_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let (mut one, mut other) = (NewFile::open(&path).unwrap(), NewFile::open(&path).unwrap());
        one.write(b"one").unwrap();
        other.write(b"other").unwrap();
        other.place().unwrap();
        one.place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_link_stays_one_and_one_to_nothing_is_refused_like_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (link, led) = (folder.path().join("link"), folder.path().join("led"));
        fs::write(&led, "old").unwrap();
        std::os::unix::fs::symlink(&led, &link).unwrap();
        let mut new = NewFile::open(&link).unwrap();
        new.write(b"new").unwrap();
        new.place().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&led).unwrap(), b"new");
        fs::remove_file(&led).unwrap();
        assert!(NewFile::open(&link).is_err());
        assert!(link.is_symlink());
        assert!(NewFile::open(folder.path()).is_err());
        NewFile::open(Path::new("/dev/null"))
            .unwrap()
            .place()
            .unwrap();
    }
}
