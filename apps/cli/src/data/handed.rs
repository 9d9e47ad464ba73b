//! Descriptors that were handed to the program, by their numbers.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The descriptor itself, another one for the same: it needs nobody's leave to be read, whoever the
/// file belongs to and whatever it is, and is read from where it stands.
///
/// Where the kernel refuses that, what it leads to is opened anew, for which we need leave.
pub(crate) fn open(number: u32) -> io::Result<File> {
    if number == 0 {
        return io::stdin().as_fd().try_clone_to_owned().map(File::from);
    }
    match duplicate(number) {
        Ok(file) => Ok(file),
        // There is no such descriptor.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            Err(error)
        }
        Err(_) => reopen(number),
    }
}

/// Takes it from ourselves, as from any other process: that alone asks for no proof that the number
/// is a descriptor's, because it fails if it is not.
#[cfg(target_os = "linux")]
fn duplicate(number: u32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    let number = i32::try_from(number).map_err(|_| rustix::io::Errno::BADF)?;
    let taken = pidfd_getfd(ourselves, number, PidfdGetfdFlags::empty())?;
    Ok(File::from(taken))
}

#[cfg(not(target_os = "linux"))]
fn duplicate(_: u32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn reopen(number: u32) -> io::Result<File> {
    let mut file = File::open(path(number))?;
    // What is opened anew stands at its beginning. A pipe stands nowhere.
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
    if let Some(position) = info.ok().and_then(|info| position(&info))
        && file.metadata()?.is_file()
    {
        file.seek(SeekFrom::Start(position))?;
    }
    Ok(file)
}

/// Where a descriptor stands, as the kernel tells it.
fn position(info: &str) -> Option<u64> {
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix("pos:"))?;
    line.trim().parse().ok()
}

/// The name of a descriptor among files.
pub(crate) fn path(number: u32) -> PathBuf {
    format!("/dev/fd/{number}").into()
}

/// What is the same for all names of one file or pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// Whether everybody who opens it reads all of it.
    pub(crate) is_regular: bool,
}

impl Identity {
    /// Nothing, if there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            is_regular: meta.is_file(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;

    use super::*;

    type Open = fn(u32) -> io::Result<File>;

    #[test]
    fn a_descriptor_is_read_from_where_it_stands() {
        for open in [open as Open, reopen] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"before behind").unwrap();
            file.seek(SeekFrom::Start(7)).unwrap();
            let mut text = String::new();
            let number = u32::try_from(file.as_raw_fd()).unwrap();
            open(number).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "behind");
        }
    }

    #[test]
    fn what_is_no_descriptor_is_an_error() {
        for number in [77_777, u32::MAX] {
            assert!(open(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_position_is_a_line_of_what_the_kernel_tells() {
        assert_eq!(position("pos:\t17\nflags:\t0100000\n"), Some(17));
        assert_eq!(position("flags:\t0100000\n"), None);
    }
}
