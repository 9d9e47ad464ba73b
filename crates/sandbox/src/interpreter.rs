//! The port on wasmi, an interpreter: no compiler, no executable memory, a fraction of the size.
//!
//! ```text
//!  run(job) ──► a task on our threads ──► cache ──► call ──► guest ──► Exit
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
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_model::{Engine, Profile};
use tokio::task::JoinSet;

use crate::cache::{Cache, Cell};
use crate::config::{self, EngineConfig, StartError};
use crate::cpu::micros;
use crate::exit::Exit;
use crate::job::{Job, ModuleKey};
use crate::runtime::{RunError, Runtime};
use crate::threads::Threads;

use call::Call;
use module::Loaded;

/// The version of wasmi in the lock file; a test compares them.
const WASMI_VERSION: &str = "1.1.0";

/// Runs jobs on wasmi, each in a store of its own.
///
/// It owns its threads. Dropping it stops them without waiting, also from asynchronous code.
pub struct InterpreterRuntime {
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
        Ok(Self {
            threads: Threads::start(config.threads).map_err(StartError::Threads)?,
            host: Arc::new(Host {
                cache: Cache::new(config.cache_entries_max, config.cache_bytes_max),
                told: Arc::new(described()),
                running: AtomicUsize::new(0),
                translations: AtomicU64::new(0),
                config,
            }),
        })
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.running.load(Ordering::SeqCst)
    }

    /// How many modules have been validated and translated so far.
    pub fn translations(&self) -> u64 {
        self.host.translations.load(Ordering::Relaxed)
    }
}

impl Runtime for InterpreterRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            // A set of one, because dropping a set aborts what is in it.
            let mut tasks = JoinSet::new();
            tasks.spawn_on(Arc::clone(&self.host).run(job), self.threads.handle());
            match tasks.join_next().await {
                Some(Ok(end)) => end,
                Some(Err(failure)) if failure.is_panic() => {
                    Err(RunError::Runtime(Arc::new(failure)))
                }
                Some(Err(_)) | None => Err(RunError::Stopped),
            }
        })
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
    cache: Cache<ModuleKey, Result<Arc<Loaded>, RunError>>,
    running: AtomicUsize,
    translations: AtomicU64,
    config: EngineConfig,
    told: Arc<Engine>,
}

impl Host {
    async fn run(self: Arc<Self>, mut job: Job) -> Result<Exit, RunError> {
        if job.profile == Profile::Deterministic || !job.capabilities.is_empty() {
            return Err(RunError::Interpreted {
                profile: job.profile,
            });
        }
        let arrived = Instant::now();
        let (loaded, module_cached) = self.loaded(&job).await?;
        let waited = arrived.elapsed();
        job.limits = config::enforced(job.limits, self.config.stack_bytes_max);
        let call = Call::resolve(&loaded, &job)?;
        let _running = Running::enter(&self.running);
        let mut exit = guest::run(&loaded, &call, &job).await?;
        exit.engine = Some(Arc::clone(&self.told));
        exit.usage.module_cached = module_cached;
        exit.usage.compile_us = if module_cached { 0 } else { micros(waited) };
        Ok(exit)
    }

    /// The module of `job`, and whether it was ready. Jobs of the same module share it, so that many
    /// of them take no more memory than one.
    async fn loaded(self: &Arc<Self>, job: &Job) -> Result<(Arc<Loaded>, bool), RunError> {
        let len = job.wasm.len() as u64;
        let len_max = self.config.module_bytes_max;
        if len > len_max {
            return Err(RunError::TooLarge { len, len_max });
        }
        let claim = self.cache.claim(&job.key);
        let ready = claim.cell.initialized();
        if claim.first {
            self.load(job.key.clone(), job.wasm.clone(), Arc::clone(&claim.cell));
        }
        let compile_max = self.config.compile_max;
        let loaded = tokio::time::timeout(compile_max, claim.cell.wait()).await;
        let loaded = loaded.map_err(|_| RunError::CompileTime {
            limit_ms: millis(compile_max),
        })?;
        Ok((loaded.clone()?, ready))
    }

    /// Fills `cell` on a thread that no job owns, for whoever waits then.
    fn load(
        self: &Arc<Self>,
        key: ModuleKey,
        wasm: Bytes,
        cell: Cell<Result<Arc<Loaded>, RunError>>,
    ) {
        let host = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let loaded = host.load_now(&wasm);
            // A refusal is not kept: whoever sends bad bytes again pays for them again.
            let bytes = loaded.as_ref().ok().map(|loaded| loaded.bytes);
            host.cache.settle(&key, &cell, loaded, bytes);
        });
    }

    /// Loads on this thread. A translator that panics has met a module that it cannot take, and the
    /// jobs that wait have to learn of it; the panic itself is in the process's log.
    fn load_now(&self, wasm: &[u8]) -> Result<Arc<Loaded>, RunError> {
        self.translations.fetch_add(1, Ordering::Relaxed);
        let load = || Loaded::new(wasm, self.config.stack_bytes_max).map(Arc::new);
        panic::catch_unwind(AssertUnwindSafe(load))
            .unwrap_or_else(|_| Err(RunError::Runtime(Arc::new(TranslatorPanicked))))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the translator panicked")]
struct TranslatorPanicked;

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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
