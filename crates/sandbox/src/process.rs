//! The port on processes: every guest in one of its own, locked down.
//!
//! ```text
//!  run(job) ──► compiler ──► keeper ──► attend ──► Exit
//!               (a process,  (warm       (sends the job, reads frames,
//!               memfd)       children)    kills, judges the end)
//!  ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┬ ─ ─ ─ ─ ─ ─ ─ ─ ┬ ─ ─ ─ ─ ─ process boundary
//!                            ▼                  ▼
//!                          zygote ──fork──►   child: lock, wait, load, filter, run
//! ```
//!
//! What an escape from the engine reaches is a process without files, network, other processes,
//! keys, or system calls: `lock` and `filter` have the list, docs/threat-model.md the attempts.
//! Modules are compiled in processes of their own, which need more of the system than a guest: see
//! `compiler`. The code comes to the child in a sealed memory file.

mod attend;
mod child;
pub(crate) mod compiler;
mod filter;
mod keeper;
pub(crate) mod lock;
mod mechanism;
pub(crate) mod memfd;
pub(crate) mod priority;
pub(crate) mod socket;
pub(crate) mod sys;
mod warm;
pub(crate) mod wire;
pub(crate) mod zygote;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::{self, EngineConfig, Metering};
use crate::engine::split::{self, Compiler};
use crate::exit::Exit;
use crate::job::Job;
use crate::runtime::{RunError, Runtime};
use crate::threads;

use keeper::Keeper;

pub(crate) use child::guests_pipe;
pub use lock::Locks;
pub use mechanism::{AllowMissing, Mechanism, Mechanisms, Missing, Name, NotAllowable, State};
pub use zygote::enter_if_child;
#[cfg(feature = "escaped-guest")]
pub use zygote::enter_with;

/// Threads that read what children say, and as many that wait for compilers. They parse and copy;
/// guests compute elsewhere.
const THREADS: usize = 2;

/// What the operator decides about guests' processes.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The engine, in the proplet and in every child; `threads` does not matter.
    pub engine: EngineConfig,
    /// What guests' code checks.
    pub metering: Metering,
    /// How many locked children wait for a job, at least 1.
    pub pool: usize,
    /// How many guests run at a time, at least 1; further jobs wait.
    pub guests_max: usize,
    /// What of the lock-down of guests and of compilers may be missing.
    pub allow_missing: AllowMissing,
    /// The program that becomes the zygote, because [`enter_if_child`] is the first thing in its
    /// `main`. `/proc/self/exe` is the running one, also after its file was replaced.
    pub program: PathBuf,
}

/// Why guests cannot have processes of their own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] config::StartError),
    /// The operating system refuses a thread, a socket or a process.
    #[error("cannot start the process that guests' processes are forked from")]
    Process(#[source] io::Error),
    /// It started and gave up.
    #[error("the process that guests' processes are forked from gave up: {0}")]
    Refused(String),
    /// It went away, or says nothing.
    #[error(
        "the process that guests' processes are forked from does not answer; \
         does the program call `enter_if_child` first?"
    )]
    Silent,
    /// The process that compiles does not start, or does not say what holds it.
    #[error("cannot start a process that compiles; does the program call `enter_if_child` first?")]
    Compiler(#[source] io::Error),
    /// What has to hold a compiler does not.
    #[error("modules are compiled in processes that need what this machine does not have: {0}")]
    CompilerMissing(#[source] Missing),
    /// What has to hold a child does not.
    #[error("process isolation needs what this machine does not have: {0}")]
    Missing(#[from] Missing),
    /// The module that children warm up with does not compile.
    #[error("cannot compile the module that guests' processes warm up with")]
    Warm(#[source] RunError),
}

/// Runs jobs on wasmtime, each in a locked process of its own.
///
/// It owns its threads and processes. Dropping it ends them, also from asynchronous code.
pub struct ProcessRuntime {
    /// `None` only while it is dropped.
    threads: Option<tokio::runtime::Runtime>,
    host: Arc<Host>,
    mechanisms: Mechanisms,
    compilers_mechanisms: Mechanisms,
    /// What keeps the pool, and what drops compiled code; dropping it ends the zygote.
    _keeping: JoinSet<()>,
}

struct Host {
    compiler: Compiler,
    keeper: Keeper,
    slots: Semaphore,
    running: AtomicUsize,
}

impl ProcessRuntime {
    /// Starts the zygote and waits for its first child to be locked.
    ///
    /// # Errors
    ///
    /// [`StartError`], in particular with the names of the mechanisms that are missing.
    pub fn new(config: ProcessConfig) -> Result<Self, StartError> {
        let threads = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("guests")
            .enable_all()
            .build()
            .map_err(StartError::Process)?;
        let engine = EngineConfig {
            threads: THREADS,
            ..config.engine
        };
        let compilers = split::compilers(config.program.clone(), &engine, config.allow_missing);
        let compiler = Compiler::new(engine, config.metering, compilers)?;
        let guests_max = config.guests_max.clamp(1, Semaphore::MAX_PERMITS);
        let job = warm::job();
        let image = |wasm| compiler.image(&job, wasm).map_err(StartError::Warm);
        let warm = [image(warm::MODULE)?, image(warm::COMPONENT)?];
        let (keeper, mechanisms, keep) = Keeper::start(config, warm)?;
        let compilers_mechanisms = compiler.probe()?;
        let mut keeping = JoinSet::new();
        keeping.spawn_on(keep, threads.handle());
        keeping.spawn_on(compiler.forget(), threads.handle());
        Ok(Self {
            threads: Some(threads),
            host: Arc::new(Host {
                compiler,
                keeper,
                slots: Semaphore::new(guests_max),
                running: AtomicUsize::new(0),
            }),
            mechanisms,
            compilers_mechanisms,
            _keeping: keeping,
        })
    }

    /// What holds every child.
    pub fn mechanisms(&self) -> &Mechanisms {
        &self.mechanisms
    }

    /// What holds every process that compiles. What of it is missing is in the log too.
    pub fn compilers_mechanisms(&self) -> &Mechanisms {
        &self.compilers_mechanisms
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.running.load(Ordering::SeqCst)
    }

    /// How many modules have been compiled so far.
    pub fn compilations(&self) -> u64 {
        self.host.compiler.compilations()
    }
}

impl Runtime for ProcessRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            let Some(threads) = &self.threads else {
                return Err(RunError::Stopped);
            };
            threads::run_on(threads.handle(), Arc::clone(&self.host).run(job)).await
        })
    }

    fn threads(&self) -> Option<&Handle> {
        self.threads.as_ref().map(|threads| threads.handle())
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for ProcessRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRuntime")
            .field("running", &self.running())
            .field("compilations", &self.compilations())
            .finish_non_exhaustive()
    }
}

impl Host {
    async fn run(self: Arc<Self>, mut job: Job) -> Result<Exit, RunError> {
        let ready = self.compiler.prepare(&mut job).await?;
        let slot = self.slots.acquire().await;
        let _slot = slot.map_err(|_| RunError::Stopped)?;
        let _running = Running::enter(&self.running);
        let exit = attend::attend(&self.keeper, &ready, &job).await?;
        Ok(ready.account(exit))
    }
}

/// Counts a guest for as long as its job lives.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn enter(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
