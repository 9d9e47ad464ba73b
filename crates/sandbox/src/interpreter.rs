//! The port on wasmi, an interpreter: no compiler, no executable memory, a fraction of the size.
//!
//! ```text
//!  run(job) ──► a task on our threads ──► shelf ──► call ──► guest ──► Exit
//!                  ▲ aborted when the        │                 │
//!                    caller's future drops   │                 └ turns of fuel; wasi, memory, verdict
//!                                            └ module (validated and translated once per key)
//! ```
//!
//! A guest gets its fuel in small portions and its thread back only when the other guests had
//! theirs: between two portions it can be timed out, aborted or followed by another one. Time in
//! the host's functions counts too. What cannot be interrupted is one such function, one bulk
//! instruction, or the reading of a module.
//!
//! Fuel is counted by another schedule than wasmtime's: the same guest uses another number of units
//! here. Components are refused: wasmi knows none.

mod call;
mod chunked;
mod guest;
mod memory;
mod module;
mod start;
mod verdict;
mod wasi;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use propeller_model::{Engine, Profile};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::config::{self, EngineConfig, StartError};
use crate::exit::Exit;
use crate::job::{Job, ModuleKey};
use crate::making;
use crate::runtime::{RunError, Runtime};
use crate::shelf::Shelf;
use crate::threads::{self, Threads};

use call::Call;
use module::Loaded;

/// The version of wasmi in the lock file; a test compares them.
const WASMI_VERSION: &str = "1.1.0";

/// Runs jobs on wasmi, each in a store of its own.
///
/// It owns its threads. Dropping it stops them without waiting, also from asynchronous code.
pub struct InterpreterRuntime {
    /// What drops modules when their time is over.
    _forgetting: JoinSet<()>,
    threads: Threads,
    host: Arc<Host>,
}

impl InterpreterRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`StartError::Threads`] if the operating system gives none.
    pub fn new(config: EngineConfig) -> Result<Self, StartError> {
        let threads = Threads::start(config.threads).map_err(StartError::Threads)?;
        let shelf = Shelf::new(&config);
        let mut forgetting = JoinSet::new();
        forgetting.spawn_on(Arc::clone(&shelf).forget(), threads.handle());
        Ok(Self {
            _forgetting: forgetting,
            threads,
            host: Arc::new(Host {
                shelf,
                told: Arc::new(described()),
                running: AtomicUsize::new(0),
                stack_bytes: config.stack_bytes_max,
            }),
        })
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.running.load(Ordering::SeqCst)
    }

    /// How many modules have been validated and translated so far.
    pub fn translations(&self) -> u64 {
        self.host.shelf.made()
    }
}

impl Runtime for InterpreterRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            threads::run_on(self.threads.handle(), Arc::clone(&self.host).run(job)).await
        })
    }

    fn threads(&self) -> Option<&Handle> {
        Some(self.threads.handle())
    }
}

/// What results say about this engine.
fn described() -> Engine {
    Engine {
        name: "wasmi".to_owned(),
        version: WASMI_VERSION.to_owned(),
        sandbox: env!("CARGO_PKG_VERSION").to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        profile: Profile::Pure,
        isolation: "in-process".to_owned(),
        features: vec!["fuel".to_owned()],
    }
}

impl fmt::Debug for InterpreterRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterpreterRuntime")
            .field("running", &self.running())
            .field("translations", &self.translations())
            .finish_non_exhaustive()
    }
}

/// What all guests share. Nothing in it remembers a guest but its module.
struct Host {
    shelf: Arc<Shelf<ModuleKey, Loaded>>,
    running: AtomicUsize,
    stack_bytes: u64,
    told: Arc<Engine>,
}

impl Host {
    async fn run(self: Arc<Self>, mut job: Job) -> Result<Exit, RunError> {
        if job.profile == Profile::Deterministic || !job.capabilities.is_empty() {
            return Err(RunError::Interpreted {
                profile: job.profile,
            });
        }
        job.has_fitting_stdin()?;
        let stack_bytes = self.stack_bytes;
        let load = || {
            move |wasm: &[u8]| {
                let kept = making::bounded(wasm)?;
                let loaded = Loaded::new(wasm, stack_bytes)?;
                let bytes = loaded.bytes.saturating_add(kept);
                Ok((loaded, bytes))
            }
        };
        let found = self.shelf.get(&job.key, &job.wasm, load).await?;
        job.limits = config::enforced(job.limits, stack_bytes);
        let call = Call::resolve(found.value(), &job)?;
        job.gather_stdin(call.takes_stdin_as_a_whole()).await?;
        let _running = Running::enter(&self.running);
        let mut exit = guest::run(found.value(), &call, &job).await?;
        exit.engine = Some(Arc::clone(&self.told));
        found.account(&mut exit.usage);
        Ok(exit)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_results_name_is_the_one_that_is_locked() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"wasmi\"\nversion = \"{WASMI_VERSION}\"\n");
        assert!(lock.contains(&entry));
    }
}
