//! What a guest reads from its standard input: bytes that are there, or a pipe that somebody feeds.
//!
//! ```text
//!  whoever has the input ──writes──► pipe ──► blocks ──► guest
//!                                     (64 KiB)  (64 KiB)
//! ```
//!
//! Nothing is read before the guest asks for it, so that a stream of any length takes two blocks of
//! memory. In this process a pipe is read on the runtime's threads, without ever blocking one:
//! a guest that waits for its input can be stopped like any other, and leaves nothing behind. What is
//! a guest's alone may block: its process, and the program of an external runtime.

pub(crate) mod blocks;

use std::fmt;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Limits, Profile};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::exit::{Limit, LimitHit};
use crate::job::Job;
use crate::runtime::RunError;

/// How many bytes of a pipe a guest may have that gets its input as a whole. What it does with
/// them takes more: a job in chunks has them once again in its own memory.
pub const STDIN_IN_MEMORY_MAX: usize = 64 * 1024 * 1024;

/// All that a guest can read from its standard input.
///
/// A pipe comes to the guest in blocks of 64 KiB, and in a shorter one only at its end: what a guest
/// sees does not depend on how it was written. Programs of external runtimes have the pipe itself.
///
/// Whoever has the other end of a pipe writes into it while the job runs, and closes it where the
/// input ends. The guest cannot tell the end of its input from an end by a failure: whoever writes
/// knows, and has to give up what came of a job whose input was cut off. To write fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) once the job and all its clones are gone, for guests
/// need not read.
///
/// A guest that waits for its input ends when its time is over or its job is stopped, whatever
/// becomes of the other end: no thread of this process waits in a read.
///
/// Guests of [`Profile::Deterministic`] and jobs in chunks begin when all of their input is there:
/// at most [`STDIN_IN_MEMORY_MAX`], and in the time that the guest may take. A daemon cannot have a
/// pipe.
///
/// ```
/// use std::io::Write;
/// use propeller_sandbox::Stdin;
///
/// let (read, mut write) = std::io::pipe()?;
/// let stdin = Stdin::from(read);
/// assert!(stdin.is_pipe());
/// write.write_all(b"of any length")?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Stdin(Kind);

#[derive(Clone)]
enum Kind {
    Bytes(Bytes),
    /// What came by a pipe.
    Gathered(Bytes),
    Pipe(Arc<PipeReader>),
    /// The pipe that a guest's process has found among its descriptors.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    Own,
}

/// Where to read from.
pub(crate) enum Source<'a> {
    Bytes(&'a Bytes),
    Pipe(&'a PipeReader),
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    Own,
}

impl Stdin {
    /// Whether it is a pipe, of which each byte can be read once. Clones have the same pipe.
    #[must_use]
    pub const fn is_pipe(&self) -> bool {
        !matches!(self.0, Kind::Bytes(_) | Kind::Gathered(_))
    }

    pub(crate) fn source(&self) -> Source<'_> {
        match &self.0 {
            Kind::Bytes(bytes) | Kind::Gathered(bytes) => Source::Bytes(bytes),
            Kind::Pipe(pipe) => Source::Pipe(pipe),
            #[cfg(all(target_os = "linux", feature = "wasmtime"))]
            Kind::Own => Source::Own,
        }
    }

    /// All of it, unless it is a pipe.
    pub(crate) const fn whole(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Bytes(bytes) | Kind::Gathered(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// How many bytes the job came with.
    pub(crate) const fn len_given(&self) -> usize {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// The pipe of this process's guest.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    pub(crate) const fn own() -> Self {
        Self(Kind::Own)
    }

    /// The end of a pipe for whoever reads it with calls that block.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    pub(crate) fn for_blocking(&self) -> io::Result<Option<&PipeReader>> {
        let Kind::Pipe(pipe) = &self.0 else {
            return Ok(None);
        };
        // Whoever reads it may be a stranger: it gets no file, even if somebody has made one look
        // like the end of a pipe.
        let mode = rustix::fs::fstat(pipe)?.st_mode;
        if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::Fifo {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a pipe"));
        }
        rustix::io::ioctl_fionbio(pipe, false)?;
        Ok(Some(pipe))
    }

    /// Reads a pipe to its end, for a guest that begins when all of its input is there.
    ///
    /// Errors are those of the job: it is longer than [`STDIN_IN_MEMORY_MAX`], or has not ended
    /// when the guest's time would be over.
    pub(crate) async fn gather(&mut self, limits: &Limits) -> Result<(), RunError> {
        let Kind::Pipe(pipe) = &self.0 else {
            return Ok(());
        };
        let host = |error: io::Error| RunError::Runtime(Arc::new(error));
        let pipe = watched(pipe).map_err(host)?;
        let mut bytes = Vec::new();
        // One more, to see that there is one.
        let mut read = pipe.take(STDIN_IN_MEMORY_MAX as u64 + 1);
        let patience = Duration::from_millis(limits.wall_ms.value);
        let read = tokio::time::timeout(patience, read.read_to_end(&mut bytes)).await;
        let late = |_| RunError::StdinTime(LimitHit::new(Limit::WallClock, limits));
        read.map_err(late)?.map_err(host)?;
        if bytes.len() > STDIN_IN_MEMORY_MAX {
            return Err(RunError::StdinTooLong {
                len_max: STDIN_IN_MEMORY_MAX,
            });
        }
        self.0 = Kind::Gathered(Bytes::from(bytes));
        Ok(())
    }
}

impl Job {
    /// Refuses what a pipe cannot be: the input of a guest that begins again.
    pub(crate) fn has_fitting_stdin(&self) -> Result<(), RunError> {
        match self.daemon.is_some() && self.stdin.is_pipe() {
            true => Err(RunError::StdinOfDaemon),
            false => Ok(()),
        }
    }

    /// Reads a pipe to its end if the guest has to have all of it: because its code takes it as a
    /// whole, or because it is to see the same on every machine.
    pub(crate) async fn gather_stdin(&mut self, as_a_whole: bool) -> Result<(), RunError> {
        let wanted = as_a_whole || self.profile == Profile::Deterministic;
        if wanted && self.stdin.is_pipe() {
            Box::pin(self.stdin.gather(&self.limits)).await?;
        }
        Ok(())
    }
}

/// A pipe that the threads of this runtime wait for.
fn watched(pipe: &PipeReader) -> io::Result<Receiver> {
    Receiver::from_owned_fd(OwnedFd::from(pipe.try_clone()?))
}

impl Default for Stdin {
    /// Nothing.
    fn default() -> Self {
        Self(Kind::Bytes(Bytes::new()))
    }
}

impl From<Bytes> for Stdin {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<PipeReader> for Stdin {
    /// The end of a pipe that nobody else reads.
    fn from(pipe: PipeReader) -> Self {
        Self(Kind::Pipe(Arc::new(pipe)))
    }
}

impl fmt::Debug for Stdin {
    /// Without the bytes, which are the tenant's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) | Kind::Gathered(bytes) => {
                write!(f, "Stdin({} bytes)", bytes.len())
            }
            _ => f.write_str("Stdin(pipe)"),
        }
    }
}
