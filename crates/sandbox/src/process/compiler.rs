//! A process of its own for every compilation, which can be ended.
//!
//! ```text
//!  compile(wasm) ──exec──► compiler: lock, compile, seal
//!      │  waits, and ends it when its time is over      │
//!      ◄──────────────── compiled code, in a memory file┘
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
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SealFlags, fcntl_get_seals};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::wire::{MESSAGE_BYTES_MAX, decode, encode};
use super::{memfd, socket, sys};
use crate::engine::split::{Kind, Target, Unlinked};
use crate::excerpt::excerpt;
use crate::runtime::RunError;

pub(super) use work::enter;

/// The hidden first argument.
const ARGUMENT: &str = "--guest-compiler";

/// How Rust begins what it says of an allocation that fails, right before it ends the process.
const NO_MEMORY: &str = "memory allocation of";

/// How much is read of what a compiler says at its end.
const LAST_WORDS_BYTES_MAX: u64 = 4 * 1024;

/// What a compiler is to do, with the module in a memory file.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    target: Target,
    wasm_len: u64,
    /// How much memory it may have.
    memory_bytes_max: u64,
}

/// What it has to say.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// With the code in a memory file.
    Compiled(Kind),
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
    pub(crate) program: PathBuf,
    /// How long each may take.
    pub(crate) patience: Duration,
    /// How much memory each may have.
    pub(crate) memory_bytes_max: u64,
}

/// Compiled code that nobody can change.
pub(crate) struct Image {
    pub(crate) file: OwnedFd,
    kind: Kind,
}

impl Compilers {
    /// Compiles `wasm`, on this thread, which waits.
    pub(crate) fn compile(&self, target: Target, wasm: &[u8]) -> Result<Image, RunError> {
        let deadline = Instant::now() + self.patience;
        let mut compiler = Compiler::start(&self.program).map_err(host)?;
        let module = memfd::sealed("module", wasm).map_err(host)?;
        let order = Order {
            target,
            wasm_len: wasm.len() as u64,
            memory_bytes_max: self.memory_bytes_max,
        };
        // If it is gone, there is no answer, which says more.
        socket::send(&compiler.socket, &encode(&order), &[module.as_fd()]).ok();
        if !compiler.answers_by(deadline).map_err(host)? {
            return Err(RunError::CompileTime {
                limit_ms: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
            });
        }
        match compiler.answer() {
            (Some(Answer::Compiled(kind)), Some(file)) if is_sealed(&file) => {
                Ok(Image { file, kind })
            }
            (Some(Answer::Invalid { reason }), None) => Err(RunError::Invalid { reason }),
            (Some(Answer::Failed { reason }), None) => Err(failed(reason)),
            _ => Err(compiler.ended(self.memory_bytes_max)),
        }
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
        let mut words = Vec::new();
        if let Some(stderr) = &mut self.process.stderr {
            stderr
                .take(LAST_WORDS_BYTES_MAX)
                .read_to_end(&mut words)
                .ok();
        }
        let words = String::from_utf8_lossy(&words);
        if words.contains(NO_MEMORY) {
            return RunError::CompileMemory { limit_bytes };
        }
        failed(match words.trim() {
            "" => match self.process.wait() {
                Ok(status) => format!("it ended with {status}"),
                Err(error) => error.to_string(),
            },
            words => excerpt(words),
        })
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Whether nobody can change what is in `file`, nor take it away under a mapping.
fn is_sealed(file: &OwnedFd) -> bool {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_get_seals(file).is_ok_and(|sealed| sealed.contains(seals))
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
