//! One job in one child: sends it, reads what comes back, and judges the end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_model::{Profile, Stream};
use tokio::task::spawn_blocking;
use tracing::error;

use super::keeper::{Child, Keeper};
use super::socket::{receive_when_there, send_when_possible};
use super::wire::{
    Done, End, Ended, FromChild, MESSAGE_BYTES_MAX, ToChild, Verdict, Work, encode, frame,
};
use super::{lock, memfd};
use crate::engine::split::{Kind, Prepared, Seed, seed, trap_message};
use crate::exit::{Exit, Inconclusive, Limit, LimitHit, Status, Usage};
use crate::job::Job;
use crate::runtime::RunError;

/// What goes with the code in one message, less what surrounds it.
const INLINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64;

/// How much longer than its guest the proplet waits. A guest whose time is over ends itself within
/// a few milliseconds and says what it used. One in the middle of a long host call or of a bulk
/// instruction is killed, which loses that.
const GRACE: Duration = Duration::from_millis(50);

/// How long the zygote may take to say how a child ended.
const ENDED_MAX: Duration = Duration::from_secs(5);

/// Runs `job`, whose code is `code`, in a child. Dropping the future kills the child.
pub(super) async fn attend(keeper: &Keeper, code: &Prepared, job: &Job) -> Result<Exit, RunError> {
    let host = |error: io::Error| RunError::Runtime(Arc::new(error));
    let parcel = Parcel::pack(job, code.kind(), seed(job)?)
        .await
        .map_err(host)?;
    let pipe = job.stdin.for_blocking().map_err(host)?;
    let with: Vec<BorrowedFd<'_>> = [Some(code.image().as_fd())]
        .into_iter()
        .chain([
            parcel.input.as_ref().map(AsFd::as_fd),
            pipe.map(AsFd::as_fd),
        ])
        .flatten()
        .collect();
    let mut child = deliver(keeper, &parcel.message, &with).await?;
    let began = Instant::now();
    let mut told = Told::new(job);
    let patience = Duration::from_millis(job.limits.wall_ms.value).saturating_add(GRACE);
    let heard = tokio::time::timeout(patience, listen(&child, &mut told)).await;
    let late = heard.is_err();
    let heard = match heard {
        Ok(heard) => heard,
        Err(_) => {
            child.kill();
            // What it had said before that is still to be read.
            listen(&child, &mut told).await
        }
    };
    match heard {
        Heard::Done(done) => told.exit(done),
        Heard::Failed(reason) => Err(RunError::Runtime(Arc::new(ChildFailed(reason)))),
        Heard::Nonsense => {
            error!("a guest's process said what no guest's process says");
            Err(RunError::Forged)
        }
        Heard::End => {
            let ended = tokio::time::timeout(ENDED_MAX, &mut child.ended).await;
            let Ok(Ok(ended)) = ended else {
                return Err(RunError::Lost);
            };
            told.killed(ended, late, began.elapsed())
        }
    }
}

/// A job as bytes, in the message itself or beside it.
struct Parcel {
    message: Vec<u8>,
    input: Option<OwnedFd>,
}

impl Parcel {
    async fn pack(job: &Job, kind: Kind, seed: Seed) -> io::Result<Self> {
        let work = encode(&Work::of(job, kind, seed));
        let stdin = job.stdin.whole().cloned().unwrap_or_default();
        if work.len() + stdin.len() <= INLINE_BYTES_MAX {
            let (work, stdin) = (&work[..], &stdin[..]);
            return Ok(Self {
                message: encode(&ToChild::Inline { work, stdin }),
                input: None,
            });
        }
        let message = encode(&ToChild::Attached {
            work: work.len() as u64,
            stdin: stdin.len() as u64,
        });
        // Not here: whoever waits for other guests looks at their time on this thread.
        let copied = spawn_blocking(move || memfd::sealed("input", &[&work, &stdin]));
        Ok(Self {
            message,
            input: Some(copied.await??),
        })
    }
}

/// Gives the job to a child that takes it.
async fn deliver(
    keeper: &Keeper,
    message: &[u8],
    with: &[BorrowedFd<'_>],
) -> Result<Child, RunError> {
    loop {
        let child = keeper.take().await?;
        // One that died while it waited has not seen the job, so another one gets it.
        if send_when_possible(&child.socket, message, with)
            .await
            .is_ok()
        {
            return Ok(child);
        }
    }
}

/// How the talk with a child ended.
enum Heard {
    Done(Done),
    Failed(String),
    /// It said what a child that is ours does not say.
    Nonsense,
    /// It said nothing more.
    End,
}

/// Reads frames until the last one.
async fn listen(child: &Child, told: &mut Told<'_>) -> Heard {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let len = match receive_when_there(&child.socket, &mut buffer).await {
            Ok(0) => return Heard::End,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Heard::Nonsense,
            Err(_) => return Heard::End,
        };
        let took = match frame(&buffer[..len]) {
            Some(FromChild::Stdout(bytes)) => told.printed(Stream::Stdout, bytes),
            Some(FromChild::Stderr(bytes)) => told.printed(Stream::Stderr, bytes),
            Some(FromChild::Result(bytes)) => told.result.take(bytes),
            Some(FromChild::Done(done)) => return Heard::Done(done),
            Some(FromChild::Failed { reason }) => return Heard::Failed(trap_message(&reason)),
            Some(FromChild::Ready { .. }) | None => None,
        };
        if took.is_none() {
            return Heard::Nonsense;
        }
    }
}

/// What a child has told so far, within the limits of its job.
struct Told<'a> {
    job: &'a Job,
    /// Bytes of both streams, for the account.
    printed: u64,
    result: Bounded,
}

impl<'a> Told<'a> {
    fn new(job: &'a Job) -> Self {
        Self {
            job,
            printed: 0,
            result: Bounded::new(job.limits.result_bytes.value),
        }
    }

    /// Takes output into the job's transcript, if there may be more of it. A piece is not empty, so
    /// that a whole transcript bounds the number of pieces too.
    fn printed(&mut self, stream: Stream, piece: &[u8]) -> Option<()> {
        let limits = &self.job.limits;
        let bytes_max = match stream {
            Stream::Stdout => limits.stdout_bytes.value,
            Stream::Stderr => limits.stderr_bytes.value,
        };
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        self.printed = self.printed.saturating_add(piece.len() as u64);
        let transcript = &self.job.transcript;
        let fits = transcript.append(stream, piece, bytes_max) == piece.len();
        (fits && !piece.is_empty()).then_some(())
    }

    /// The end that the child tells of.
    fn exit(self, done: Done) -> Result<Exit, RunError> {
        let Done {
            verdict,
            results,
            fuel,
            memory_peak_bytes,
            wall_us,
            cpu_us,
        } = done;
        let usage = Usage {
            fuel: fuel.min(self.job.limits.fuel.value),
            memory_peak_bytes: memory_peak_bytes.min(self.job.limits.memory_bytes.value),
            wall_us,
            cpu_us,
            input_bytes: self.job.input_bytes(),
            output_bytes: self.output_bytes(),
            ..Usage::default()
        };
        let status = match verdict {
            Verdict::Returned => Status::Returned,
            Verdict::Exited(code) => Status::Exited(code),
            Verdict::Trapped(trap, message) => Status::Trapped {
                trap,
                message: trap_message(&message),
            },
            Verdict::LimitHit(limit) => self.hit(limit),
            Verdict::HostMemory => Status::Inconclusive(Inconclusive::HostMemory),
        };
        let result = match (results, String::from_utf8(self.result.bytes)) {
            (true, Ok(text)) => Some(text),
            (true, Err(_)) => return Err(RunError::Forged),
            (false, _) => None,
        };
        Ok(Exit {
            result,
            stdout: self.job.transcript.take(Stream::Stdout),
            stderr: self.job.transcript.take(Stream::Stderr),
            usage,
            ..Exit::from(status)
        })
    }

    /// The end of a child that told none.
    fn killed(self, ended: Ended, late: bool, wall: Duration) -> Result<Exit, RunError> {
        match ended.end {
            End::Killed(libc::SIGSYS) => {
                error!(
                    cpu_us = ended.cpu_us,
                    "a guest broke out of its sandbox and was stopped by seccomp (SIGSYS)"
                );
                Err(RunError::Escaped)
            }
            End::Killed(libc::SIGKILL | libc::SIGXCPU) if late => {
                let status = self.hit(Limit::WallClock);
                Ok(self.cut_off(status, ended, wall))
            }
            // How Rust ends a process that has no memory left. A guest that broke out may end
            // itself so too, and has gained nothing.
            End::Killed(libc::SIGABRT) if self.job.profile == Profile::Deterministic => {
                let status = Status::Inconclusive(Inconclusive::HostMemory);
                Ok(self.cut_off(status, ended, wall))
            }
            End::Killed(libc::SIGABRT) => Err(RunError::Runtime(Arc::new(NoMemory))),
            End::Killed(signal @ (libc::SIGKILL | libc::SIGXCPU)) => Err(RunError::Killed {
                signal: match signal {
                    libc::SIGXCPU => "SIGXCPU",
                    _ => "SIGKILL",
                },
                cpu_ms: ended.cpu_us / 1000,
                cpu_seconds_max: lock::guests_cpu_seconds(&self.job.limits),
            }),
            end => Err(RunError::Runtime(Arc::new(Unexpected(end)))),
        }
    }

    /// The end of a guest that said nothing of what it used.
    fn cut_off(self, status: Status, ended: Ended, wall: Duration) -> Exit {
        Exit {
            usage: Usage {
                wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
                cpu_us: ended.cpu_us,
                input_bytes: self.job.input_bytes(),
                output_bytes: self.output_bytes(),
                ..Usage::default()
            },
            stdout: self.job.transcript.take(Stream::Stdout),
            stderr: self.job.transcript.take(Stream::Stderr),
            ..Exit::from(status)
        }
    }

    fn output_bytes(&self) -> u64 {
        self.printed.saturating_add(self.result.bytes.len() as u64)
    }

    fn hit(&self, limit: Limit) -> Status {
        Status::LimitHit(LimitHit::new(limit, &self.job.limits)).told_in(self.job.profile)
    }
}

/// Bytes up to a limit, in pieces that are not empty: so the number of pieces is bounded too.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Bounded {
    fn new(bytes_max: u64) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        }
    }

    /// Takes a piece, if there may be one.
    fn take(&mut self, piece: &[u8]) -> Option<()> {
        if piece.is_empty() || piece.len() > self.bytes_max - self.bytes.len() {
            return None;
        }
        self.bytes.extend_from_slice(piece);
        Some(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the guest's process gave up: {0}")]
struct ChildFailed(String);

#[derive(Debug, thiserror::Error)]
#[error("the guest's process has no memory left beside the guest's own, and gave up (SIGABRT)")]
struct NoMemory;

#[derive(Debug, thiserror::Error)]
#[error("the guest's process ended with {0:?}")]
struct Unexpected(End);
