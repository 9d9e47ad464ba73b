//! The port on another runtime's program: one process of it for each job.
//!
//! ```text
//!  run(job) ──► module ──► plan ──► attend ──► reading ──► Exit
//!               (valid?     (words    (feeds, keeps,  (what the words
//!                memory)     or why    ends)           of it mean)
//!                            not)        │
//!  ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┼ ─ ─ ─ ─ ─ ─ process boundary
//!                                     launcher ──► runtime
//! ```
//!
//! What an operator gets is another engine behind the same tasks. What the operator gives up is
//! that Propeller knows the engine: see docs/book/external-runtimes.md and docs/threat-model.md.

mod attend;
mod catalog;
mod file;
mod launcher;
mod module;
mod order;
mod plan;
mod reading;
mod template;

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Digest, Limits};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::engine::excerpt::excerpt;
use crate::exit::{Exit, Limit, Status};
use crate::job::{Entry, Job, ModuleKey};
use crate::process::wire::End;
use crate::runtime::{RunError, Runtime};

use attend::{Input, Outcome, attend};
use catalog::{Known, UNKNOWN};
use file::Folder;
use order::Order;
use plan::{Manner, Planned};
use template::Slot;

pub(crate) use launcher::enter;
pub use template::{Template, TemplateError};

/// Threads that read what runtimes print. They copy; guests compute elsewhere.
const THREADS: usize = 2;

/// How long a runtime may take to tell its version, and to run a small module. It takes
/// some ten milliseconds; a machine that swaps takes longer.
const TRIAL_MAX: Duration = Duration::from_secs(10);

/// What a runtime may use for itself: stacks of its threads, its compiler, copies of a memory that
/// grows. A bound on what a hostile module makes of a compiler, not on the guest.
const DATA_SLACK_BYTES: u64 = 512 * 1024 * 1024;

/// What it may use for each core and for each byte of the module: threads, and compiled code.
const DATA_PER_CORE_BYTES: u64 = 32 * 1024 * 1024;
const DATA_PER_MODULE_BYTE: u64 = 64;

/// What the module of the trial exits with, so that a program that does nothing does not pass.
const TRIAL_CODE: i32 = 42;

/// A command that exits with [`TRIAL_CODE`], in a module with a memory.
const TRIAL: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x08\x02\x60\0\0\x60\x01\x7f\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\x01\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\x01\
    \x0a\x08\x01\x06\0\x41\x2a\x10\0\x0b";

/// What the operator decides about an external runtime.
#[derive(Clone, Debug)]
pub struct ExternalConfig {
    /// The program, with its path.
    pub program: PathBuf,
    /// Its command line, in place of the one that ships.
    pub template: Option<Template>,
    /// The largest module, in bytes.
    pub module_bytes_max: u64,
    /// How many guests run at a time, at least 1; further jobs wait.
    pub guests_max: usize,
    /// A folder of its own for modules, where a runtime takes nothing but files. `None` where
    /// nothing may be written to a disk.
    pub folder: Option<PathBuf>,
    /// The program that becomes the launcher, because
    /// [`enter_if_child`](crate::process::enter_if_child) is the first thing in its `main`.
    pub launcher: PathBuf,
}

/// Why an external runtime does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is not one of those that Propeller has a template for.
    #[error(
        "there is no template for a program called `{0}`; there are some for {known}: \
         set PROPLET_EXTERNAL_WASM_RUNTIME_ARGS",
        known = listed()
    )]
    Unknown(String),
    /// It could not be executed, or did not tell its version.
    #[error("{program} does not work: {said}")]
    Version {
        /// The program.
        program: String,
        /// What happened, or what it said.
        said: String,
    },
    /// It would write what is never written.
    #[error(
        "{0}, and this proplet's tasks are encrypted, so that nothing of them may be written: \
         use wasmtime, wasmi, node, wazero or iwasm"
    )]
    Writes(String),
    /// It does not run a module that does nearly nothing.
    #[error("{program} does not run a small module with `{template}`: {said}")]
    Trial {
        /// The program.
        program: String,
        /// The template that is in force.
        template: String,
        /// What happened.
        said: String,
    },
    /// The operating system refuses a thread, a folder or a process.
    #[error("cannot prepare for an external runtime")]
    System(#[source] io::Error),
}

/// Runs jobs on an external runtime.
///
/// It owns its threads and processes. Dropping it ends them, also from asynchronous code.
pub struct ExternalRuntime {
    /// `None` only while it is dropped.
    threads: Option<tokio::runtime::Runtime>,
    host: Arc<Host>,
    version: String,
    held: String,
}

struct Host {
    program: PathBuf,
    launcher: PathBuf,
    manner: Manner,
    folder: Option<Folder>,
    module_bytes_max: u64,
    cores: u64,
    slots: Semaphore,
    running: AtomicUsize,
    /// As many as there are jobs, and those that are ending their process.
    tasks: Mutex<JoinSet<()>>,
}

impl ExternalRuntime {
    /// Asks the program for its version and lets it run a small module.
    ///
    /// # Errors
    ///
    /// [`StartError`]
    pub fn new(config: ExternalConfig) -> Result<Self, StartError> {
        let manner = manner(&config)?;
        let folder = config.folder.filter(|_| manner.template.has(Slot::File));
        let folder = folder
            .map(Folder::open)
            .transpose()
            .map_err(StartError::System)?;
        let threads = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("external")
            .enable_all()
            .build()
            .map_err(StartError::System)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let host = Arc::new(Host {
            program: config.program,
            launcher: config.launcher,
            manner,
            folder,
            module_bytes_max: config.module_bytes_max,
            cores: cores as u64,
            slots: Semaphore::new(config.guests_max.clamp(1, Semaphore::MAX_PERMITS)),
            running: AtomicUsize::new(0),
            tasks: Mutex::default(),
        });
        // From here on dropping it ends the threads without waiting for them.
        let mut runtime = Self {
            threads: Some(threads),
            host,
            version: String::new(),
            held: String::new(),
        };
        (runtime.version, runtime.held) = runtime.tried()?;
        Ok(runtime)
    }

    /// Waits for the version, and for what held the runtime while it ran a module.
    fn tried(&self) -> Result<(String, String), StartError> {
        let (told, heard) = mpsc::sync_channel(1);
        let host = Arc::clone(&self.host);
        let trial = async move {
            // Whoever asked waits for it.
            told.send(host.try_out().await).ok();
        };
        if let Some(threads) = &self.threads {
            self.host
                .tasks(|tasks| drop(tasks.spawn_on(trial, threads.handle())));
        }
        // More than both halves may take, so that it is always they who say what was wrong.
        let patience = TRIAL_MAX * 3;
        heard
            .recv_timeout(patience)
            .unwrap_or_else(|_| Err(self.host.silent("it does not answer")))
    }

    /// What runs guests, in a line: name, version, template, what holds it.
    pub fn description(&self) -> String {
        let Host {
            program, manner, ..
        } = &*self.host;
        let (name, version, held) = (manner.known.name, &self.version, &self.held);
        let template = &manner.template;
        format!(
            "{name} {version} ({}): `{template}`; {held}",
            program.display()
        )
    }

    /// The limits that it does not hold: a default is passed over, and a task that asks for one is
    /// refused.
    pub fn unheld(&self) -> Vec<Limit> {
        self.host.manner.unheld()
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.running.load(Ordering::SeqCst)
    }
}

impl Runtime for ExternalRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            let Some(threads) = &self.threads else {
                return Err(RunError::Stopped);
            };
            // The half that is dropped with this future tells the task to end its process: it has
            // to be waited for, or it would stay in the list of processes.
            let (_alive, cancelled) = oneshot::channel::<()>();
            let (told, heard) = oneshot::channel();
            let host = Arc::clone(&self.host);
            let task = async move {
                // Nobody may listen any more.
                told.send(host.run(job, cancelled).await).ok();
            };
            self.host
                .tasks(|tasks| drop(tasks.spawn_on(task, threads.handle())));
            heard.await.unwrap_or(Err(RunError::Stopped))
        })
    }
}

impl Drop for ExternalRuntime {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for ExternalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalRuntime")
            .field("runtime", &self.host.manner.known.name)
            .field("version", &self.version)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Adds a task, and forgets those that have ended.
    fn tasks(&self, add: impl FnOnce(&mut JoinSet<()>)) {
        let mut tasks = self.tasks.lock().expect("keeping a list does not panic");
        while tasks.try_join_next().is_some() {}
        add(&mut tasks);
    }

    async fn run(&self, job: Job, cancelled: oneshot::Receiver<()>) -> Result<Exit, RunError> {
        let len = job.wasm.len() as u64;
        if len > self.module_bytes_max {
            return Err(RunError::TooLarge {
                len,
                len_max: self.module_bytes_max,
            });
        }
        let mut cancelled = cancelled;
        let slot = tokio::select! {
            slot = self.slots.acquire() => slot,
            _ = &mut cancelled => return Err(RunError::Stopped),
        };
        let _slot = slot.map_err(|_| RunError::Stopped)?;
        let _running = Running::enter(&self.running);
        let ran = self
            .run_to_end(&job, async { drop(cancelled.await) })
            .await?;
        ran.map_or(Err(RunError::Stopped), |(exit, _)| Ok(exit))
    }

    /// Runs a job; `None` if it was cancelled. With what held the runtime.
    async fn run_to_end(
        &self,
        job: &Job,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Option<(Exit, String)>, RunError> {
        let system = |error: io::Error| RunError::Runtime(Arc::new(error));
        let file = self.folder.as_ref().map(Folder::name);
        let path = file.as_ref().map(|file| file.display().to_string());
        let plan = match self.manner.plan(job, path.as_deref())? {
            Planned::Run(plan) => plan,
            Planned::Over(exit) => return Ok(Some((*exit, String::new()))),
        };
        let _written = match file {
            Some(file) => Some(file::write(file, &plan.module).map_err(system)?),
            None => None,
        };
        let bytes = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        let limits = &job.limits;
        let input = Input {
            order: self.order(plan.words, job),
            module: &plan.module,
            request: plan.request.as_deref().unwrap_or_default(),
            stdin: &job.stdin,
            stdout_bytes_max: bytes(limits.stdout_bytes.value)
                .saturating_add(bytes(limits.result_bytes.value))
                .saturating_add(reading::TALK_BYTES_MAX),
            stderr_bytes_max: bytes(limits.stderr_bytes.value)
                .saturating_add(reading::TALK_BYTES_MAX),
            wall: Duration::from_millis(limits.wall_ms.value),
        };
        let outcome = attend(&self.launcher, input, cancelled).await;
        let Some(outcome) = outcome.map_err(system)? else {
            return Ok(None);
        };
        let held = outcome.held.clone();
        let exit = reading::read(&self.manner, &plan.call, job, outcome)?;
        Ok(Some((exit, held)))
    }

    fn order(&self, words: Vec<String>, job: &Job) -> Order {
        // Twice the memory: a runtime may copy one that grows.
        let data = job.limits.memory_bytes.value.saturating_mul(2);
        let module = (job.wasm.len() as u64).saturating_mul(DATA_PER_MODULE_BYTE);
        let cores = self.cores.saturating_mul(DATA_PER_CORE_BYTES);
        Order {
            program: self.program.as_os_str().as_bytes().to_vec(),
            words,
            data_bytes_max: data
                .saturating_add(DATA_SLACK_BYTES)
                .saturating_add(module)
                .saturating_add(cores),
            scripted: self.manner.template.has(Slot::Script),
            writes: self.folder.is_some(),
        }
    }

    /// The version, and what holds the runtime.
    async fn try_out(&self) -> Result<(String, String), StartError> {
        let version = self.version().await?;
        let job = nothing();
        let wrong = |said: String| StartError::Trial {
            program: self.program.display().to_string(),
            template: self.manner.template.to_string(),
            said,
        };
        match self.run_to_end(&job, std::future::pending()).await {
            Ok(Some((exit, held))) if exit.status == Status::Exited(TRIAL_CODE) => {
                Ok((version, held))
            }
            Ok(Some((exit, _))) => {
                let said = String::from_utf8_lossy(&exit.stderr);
                Err(wrong(format!("{:?} {}", exit.status, excerpt(&said))))
            }
            Ok(None) => Err(wrong("it was cancelled".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    async fn version(&self) -> Result<String, StartError> {
        let known = self.manner.known;
        let input = Input {
            order: self.order(vec![known.version.to_owned()], &nothing()),
            module: &[],
            request: &[],
            stdin: &[],
            stdout_bytes_max: reading::TALK_BYTES_MAX,
            stderr_bytes_max: reading::TALK_BYTES_MAX,
            wall: TRIAL_MAX,
        };
        let outcome = attend(&self.launcher, input, std::future::pending()).await;
        let outcome = outcome.map_err(StartError::System)?;
        let outcome = outcome.ok_or_else(|| self.silent("it was cancelled"))?;
        self.read_version(&outcome)
    }

    fn read_version(&self, outcome: &Outcome) -> Result<String, StartError> {
        if let Some(reason) = &outcome.failed {
            return Err(self.silent(reason));
        }
        let ended = outcome.ended.map(|ended| ended.end);
        let text = String::from_utf8_lossy(&outcome.stdout.bytes);
        let first = text.lines().next().unwrap_or_default().trim();
        let known = self.manner.known;
        let version = first.strip_prefix(known.banner).filter(|version| {
            // A build of one's own may have a name for a number.
            version.contains(|char: char| char.is_ascii_digit()) || *version == "dev"
        });
        match (ended, version) {
            (Some(End::Exited(0)), Some(version)) => Ok(excerpt(version)),
            _ => {
                let asked = known.version;
                let said = excerpt(first);
                Err(self.silent(&format!(
                    "asked for `{asked}`, it says `{said}` ({ended:?})"
                )))
            }
        }
    }

    fn silent(&self, said: &str) -> StartError {
        StartError::Version {
            program: self.program.display().to_string(),
            said: said.to_owned(),
        }
    }
}

/// How `config`'s program is called, if it may be called at all.
fn manner(config: &ExternalConfig) -> Result<Manner, StartError> {
    let name = config.program.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let known = catalog::find(&name);
    let manner = match (known, &config.template) {
        (Some(known), None) => Manner {
            known,
            template: known
                .template
                .parse()
                .map_err(|error: TemplateError| StartError::System(io::Error::other(error)))?,
            shipped: true,
        },
        (known, Some(template)) => Manner {
            known: known.unwrap_or(&UNKNOWN),
            template: template.clone(),
            shipped: false,
        },
        (None, None) => return Err(StartError::Unknown(excerpt(&name))),
    };
    if config.folder.is_none() {
        let called = manner.known.name;
        if let Some(what) = manner.known.writes {
            return Err(StartError::Writes(format!("{called} {what}")));
        }
        if manner.template.has(Slot::File) {
            let why = format!("{called} takes the module as a file (`{{file}}`)");
            return Err(StartError::Writes(why));
        }
    }
    Ok(manner)
}

fn listed() -> String {
    let names: Vec<&str> = catalog::CATALOG
        .iter()
        .map(|known: &Known| known.name)
        .collect();
    names.join(", ")
}

/// A job that every runtime can do.
fn nothing() -> Job {
    let mut limits = Limits::default();
    limits.wall_ms.value = u64::try_from(TRIAL_MAX.as_millis()).unwrap_or(u64::MAX);
    Job {
        key: ModuleKey {
            tenant: String::new(),
            digest: Digest([0; 32]),
        },
        wasm: Bytes::from_static(TRIAL),
        name: "trial".to_owned(),
        entry: Entry::Named("_start".to_owned()),
        args: Vec::new(),
        env: Vec::new(),
        stdin: Bytes::new(),
        limits,
    }
}

/// Counts a guest for as long as its process lives.
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
