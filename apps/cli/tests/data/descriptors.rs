//! Keys that come through descriptors other than standard input.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{Desk, KEY};

/// The id of [`KEY`].
const ID: &str = "854e2f1e83aded11";

/// A descriptor as a shell's `3<FILE` leaves it for a program, whatever its number is.
fn number_of(handed: &OwnedFd) -> i32 {
    rustix::io::fcntl_setfd(handed, rustix::io::FdFlags::empty()).unwrap();
    handed.as_raw_fd()
}

#[test]
fn a_pipe_or_a_socket_is_read_at_any_number_and_when_the_key_comes_late() {
    let desk = Desk::new();
    let (socket, ours) = UnixStream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // As a program hands it over that does not wait for its own pipes.
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
    let ends: [(OwnedFd, OwnedFd); 2] =
        [(socket.into(), ours.into()), (reader.into(), writer.into())];
    for (theirs, ours) in ends {
        let number = number_of(&theirs);
        let mut command = desk.command(&format!("keys id --key-fd {number}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(theirs);
        thread::sleep(Duration::from_millis(200));
        fs::File::from(ours).write_all(KEY.as_bytes()).unwrap();
        let ran = desk.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.text(), format!("{ID}\n"), "{ran:?}");
    }
}

#[test]
fn a_descriptor_that_nobody_handed_over_is_told_as_one() {
    let desk = Desk::new();
    // The program's own are among them, once it runs.
    for number in 3..10 {
        let command = desk.command(&format!("keys id --key-fd {number}"));
        // Whatever this process leaves open by chance is closed.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {number}<&-")]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.env_remove("CES_ENCRYPTION_KEY").stdin(Stdio::null());
        let refused = desk.ran(shell.output().unwrap());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for words in ["Bad file descriptor", "did you write 3<FILE"] {
            assert!(refused.err.contains(words), "{}", refused.err);
        }
    }
}
