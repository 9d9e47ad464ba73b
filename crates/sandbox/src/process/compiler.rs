//! A process of its own for every compilation, which can be ended.
//!
//! ```text
//!  compile(wasm) ──exec──► compiler: lock, say what holds it, compile, seal
//!      │  waits, and ends it when its time is over,                  │
//!      │  or when something is missing that may not be               │
//!      ◄───────────────────────────── compiled code, in a memory file┘
//! ```
//!
//! A compiler works for as long as its input makes it, and takes as much memory. In a process, both
//! have a limit that holds; and what takes over the compiler finds no keys, no files and no network.

mod work;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::ioctl_fionbio;
use serde::{Deserialize, Serialize};
use tracing::warn;
use wasmtime::Engine;

use super::mechanism::{AllowMissing, Mechanism, Mechanisms, Missing};
use super::wire::{MESSAGE_BYTES_MAX, decode, encode};
use super::{StartError, memfd, socket, sys};
use crate::engine::split::{Kind, Target, Unlinked};
use crate::excerpt::excerpt;
use crate::runtime::RunError;

pub(super) use work::{TakenOver, enter};

/// The hidden first argument.
const ARGUMENT: &str = "--guest-compiler";

/// How Rust begins what it says of an allocation that fails, right before it ends the process.
const NO_MEMORY: &str = "memory allocation of";

/// How much is read of what a compiler says at its end.
const LAST_WORDS_BYTES_MAX: usize = 4 * 1024;

/// What a compiler is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    /// Nothing, if it is only to say what holds it.
    work: Option<Work>,
    /// How much memory it may have.
    memory_bytes_max: u64,
    /// How long it may be on processors, if nobody ends it.
    cpu_seconds_max: u64,
}

/// A compilation, with the module in a memory file.
#[derive(Debug, Serialize, Deserialize)]
struct Work {
    target: Target,
    wasm_len: u64,
}

/// What it has to say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is locked and has not looked at the module yet. Always the first one, but for `Failed`.
    Locked {
        mechanisms: Vec<Mechanism>,
    },
    /// With the code in a memory file.
    Compiled,
    /// The module is none.
    Invalid {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

/// Starts compilers.
#[derive(Debug)]
pub(crate) struct Compilers {
    /// What becomes one, because [`super::enter_if_child`] is the first thing in its `main`.
    program: PathBuf,
    /// How long each may take.
    patience: Duration,
    /// How much memory each may have.
    memory_bytes_max: u64,
    allow_missing: AllowMissing,
    /// The log has what is missing, once.
    told: Once,
}

/// Compiled code that nobody can change.
pub(crate) struct Image {
    pub(crate) file: OwnedFd,
    kind: Kind,
}

impl Compilers {
    pub(crate) fn new(
        program: PathBuf,
        allow_missing: AllowMissing,
        (patience, memory_bytes_max): (Duration, u64),
    ) -> Self {
        Self {
            program,
            patience,
            memory_bytes_max,
            allow_missing,
            told: Once::new(),
        }
    }

    /// Starts one only to see what holds it.
    pub(crate) fn probe(&self) -> Result<Mechanisms, StartError> {
        let deadline = Instant::now() + self.patience;
        let start = || -> io::Result<Compiler> {
            let compiler = Compiler::start(&self.program)?;
            socket::send(&compiler.socket, &encode(&self.order(None)), &[]).ok();
            Ok(compiler)
        };
        let mut compiler = start().map_err(StartError::Compiler)?;
        match self.locked(&mut compiler, deadline) {
            Ok(mechanisms) => Ok(mechanisms),
            Err(Unlocked::Missing(missing)) => Err(StartError::CompilerMissing(missing)),
            Err(Unlocked::Silent(error)) => Err(StartError::Compiler(io::Error::other(error))),
        }
    }

    /// Compiles `wasm`, which is of that `kind`, while this thread waits.
    pub(crate) fn compile(
        &self,
        target: Target,
        kind: Kind,
        wasm: &[u8],
    ) -> Result<Image, RunError> {
        let deadline = Instant::now() + self.patience;
        let mut compiler = Compiler::start(&self.program).map_err(host)?;
        let module = memfd::sealed("module", &[wasm]).map_err(host)?;
        let order = self.order(Some(Work {
            target,
            wasm_len: wasm.len() as u64,
        }));
        // If it is gone, there is no answer, which says more.
        socket::send(&compiler.socket, &encode(&order), &[module.as_fd()]).ok();
        match self.locked(&mut compiler, deadline) {
            Ok(_) => {}
            Err(Unlocked::Silent(error)) => return Err(error),
            Err(Unlocked::Missing(missing)) => {
                return Err(failed(format!("it is not locked: {missing}")));
            }
        }
        match self.answer(&compiler, deadline)? {
            (Some(Answer::Compiled), Some(file)) if self.is_code(&file) => Ok(Image { file, kind }),
            (Some(Answer::Invalid { reason }), None) => Err(RunError::Invalid {
                reason: excerpt(&reason),
            }),
            (Some(Answer::Failed { reason }), None) => Err(failed(excerpt(&reason))),
            _ => Err(compiler.ended(self.memory_bytes_max)),
        }
    }

    fn order(&self, work: Option<Work>) -> Order {
        Order {
            work,
            memory_bytes_max: self.memory_bytes_max,
            cpu_seconds_max: self.cpu_seconds_max(),
        }
    }

    /// What holds a compiler that has not looked at its module yet, if all is there that has to be.
    fn locked(&self, compiler: &mut Compiler, deadline: Instant) -> Result<Mechanisms, Unlocked> {
        let list = match self.answer(compiler, deadline).map_err(Unlocked::Silent)? {
            (Some(Answer::Locked { mechanisms }), None) => mechanisms,
            (Some(Answer::Failed { reason }), None) => {
                return Err(Unlocked::Silent(failed(excerpt(&reason))));
            }
            _ => return Err(Unlocked::Silent(compiler.ended(self.memory_bytes_max))),
        };
        let mechanisms = Mechanisms::checked(list, self.allow_missing);
        let mechanisms = mechanisms.map_err(Unlocked::Missing)?;
        if mechanisms.lack_something() {
            self.told.call_once(|| warn!("compilers: {mechanisms}"));
        }
        Ok(mechanisms)
    }

    /// The next thing that it says, and the file that it comes with; nothing if it is gone.
    fn answer(
        &self,
        compiler: &Compiler,
        deadline: Instant,
    ) -> Result<(Option<Answer>, Option<OwnedFd>), RunError> {
        if compiler.answers_by(deadline).map_err(host)? {
            return Ok(compiler.answer());
        }
        Err(RunError::CompileTime {
            limit_ms: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Twice what all processors can do in the time that it has.
    fn cpu_seconds_max(&self) -> u64 {
        let processors = thread::available_parallelism().map_or(1, usize::from) as u64;
        let seconds = self.patience.as_secs().saturating_add(1);
        seconds.saturating_mul(processors).saturating_mul(2)
    }

    /// Whether nobody can change what is in `file`, nor take it away under a mapping, and it is no
    /// longer than what a compiler may have.
    fn is_code(&self, file: &OwnedFd) -> bool {
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        let sealed = fcntl_get_seals(file).is_ok_and(|sealed| sealed.contains(seals));
        let fits = |len| u64::try_from(len).is_ok_and(|len| len <= self.memory_bytes_max);
        sealed && fstat(file).is_ok_and(|file| fits(file.st_size))
    }
}

impl Image {
    /// The code in this process.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Unlinked, RunError> {
        let file = self.file.try_clone().map_err(host)?;
        let loaded = sys::adopt(engine, File::from(file), self.kind);
        loaded.map_err(|error| RunError::Runtime(Arc::from(error.into_boxed_dyn_error())))
    }
}

/// Why a compiler gets nothing to do.
enum Unlocked {
    /// It lacks what it may not lack.
    Missing(Missing),
    /// It does not say what holds it.
    Silent(RunError),
}

/// A process that compiles. Dropping it ends it.
struct Compiler {
    process: Child,
    socket: OwnedFd,
}

impl Compiler {
    fn start(program: impl AsRef<OsStr>) -> io::Result<Self> {
        let (socket, theirs) = socket::pair()?;
        let process = Command::new(program)
            .arg0("proplet-compiler")
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { process, socket })
    }

    /// Whether it has an answer, or is gone, before `deadline`.
    fn answers_by(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut ready, Some(&patience)) {
                Err(rustix::io::Errno::INTR) => {}
                polled => return Ok(polled? > 0),
            }
        }
    }

    /// What it says, and the file that it comes with; nothing if it is gone.
    fn answer(&self) -> (Option<Answer>, Option<OwnedFd>) {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let mut with = Vec::new();
        let len = socket::receive(&self.socket, &mut buffer, &mut with).unwrap_or(0);
        (decode(&buffer[..len]), with.pop())
    }

    /// Why there was no answer.
    fn ended(&mut self, limit_bytes: u64) -> RunError {
        self.process.kill().ok();
        let end = self.process.wait();
        let words = self.last_words().unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        if words.contains(NO_MEMORY) {
            return RunError::CompileMemory { limit_bytes };
        }
        failed(match (words.trim(), end) {
            ("", Ok(status)) => format!("it ended with {status}"),
            ("", Err(error)) => error.to_string(),
            (words, _) => excerpt(words),
        })
    }

    /// What is there of what it said, without waiting for whoever else may hold the other end.
    fn last_words(&mut self) -> io::Result<Vec<u8>> {
        let mut words = vec![0; LAST_WORDS_BYTES_MAX];
        let Some(stderr) = &mut self.process.stderr else {
            return Ok(Vec::new());
        };
        ioctl_fionbio(&*stderr, true)?;
        let len = stderr.read(&mut words)?;
        words.truncate(len);
        Ok(words)
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn host(error: io::Error) -> RunError {
    RunError::Runtime(Arc::new(error))
}

#[derive(Debug, thiserror::Error)]
#[error("the compiler failed: {0}")]
struct Failed(String);

fn failed(reason: String) -> RunError {
    RunError::Runtime(Arc::new(Failed(reason)))
}
