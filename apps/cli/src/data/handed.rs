//! Descriptors that were handed to the program, by their numbers.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// How long a secret may take to come through a descriptor that does not wait by itself: somebody
/// may have to type it at the other end.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// What to do about a number that is no descriptor.
pub(crate) const NOT_HANDED: &str = "did you write 3<FILE, with the same number, for the shell to \
    open it?";

/// A descriptor that was handed over, to be read to its end, or for as long as anything comes.
#[derive(Debug)]
pub(crate) struct Handed {
    file: File,
    wait_max: Duration,
}

impl Read for Handed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match self.file.read(buf) {
                // Whoever handed it over has made it one that does not wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = self.wait_max.saturating_sub(begun.elapsed());
                    wait(&self.file, left)?;
                }
                read => return read,
            }
        }
    }
}

/// Waits until there is something to read, or an end.
fn wait(file: &File, left: Duration) -> io::Result<()> {
    let mut polled = [PollFd::new(file, PollFlags::IN)];
    let left = left.try_into().map_err(io::Error::other)?;
    match poll(&mut polled, Some(&left)) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing comes")),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The descriptor itself, another one for the same: it needs nobody's leave to be read, whoever the
/// file belongs to and whatever it is, and is read from where it stands.
///
/// Where the kernel refuses that, what it leads to is opened anew, for which we need leave.
pub(crate) fn open(number: u32) -> io::Result<Handed> {
    let file = if number == 0 {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else if is_ours(number) {
        Err(Errno::BADF.into())
    } else {
        match duplicate(number) {
            Ok(file) => Ok(file),
            Err(error) if is_none(&error) => Err(error),
            Err(_) => reopen(number),
        }
    };
    Ok(Handed {
        file: file?,
        wait_max: WAIT_MAX,
    })
}

/// Whether there is no such descriptor, or none that was handed over.
pub(crate) fn is_none(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADF.raw_os_error())
}

/// Whether this program has opened it: whatever it opens is closed for those that it starts, and what
/// is closed so cannot have been handed to it. A runtime has such descriptors from the start, and no
/// key comes out of them.
fn is_ours(number: u32) -> bool {
    // Where nothing tells, it is read, as far as it can be.
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
    let flags = info.ok().and_then(|info| flags(&info));
    flags.is_some_and(|flags| flags.contains(OFlags::CLOEXEC))
}

/// What a descriptor was opened with, as the kernel tells it.
fn flags(info: &str) -> Option<OFlags> {
    let flags = u32::from_str_radix(told(info, "flags:")?, 8).ok()?;
    Some(OFlags::from_bits_retain(flags))
}

/// Takes it from ourselves, as from any other process: that alone asks for no proof that the number
/// is a descriptor's, because it fails if it is not.
#[cfg(target_os = "linux")]
fn duplicate(number: u32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
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
    told(info, "pos:")?.parse().ok()
}

fn told<'i>(info: &'i str, what: &str) -> Option<&'i str> {
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix(what))?;
    Some(line.trim())
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
    use std::io::Write as _;
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use rustix::io::{FdFlags, fcntl_setfd};

    use super::*;

    /// What a program that starts us leaves open.
    fn handed(file: impl Into<OwnedFd>) -> (OwnedFd, u32) {
        let file = file.into();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        let number = u32::try_from(file.as_raw_fd()).unwrap();
        (file, number)
    }

    #[test]
    fn a_descriptor_is_read_from_where_it_stands() {
        type Open = fn(u32) -> io::Result<Box<dyn Read>>;
        let taken: Open = |number| Ok(Box::new(open(number)?));
        let opened: Open = |number| Ok(Box::new(reopen(number)?));
        for open in [taken, opened] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"before behind").unwrap();
            file.seek(SeekFrom::Start(7)).unwrap();
            let mut text = String::new();
            let (_file, number) = handed(file);
            open(number).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "behind");
        }
    }

    #[test]
    fn what_is_no_descriptor_or_one_of_our_own_is_an_error() {
        let ours = tempfile::tempfile().unwrap();
        let ours = u32::try_from(ours.as_raw_fd()).unwrap();
        for number in [77_777, u32::MAX, ours] {
            let refused = open(number).unwrap_err();
            assert!(
                number == u32::MAX || is_none(&refused),
                "{number}: {refused}"
            );
        }
    }

    #[test]
    fn what_does_not_wait_is_waited_for_and_not_for_ever() {
        let (reader, mut writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
        let (_reader, number) = handed(reader);
        let mut from = open(number).unwrap();
        from.wait_max = Duration::from_millis(20);
        let refused = from.read(&mut [0]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        from.wait_max = WAIT_MAX;
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            writer.write_all(b"late").unwrap();
        });
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        late.join().unwrap();
        assert_eq!(text, "late");
    }

    #[test]
    fn the_kernel_tells_where_a_descriptor_stands_and_what_it_was_opened_with() {
        let info = "pos:\t17\nflags:\t02100000\n";
        assert_eq!(position(info), Some(17));
        assert!(flags(info).unwrap().contains(OFlags::CLOEXEC));
        let handed = flags("flags:\t0100000\n").unwrap();
        assert!(!handed.contains(OFlags::CLOEXEC));
        assert_eq!(position("flags:\t0100000\n"), None);
    }
}
