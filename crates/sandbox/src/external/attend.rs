//! One run of a runtime: starts it, feeds it, tells what it prints up to a limit, and ends it.
//!
//! Everything is read while everything is written, so that no two pipes can wait for each other.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe::Sender;

use super::launcher;
use super::order::{MESSAGE_BYTES_MAX, Order, Said};
use super::printed::Printed;
use crate::process::memfd::sealed;
use crate::process::socket::receive_when_there;
use crate::process::wire::{Ended, decode, encode};
use crate::process::{socket, sys};
use crate::stdin::Stdin;

/// How long a runtime that was told to end, or has ended, may take until nothing of it is left.
const END_MAX: Duration = Duration::from_secs(5);

/// How long a runtime's pipes may stay open after it, because something that it started has them.
const DRAIN_MAX: Duration = Duration::from_millis(200);

/// The most that our script answers: the bits of a thousand results.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// What goes in.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) order: Order,
    pub(super) module: File,
    pub(super) request: File,
    pub(super) stdin: &'a Stdin,
    pub(super) wall: Duration,
}

/// What comes out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) stdout: Printed,
    pub(super) stderr: Printed,
    /// What our script answers.
    pub(super) reply: Vec<u8>,
    /// How it ended; nothing if nobody could tell.
    pub(super) ended: Option<Ended>,
    /// Whether it was ended because its time was over.
    pub(super) late: bool,
    /// Why it was not started.
    pub(super) failed: Option<String>,
    /// What holds it.
    pub(super) held: String,
    pub(super) wall: Duration,
}

/// Runs a runtime to its end; `None` if `cancelled` ended before it. Dropping the future ends the
/// runtime too.
pub(super) async fn attend(
    program: &Path,
    input: Input<'_>,
    [stdout, stderr]: [Printed; 2],
    cancelled: impl Future<Output = ()>,
) -> io::Result<Option<Outcome>> {
    let began = Instant::now();
    let mut outcome = Outcome {
        stdout,
        stderr,
        reply: Vec::new(),
        ended: None,
        late: false,
        failed: None,
        held: String::new(),
        wall: Duration::ZERO,
    };
    let (mut launcher, pipes) = start(program, &input)?;
    let watched = watch(&launcher, pipes, &input, &mut outcome, cancelled).await;
    launcher.gone().await;
    outcome.wall = began.elapsed();
    Ok((watched == Why::Ended).then_some(outcome))
}

/// Why a runtime is no longer watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Ended,
    Cancelled,
}

async fn watch(
    launcher: &Launcher,
    pipes: Pipes,
    input: &Input<'_>,
    outcome: &mut Outcome,
    cancelled: impl Future<Output = ()>,
) -> Why {
    let Outcome {
        stdout,
        stderr,
        reply,
        late,
        ..
    } = outcome;
    if pipes.apart {
        stdout.tell_writes_apart();
    }
    let (ended, failed, held) = (&mut outcome.ended, &mut outcome.failed, &mut outcome.held);
    let mut talk = pin!(async {
        tokio::join!(
            feed(pipes.stdin, input.stdin.whole()),
            read(pipes.stdout, launcher, |piece| stdout.take(piece)),
            read(pipes.stderr, launcher, |piece| stderr.take(piece)),
            read(pipes.reply, launcher, |piece| {
                reply.extend_from_slice(piece);
                reply.len() <= REPLY_BYTES_MAX
            }),
        )
    });
    let mut listen = pin!(listen(launcher, ended, failed, held));
    let mut cancelled = pin!(cancelled);
    let mut deadline = pin!(tokio::time::sleep(input.wall));
    let (mut why, mut ending, mut drained) = (Why::Ended, false, false);
    loop {
        tokio::select! {
            biased;
            () = &mut cancelled, if why == Why::Ended => why = Why::Cancelled,
            () = &mut listen => break,
            () = &mut deadline => {
                if ending {
                    // It was told to end, and did not.
                    break;
                }
                *late = why == Why::Ended;
            }
            _ = &mut talk, if !drained => {
                drained = true;
                continue;
            }
        }
        ending = true;
        launcher.end();
        let patience = tokio::time::Instant::now() + END_MAX;
        deadline.as_mut().reset(patience);
    }
    launcher.kill();
    if !drained {
        tokio::time::timeout(DRAIN_MAX, talk).await.ok();
    }
    why
}

/// Our ends of the pipes.
struct Pipes {
    /// Nothing if the guest has a pipe of its own.
    stdin: Option<Sender>,
    stdout: AsyncFd<OwnedFd>,
    /// Whether every write to standard output is read on its own.
    apart: bool,
    stderr: AsyncFd<OwnedFd>,
    reply: AsyncFd<OwnedFd>,
}

/// A launcher and whatever it started. Dropping it ends all of them.
struct Launcher {
    pid: Pid,
    process: AsyncFd<OwnedFd>,
    socket: AsyncFd<OwnedFd>,
    /// Whether it is out of the list of processes, so that its number may be somebody else's.
    gone: bool,
}

impl Launcher {
    /// Ends everything at once.
    fn kill(&self) {
        // Its group is there when the launcher has made it; before, there is nobody else.
        kill_process_group(self.pid, Signal::KILL).ok();
        pidfd_send_signal(&self.process, Signal::KILL).ok();
    }

    /// Tells the launcher to end the runtime and to say what it used.
    fn end(&self) {
        shutdown(&self.socket, Shutdown::Write).ok();
    }

    /// Waits until the launcher is gone, and takes it out of the list of processes.
    async fn gone(&mut self) {
        let end = tokio::time::timeout(END_MAX, self.process.readable()).await;
        if matches!(end, Ok(Ok(_))) {
            self.gone = sys::wait(self.pid).is_ok();
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if !self.gone {
            self.kill();
            // It has little memory and nothing open: the kernel needs no more than a moment.
            sys::wait(self.pid).ok();
        }
    }
}

fn start(program: &Path, input: &Input<'_>) -> io::Result<(Launcher, Pipes)> {
    let (ours, theirs) = socket::pair()?;
    let (stdin_read, stdin) = match input.stdin.for_blocking()? {
        Some(pipe) => (pipe.try_clone()?, None),
        None => {
            let (read, write) = io::pipe()?;
            (read, Some(writer(write)?))
        }
    };
    let (stdout, stdout_write) = io::pipe()?;
    // What a guest prints is then told from what its runtime prints behind it.
    let apart = rustix::fs::fcntl_setfl(&stdout_write, OFlags::DIRECT).is_ok();
    let (stderr, stderr_write) = io::pipe()?;
    let (reply, reply_write) = io::pipe()?;
    let order = sealed("order", &[&encode(&input.order)])?;
    let child = Command::new(program)
        .arg(launcher::ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(stdout_write))
        .stderr(Stdio::from(stderr_write))
        .spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let launcher = Launcher {
        pid,
        process: sys::watch(process)?,
        socket: sys::watch(ours)?,
        gone: false,
    };
    let with = [
        input.module.as_fd(),
        input.request.as_fd(),
        reply_write.as_fd(),
        stdin_read.as_fd(),
        order.as_fd(),
    ];
    socket::send(&launcher.socket, b"order", &with)?;
    Ok((
        launcher,
        Pipes {
            stdin,
            stdout: reader(stdout)?,
            apart,
            stderr: reader(stderr)?,
            reply: reader(reply)?,
        },
    ))
}

/// A sealed memory file, opened for reading alone.
pub(super) fn readable(name: &str, bytes: &[u8]) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    let file = sealed(name, &[bytes])?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn reader(pipe: PipeReader) -> io::Result<AsyncFd<OwnedFd>> {
    let pipe = OwnedFd::from(pipe);
    rustix::io::ioctl_fionbio(&pipe, true)?;
    sys::watch(pipe)
}

fn writer(pipe: PipeWriter) -> io::Result<Sender> {
    let pipe = OwnedFd::from(pipe);
    rustix::io::ioctl_fionbio(&pipe, true)?;
    Sender::from_owned_fd(pipe)
}

/// Writes what the guest may read. A guest need not read it.
async fn feed(to: Option<Sender>, bytes: Option<&Bytes>) {
    if let (Some(mut to), Some(bytes)) = (to, bytes) {
        to.write_all(bytes).await.ok();
    }
}

/// Reads to the end, or ends the runtime where `take` has enough.
async fn read(from: AsyncFd<OwnedFd>, launcher: &Launcher, mut take: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len) = read_when_there(&from, &mut buffer).await {
        if len == 0 {
            return;
        }
        if !take(&buffer[..len]) {
            launcher.end();
            return;
        }
    }
}

/// Reads once there is something. Tokio's own readers wait for more when a read does not fill their
/// buffer; here each gives one write, however many there are.
async fn read_when_there(from: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    from.async_io(Interest::READABLE, |from| {
        Ok(rustix::io::read(from, &mut *buffer)?)
    })
    .await
}

/// Hears what the launcher says until it says nothing more.
async fn listen(
    launcher: &Launcher,
    ended: &mut Option<Ended>,
    failed: &mut Option<String>,
    held: &mut String,
) {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let len = match receive_when_there(&launcher.socket, &mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(len) => len,
        };
        match decode::<Said>(&buffer[..len]) {
            Some(Said::Held(what)) => *held = what,
            Some(Said::Failed(reason)) => *failed = Some(reason),
            Some(Said::Ended(how)) => *ended = Some(how),
            None => return,
        }
    }
}
