//! Files in folders that others may write to as well.
//!
//! Whoever can write to a folder can put a pipe, a link or another file under any name in it, at
//! any time. So nothing is judged by its name and opened afterwards: it is opened, and judged then.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Opens a shard, which may be what a link leads to. A pipe is an error, and is not waited for.
pub(crate) fn open_shard(path: &Path, is_written: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(is_written);
    regular(options.custom_flags(flags(OFlags::NONBLOCK)).open(path)?)
}

/// Opens a file that an earlier run has begun to write. A link is an error, like a pipe.
pub(crate) fn open_begun(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true);
    let opened = options.custom_flags(flags(OFlags::NONBLOCK | OFlags::NOFOLLOW));
    match opened.open(path) {
        Ok(file) => regular(file),
        Err(error) => Err(match fs::symlink_metadata(path) {
            Ok(meta) if !meta.is_file() => not_regular(),
            _ => error,
        }),
    }
}

/// A new file that this process holds. `is_private` keeps what it will have for its owner alone.
pub(crate) fn create(path: &Path, is_private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if is_private {
        options.mode(0o600);
    }
    let file = options.open(path)?;
    hold(&file, path)?;
    Ok(file)
}

/// Holds a file that is to be written, so that no other run writes it, or takes it away.
///
/// Where files cannot be locked, two runs at once are not told apart from one after another.
pub(crate) fn hold(file: &File, path: &Path) -> io::Result<()> {
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(busy());
    }
    // Between opening and locking, another run may have taken it away, and written its own.
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(busy()),
        Err(error) => return Err(error),
    };
    let ours = file.metadata()?;
    match (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
        true => Ok(()),
        false => Err(busy()),
    }
}

/// Removes what an interrupted run left, if nobody is writing it.
pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
    let old = match open_begun(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    hold(&old, path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Gives a file its name, unless something is called so.
pub(crate) fn name_anew(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot do that; a second name is never one that is taken, either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            // What is left of the first name is removed by the next run.
            fs::remove_file(from).ok();
            Ok(())
        }
        named => Ok(named?),
    }
}

/// Makes sure that a file's name survives a power failure as well.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    File::open(folder)?.sync_all()
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another command is writing it")
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_name_that_is_taken_stays_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "one").unwrap();
        fs::write(&other, "other").unwrap();
        let kind = name_anew(&one, &other).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&other).unwrap(), b"other");
        fs::remove_file(&other).unwrap();
        name_anew(&one, &other).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"one");
        assert!(!one.exists());
    }

    #[test]
    fn a_file_that_was_taken_away_or_replaced_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let file = create(&path, true).unwrap();
        assert!(remove_stale(&path).is_err(), "it is held");
        drop(file);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        fs::remove_file(&path).unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(hold(&file, &path)), io::ErrorKind::ResourceBusy);
        fs::write(&path, "another").unwrap();
        assert_eq!(kind(hold(&file, &path)), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn links_and_folders_under_the_name_of_a_part_are_not_followed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, led) = (folder.path().join("link"), folder.path().join("led"));
        fs::write(&led, "precious").unwrap();
        symlink(&led, &link).unwrap();
        let error = remove_stale(&link).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(link.is_symlink() && led.exists());
        assert!(open_shard(&link, false).is_ok());
        assert!(open_shard(folder.path(), false).is_err());
    }
}
