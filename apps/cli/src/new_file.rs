//! A file that takes another's place when it is whole.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Who may read a new file, as far as the umask lets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone: it travelled sealed.
    Owner,
    /// Whoever could read the one that it replaces; everybody, if there was none.
    AsBefore,
}

/// Where an output goes: a file beside the one that it replaces, or a pipe or a device as it is.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    output: PathBuf,
    /// Where the file is until it is whole; nothing replaces pipes and devices.
    beside: Option<PathBuf>,
}

impl NewFile {
    pub(crate) fn open(path: &Path, readers: Readers) -> io::Result<Self> {
        let mut mode = 0o666;
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
                meta => {
                    mode = meta.permissions().mode() & 0o777;
                    fs::canonicalize(path)?
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let beside = beside(&output)?;
        if readers == Readers::Owner {
            mode = 0o600;
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode);
        Ok(Self {
            file: file.open(&beside)?,
            output,
            beside: Some(beside),
        })
    }

    /// Whether it is written to as it is: what is said elsewhere would be among the bytes.
    pub(crate) fn is_stream(&self) -> bool {
        self.beside.is_none()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Says that what was written is all, and whole.
    pub(crate) fn place(mut self) -> io::Result<()> {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        let placed = self.file.sync_all();
        placed.and_then(|()| fs::rename(beside, &self.output))?;
        self.beside = None;
        sync_name(&self.output)
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
        let mut half = NewFile::open(&path, Readers::Owner).unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out"]);
        let mut new = NewFile::open(&path, Readers::Owner).unwrap();
        new.write(b"new").unwrap();
        new.place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn two_at_once_do_not_get_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let (mut one, mut other) = (
            NewFile::open(&path, Readers::Owner).unwrap(),
            NewFile::open(&path, Readers::Owner).unwrap(),
        );
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
        let mut new = NewFile::open(&link, Readers::Owner).unwrap();
        new.write(b"new").unwrap();
        new.place().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&led).unwrap(), b"new");
        fs::remove_file(&led).unwrap();
        assert!(NewFile::open(&link, Readers::Owner).is_err());
        assert!(link.is_symlink());
        assert!(NewFile::open(folder.path(), Readers::Owner).is_err());
        NewFile::open(Path::new("/dev/null"), Readers::Owner)
            .unwrap()
            .place()
            .unwrap();
    }

    #[test]
    fn nobody_reads_a_new_file_who_could_not_read_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let replaced = |readers| {
            let mut new = NewFile::open(&path, readers).unwrap();
            new.write(b"new").unwrap();
            new.place().unwrap();
            mode()
        };
        let usual = replaced(Readers::AsBefore);
        assert_eq!(usual & 0o600, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(replaced(Readers::AsBefore), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(replaced(Readers::Owner), 0o600);
    }
}
