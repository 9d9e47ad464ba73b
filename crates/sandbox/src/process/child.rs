//! The life of a child: warm up, lock, wait, load, lock again, run one guest, end.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, getpid};
use tokio::runtime::{Builder, Runtime};

use super::filter::Filters;
use super::lock::{self, Locks};
use super::wire::{
    CHUNK_BYTES_MAX, Done, FromChild, MESSAGE_BYTES_MAX, ToChild, Verdict, Work, encode,
};
use super::{memfd, socket, sys, warm};
use crate::engine::split::{Kind, Loaded, Runner, Seed, Sink};
use crate::exit::{Exit, Inconclusive, Status};
use crate::job::Job;
use crate::runtime::RunError;

/// The number of the pipe that a guest reads, in a child whose job has one. A child has no use for a
/// standard output: until then it is nothing.
pub(super) const PIPE: RawFd = 1;

/// What has that number.
pub(crate) fn guests_pipe() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

/// What every child finds ready when it is forked.
pub(super) struct Inheritance {
    pub(super) runner: Runner,
    /// The module and the component that warm up; see [`Inheritance::warm_up`].
    pub(super) warm: [Loaded; 2],
    pub(super) zygote: Pid,
    pub(super) plan: Plan,
}

/// What a child does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) locks: Locks,
    /// What runs in place of the guest: only in a build that tests the locks.
    pub(super) escaped: Option<fn(&Job) -> String>,
}

impl Inheritance {
    /// Runs a module and a component of ours. After a fork the first touch of every page is a fault, and much is
    /// made when it is first used: that happens here, before there is a job that waits.
    pub(super) fn warm_up(&self) -> Result<(), String> {
        let nowhere = || -> Sink { Box::new(|_| {}) };
        let job = warm::job();
        let (seed, clock) = (Seed::default(), clock()?);
        for warm in &self.warm {
            let run = self.runner.run(warm, &job, &seed, nowhere(), nowhere());
            clock.block_on(run).map_err(|error| chain(&error))?;
        }
        Ok(())
    }
}

/// The rest of this process, after the fork. `socket` becomes descriptor 0, which both filters
/// name.
pub(super) fn live(socket: OwnedFd, inheritance: &Inheritance) -> ! {
    if rustix::stdio::dup2_stdin(&socket).is_err() {
        sys::exit(1);
    }
    drop(socket);
    // The default hook writes to standard error, which the filters forbid.
    std::panic::set_hook(Box::new(|panic| {
        let reason = format!("the host's own code panicked: {panic}");
        say(&FromChild::Failed { reason });
        sys::exit(1)
    }));
    match work(inheritance) {
        Ok(None) => sys::exit(0),
        Ok(Some(mut guest)) => {
            guest.run(inheritance);
            // Without dropping anything: to close the code's file is no longer allowed.
            sys::exit(0)
        }
        Err(reason) => {
            say(&FromChild::Failed { reason });
            sys::exit(1)
        }
    }
}

/// A guest in a process that has closed its last lock.
struct Guest {
    job: Job,
    seed: Seed,
    loaded: Loaded,
    clock: Runtime,
}

impl Guest {
    /// From here on this process may be anybody's.
    fn run(&mut self, inheritance: &Inheritance) {
        let Self {
            job,
            seed,
            loaded,
            clock,
        } = self;
        if let Some(escaped) = inheritance.plan.escaped {
            return report(Exit {
                result: Some(escaped(job)),
                ..Exit::from(Status::Returned)
            });
        }
        let stdout: Sink = Box::new(|bytes| chunks(bytes, FromChild::Stdout));
        let stderr: Sink = Box::new(|bytes| chunks(bytes, FromChild::Stderr));
        let run = inheritance.runner.run(loaded, job, seed, stdout, stderr);
        match clock.block_on(run) {
            Ok(exit) => report(exit),
            Err(error) => say(&FromChild::Failed {
                reason: chain(&error),
            }),
        }
    }
}

/// Everything up to the guest; nothing if there is no job after all.
fn work(inheritance: &Inheritance) -> Result<Option<Guest>, String> {
    let Inheritance { runner, plan, .. } = inheritance;
    inheritance.warm_up()?;
    let clock = clock()?;
    sys::hear_alarms().map_err(text)?;
    // Before there is a job that waits: they name this process, so that no zygote has them ready.
    let filters = Filters::build(getpid(), rustix::stdio::stdin().as_raw_fd(), PIPE)
        .map_err(|error| format!("seccomp filter: {error}"))?;
    let mechanisms = lock::child(plan.locks, inheritance.zygote, &filters);
    say(&FromChild::Ready { mechanisms });

    let Some(Assignment {
        job,
        seed,
        code,
        kind,
        input,
    }) = assignment()?
    else {
        return Ok(None);
    };
    let code = sys::load(runner.engine(&job), code, kind).map_err(text)?;
    let loaded = runner.link(&code, &job).map_err(text)?;
    // There is no thread that makes a guest yield. One whose time is over has to, once, so that it
    // can say what it used.
    let wall = Duration::from_millis(job.limits.wall_ms.value);
    sys::set_alarm(runner.engine(&job), wall).map_err(text)?;
    lock::guest(plan.locks, &filters, &job, input)?;
    Ok(Some(Guest {
        job,
        seed,
        loaded,
        clock,
    }))
}

/// What the proplet sends: one job and its code.
struct Assignment {
    job: Job,
    seed: Seed,
    code: File,
    kind: Kind,
    /// How many bytes the job had on the wire.
    input: u64,
}

/// Waits for the job; `None` if there will be none.
fn assignment() -> Result<Option<Assignment>, String> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut with = Vec::new();
    let len = socket::receive(rustix::stdio::stdin(), &mut buffer, &mut with).map_err(text)?;
    if len == 0 {
        return Ok(None);
    }
    let mut with = with.into_iter();
    let code = with.next().ok_or("a job came without code")?;
    let message: ToChild<'_> = postcard::from_bytes(&buffer[..len]).map_err(text)?;
    let (work, stdin) = match message {
        ToChild::Inline { work, stdin } => (Cow::Borrowed(work), Bytes::copy_from_slice(stdin)),
        ToChild::Attached { work, stdin } => {
            let input = with.next().ok_or("a job came without its input")?;
            let stdin_at = usize::try_from(work).map_err(text)?;
            let len = usize::try_from(work.saturating_add(stdin)).map_err(text)?;
            let mut read = Bytes::from(memfd::contents(&input, len).map_err(text)?);
            // A debug build looks at a descriptor before it closes it, which no filter allows.
            std::mem::forget(input);
            let stdin = read.split_off(stdin_at);
            (Cow::Owned(read.to_vec()), stdin)
        }
    };
    let input = work.len() + stdin.len();
    let job: Work<'_> = postcard::from_bytes(&work).map_err(text)?;
    if job.piped {
        let pipe = with.next().ok_or("a job came without its pipe")?;
        rustix::stdio::dup2_stdout(&pipe).map_err(text)?;
        // As above.
        std::mem::forget(pipe);
    }
    Ok(Some(Assignment {
        seed: job.seed,
        kind: job.kind,
        job: job.into_job(stdin),
        code: File::from(code),
        input: input as u64,
    }))
}

fn report(exit: Exit) {
    let Exit {
        status,
        result,
        stdout: _,
        stderr: _,
        usage,
        engine: _,
    } = exit;
    if let Some(result) = &result {
        chunks(result.as_bytes(), FromChild::Result);
    }
    let verdict = match status {
        Status::Returned => Verdict::Returned,
        Status::Exited(code) => Verdict::Exited(code),
        Status::Trapped { trap, message } => Verdict::Trapped(trap, message),
        Status::LimitHit(hit) | Status::Inconclusive(Inconclusive::LimitHit(hit)) => {
            Verdict::LimitHit(hit.limit)
        }
        Status::Inconclusive(Inconclusive::HostMemory) => Verdict::HostMemory,
    };
    say(&FromChild::Done(Done {
        verdict,
        results: result.is_some(),
        fuel: usage.fuel,
        memory_peak_bytes: usage.memory_peak_bytes,
        wall_us: usage.wall_us,
        cpu_us: usage.cpu_us,
    }));
}

fn chunks<'a>(bytes: &'a [u8], frame: impl Fn(&'a [u8]) -> FromChild<'a>) {
    for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
        say(&frame(chunk));
    }
}

/// Sends one frame, with the one call that the filters leave for it.
fn say(frame: &FromChild<'_>) {
    let message = encode(frame);
    let socket = rustix::stdio::stdin();
    // The alarm may ring while the proplet has not read what is before.
    if rustix::io::retry_on_intr(|| rustix::io::write(socket, &message)).is_err() {
        // Nobody listens any more.
        sys::exit(1);
    }
}

/// Time alone: without input and output there is nothing that the filters would have to allow.
fn clock() -> Result<Runtime, String> {
    let clock = Builder::new_current_thread().enable_time().build();
    clock.map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// An error and its causes in one line.
fn chain(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
