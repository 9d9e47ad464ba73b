//! A file that is written under another name first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::bounds::FILE_SYNC_LEN;
use crate::name::{Part, hex};

/// A file that gets its name when it is whole, and is gone if it never is.
#[derive(Debug)]
pub(crate) struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
    is_named: bool,
    /// What the disk may not have yet, in bytes.
    unsynced: u64,
}

impl Staged {
    /// Begins to write `file` in `folder`.
    pub(super) fn new(folder: &Path, file: &str) -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = folder.join(format!(".{file}.{random:016x}.part"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        Ok(Self {
            file: options.open(&path)?,
            path,
            target: folder.join(file),
            is_named: false,
            unsynced: 0,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= FILE_SYNC_LEN {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Gives it its name, in the place of what has it.
    pub(crate) fn name(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.is_named = true;
        self.sync_name()
    }

    /// Gives it its name, unless something has it: then says `false`.
    pub(crate) fn name_anew(mut self) -> io::Result<bool> {
        self.file.sync_all()?;
        let named = match renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE)
        {
            // Some file systems cannot do that; a second name is never one that is taken, either.
            // The first one goes when this is dropped.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::hard_link(&self.path, &self.target)
            }
            named => {
                self.is_named = named.is_ok();
                named.map_err(io::Error::from)
            }
        };
        match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            named => named.and_then(|()| self.sync_name()).map(|()| true),
        }
    }

    /// A name has to survive a power failure as well.
    fn sync_name(&self) -> io::Result<()> {
        let folder = self.target.parent().expect("it was made in a folder");
        File::open(folder)?.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_named {
            // Whatever made this necessary is told already, and a sweep finds what is left.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Whether a file in the folder of a task is one that was never whole.
pub(super) fn is_staged(file: &str) -> bool {
    let inner = file.strip_prefix('.').and_then(|f| f.strip_suffix(".part"));
    inner.is_some_and(|inner| {
        let (part, random) = inner.rsplit_once('.').unwrap_or_default();
        part.parse::<Part>().is_ok() && hex(random).is_some()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let mut staged = Staged::new(folder.path(), "stdout-1").unwrap();
        staged.write(b"first").unwrap();
        let staged_name = staged
            .path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert!(is_staged(&staged_name), "{staged_name}");
        drop(staged);
        assert_eq!(files(), 0);

        let target = folder.path().join("stdout-1");
        for text in ["second", "third"] {
            let mut staged = Staged::new(folder.path(), "stdout-1").unwrap();
            staged.write(text.as_bytes()).unwrap();
            staged.name().unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
        }
        let mut staged = Staged::new(folder.path(), "stdout-1").unwrap();
        staged.write(b"fourth").unwrap();
        assert!(!staged.name_anew().unwrap());
        assert_eq!(fs::read_to_string(&target).unwrap(), "third");
        let staged = Staged::new(folder.path(), "stdout-2").unwrap();
        assert!(staged.name_anew().unwrap());
        assert_eq!(files(), 2);
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_disk_is_waited_for_all_along_and_not_only_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = Staged::new(folder.path(), "stdout-1").unwrap();
        let piece = vec![7; 1024 * 1024];
        let mut most = 0;
        for _ in 0..65 {
            staged.write(&piece).unwrap();
            most = most.max(staged.unsynced);
        }
        assert!(most < FILE_SYNC_LEN, "{most}");
        assert_eq!(staged.unsynced, piece.len() as u64);
    }

    #[test]
    fn other_files_are_not_taken_for_ones_that_were_never_whole() {
        for file in [
            "stdout-1",
            ".part",
            ".stdout-1.part",
            ".stdout-1.0.part",
            ".stdout-01.0123456789abcdef.part",
            ".stdout-1.0123456789ABCDEF.part",
            "stdout-1.0123456789abcdef.part",
            ".notes.0123456789abcdef.part",
        ] {
            assert!(!is_staged(file), "{file}");
        }
        assert!(is_staged(".stdin-0123456789abcdef.0123456789abcdef.part"));
    }
}
