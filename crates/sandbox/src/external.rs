//! The port on another runtime's program: one process of it for each job.
//!
//! ```text
//!  run(job) ──► module ──► plan ──► attend ──► reading ──► Exit
//!               (valid?     (words    (feeds, ends)   (what the words
//!                memory)     or why      │    │         of it mean)
//!                            not)        │    └► printed ──► transcript
//!  ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┼ ─ ─ ─ ─ ─ ─ process boundary
//!                                     launcher ──► runtime
//! ```
//!
//! What an operator gets is another engine behind the same tasks. What the operator gives up is
//! that Propeller knows the engine: see docs/book/external-runtimes.md and docs/threat-model.md.

mod attend;
mod catalog;
mod file;
mod fill;
mod host;
mod launcher;
mod lines;
mod module;
mod order;
mod plan;
mod printed;
mod reading;
mod talk;
mod template;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use propeller_model::{Engine, Profile};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};

use crate::excerpt::excerpt;
use crate::exit::{Exit, Limit};
use crate::job::Job;
use crate::runtime::{RunError, Runtime};

use catalog::{Known, UNKNOWN};
use file::Folder;
use host::{Host, TRIAL_MAX};
use plan::Manner;
use template::Slot;

pub(crate) use launcher::enter;
pub use template::{Template, TemplateError};

/// Threads that read what runtimes print. They copy; guests compute elsewhere.
const THREADS: usize = 2;

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
            looks: Arc::new(Semaphore::new(cores)),
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
        let (name, version, held) = (&manner.called, &self.version, &self.held);
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

    /// What its results say about it. What it is told beyond its defaults is in its template.
    fn engine(&self, profile: Profile) -> Engine {
        let Host { manner, .. } = &*self.host;
        Engine {
            name: manner.called.clone(),
            version: self.version.clone(),
            sandbox: env!("CARGO_PKG_VERSION").to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            profile,
            isolation: "external".to_owned(),
            features: vec![manner.template.to_string()],
        }
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
            let profile = job.profile;
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
            let mut exit = heard.await.unwrap_or(Err(RunError::Stopped))?;
            exit.engine = Some(Arc::new(self.engine(profile)));
            Ok(exit)
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
            .field("runtime", &self.host.manner.called)
            .field("version", &self.version)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// How `config`'s program is called, if it may be called at all.
fn manner(config: &ExternalConfig) -> Result<Manner, StartError> {
    let name = config.program.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let known = catalog::find(&name);
    let called = known.map_or_else(|| excerpt(&name), |known| known.name.to_owned());
    let manner = match (known, &config.template) {
        (Some(known), None) => Manner {
            known,
            called,
            template: known
                .template
                .parse()
                .map_err(|error: TemplateError| StartError::System(io::Error::other(error)))?,
            shipped: true,
        },
        (known, Some(template)) => Manner {
            known: known.unwrap_or(&UNKNOWN),
            called,
            template: template.clone(),
            shipped: false,
        },
        (None, None) => return Err(StartError::Unknown(excerpt(&name))),
    };
    if config.folder.is_none() {
        let called = &manner.called;
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
