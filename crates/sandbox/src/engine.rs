//! The port on wasmtime.
//!
//! ```text
//!  run(job) ──► a task on our threads ──► cache ──► call ──► guest ──► Exit
//!                  ▲ aborted when the        │        │         │
//!                    caller's future drops   │        │         └ verdict, memory, output
//!                                            │        └ values
//!                                            └ code (compiled once per key)
//! ```
//!
//! Guests run on threads of their own, so that a guest that computes cannot keep the caller's
//! heartbeats waiting. The ticker makes every guest yield each 5 ms; a guest that has yielded
//! can be timed out, aborted or followed by another one. What cannot be interrupted is one host
//! call or one bulk instruction; a `memory.fill` of 256 MiB takes more than a tenth of a second.
//!
//! A compilation cannot be interrupted either: a job that is dropped, or has waited long enough,
//! leaves it to finish. It is shared, and its result is cached.

mod call;
mod code;
mod component;
mod guest;
mod memory;
mod network;
mod output;
mod poll;
mod pool;
mod seeds;
#[cfg(target_os = "linux")]
pub(crate) mod split;
mod ticker;
pub(crate) mod values;
mod verdict;
mod virtual_time;
mod world;

use std::fmt;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use crate::cache::{Cache, Cell};
use crate::config::{self, Allocator, EngineConfig, StartError};
use crate::cpu::micros;
use crate::excerpt;
use crate::exit::Exit;
use crate::job::Job;
use crate::runtime::{RunError, Runtime};
use crate::threads::Threads;

use call::Call;
use code::Code;
use ticker::Ticker;
use world::{Key, World, Worlds};

/// Runs jobs on wasmtime, each in a store of its own.
///
/// It owns its threads. Dropping it stops them without waiting, also from asynchronous code.
pub struct WasmtimeRuntime {
    threads: Threads,
    host: Arc<Host>,
}

impl WasmtimeRuntime {
    /// Starts the threads and prepares what all guests share.
    ///
    /// # Errors
    ///
    /// [`StartError`] if this machine cannot run guests that way.
    pub fn new(config: EngineConfig) -> Result<Self, StartError> {
        Ok(Self {
            threads: Threads::start(config.threads).map_err(StartError::Threads)?,
            host: Arc::new(Host::new(config, "in-process", Compiled::for_this_process)?),
        })
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.ticker.guests()
    }

    /// How many modules have been compiled so far.
    pub fn compilations(&self) -> u64 {
        self.host.compilations.load(Ordering::Relaxed)
    }
}

impl Runtime for WasmtimeRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            // A set of one, because dropping a set aborts what is in it.
            let mut tasks = JoinSet::new();
            // Boxed, because on its way to its thread a task is moved several times.
            let run = Box::pin(Arc::clone(&self.host).run(job));
            tasks.spawn_on(run, self.threads.handle());
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

impl fmt::Debug for WasmtimeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmtimeRuntime")
            .field("running", &self.running())
            .field("compilations", &self.compilations())
            .finish_non_exhaustive()
    }
}

/// What all guests share. Nothing in it remembers a guest but compiled code.
struct Host {
    worlds: Worlds,
    cache: Cache<Key, Result<Compiled, RunError>>,
    ticker: Ticker,
    compilations: AtomicU64,
    /// How many more guests have room in the pool.
    places: Semaphore,
    stack_bytes: u64,
    module_bytes_max: u64,
    compile_max: Duration,
    /// What is made of new code before it is kept.
    finish: Finish,
}

/// What a compilation ends with: the code as it is, or also an image for another process.
type Finish = fn(Code) -> Result<Compiled, RunError>;

/// What the cache keeps of a module.
#[derive(Clone)]
struct Compiled {
    code: Code,
    /// The code for another process, if guests run in one.
    image: Option<Arc<OwnedFd>>,
}

impl Compiled {
    fn for_this_process(code: Code) -> Result<Self, RunError> {
        Ok(Self { code, image: None })
    }
}

/// A job that can run: its code is there, and the call fits it.
struct Ready {
    compiled: Compiled,
    call: Call,
    /// How long the job waited for its code; not at all if that was there.
    waited: Option<Duration>,
}

impl Ready {
    /// Adds to the end of a guest what came before it.
    fn account(&self, mut exit: Exit, engine: Arc<propeller_model::Engine>) -> Exit {
        exit.engine = Some(engine);
        exit.usage.module_cached = self.waited.is_none();
        exit.usage.compile_us = self.waited.map_or(0, micros);
        exit
    }
}

impl Host {
    fn new(config: EngineConfig, isolation: &str, finish: Finish) -> Result<Self, StartError> {
        let refused = |error: wasmtime::Error| StartError::Engine(error.into_boxed_dyn_error());
        let worlds = Worlds::new(config.stack_bytes_max, isolation, config.allocator);
        let worlds = worlds.map_err(refused)?;
        let places = match config.allocator {
            Allocator::OnDemand => 0,
            Allocator::Pooling { guests_max } => usize::try_from(guests_max.max(1)).unwrap_or(1),
        };
        Ok(Self {
            cache: Cache::new(config.cache_entries_max, config.cache_bytes_max),
            ticker: Ticker::start(worlds.engines()).map_err(StartError::Threads)?,
            worlds,
            compilations: AtomicU64::new(0),
            places: Semaphore::new(places),
            stack_bytes: config.stack_bytes_max,
            module_bytes_max: config.module_bytes_max,
            compile_max: config.compile_max,
            finish,
        })
    }

    /// A place in the pool, for a guest that lives there. It has to be held for longer than the guest.
    async fn place(&self, ready: &Ready) -> Result<Option<SemaphorePermit<'_>>, RunError> {
        if !self.worlds.is_pooled(ready.call.engine()) {
            return Ok(None);
        }
        let place = self.places.acquire().await;
        place.map(Some).map_err(|_| RunError::Stopped)
    }

    async fn run(self: Arc<Self>, mut job: Job) -> Result<Exit, RunError> {
        let ready = self.ready(&mut job).await?;
        let _place = self.place(&ready).await?;
        let _slot = self.ticker.enter();
        let exit = guest::run(&ready.call, &job).await?;
        Ok(ready.account(exit, self.worlds.told(job.profile)))
    }

    /// Everything that comes before the guest: its code, the limits as they hold here, the call.
    async fn ready(self: &Arc<Self>, job: &mut Job) -> Result<Ready, RunError> {
        let len = job.wasm.len() as u64;
        if len > self.module_bytes_max {
            let len_max = self.module_bytes_max;
            return Err(RunError::TooLarge { len, len_max });
        }
        let key = Key {
            module: job.key.clone(),
            world: World::of(job.profile),
        };
        let (compiled, waited) = self.code(key, &job.wasm).await?;
        if job.capabilities.has_network() && matches!(compiled.code, Code::Module(_)) {
            return Err(RunError::NoSockets);
        }
        job.limits = config::enforced(job.limits, self.stack_bytes);
        Ok(Ready {
            call: Call::resolve(&compiled.code, job)?,
            compiled,
            waited,
        })
    }

    /// The compiled module of `key`, and how long that took if it was not ready.
    async fn code(
        self: &Arc<Self>,
        key: Key,
        wasm: &Bytes,
    ) -> Result<(Compiled, Option<Duration>), RunError> {
        let claim = self.cache.claim(&key);
        if let Some(compiled) = claim.cell.get() {
            return Ok((compiled.clone()?, None));
        }
        let arrived = Instant::now();
        if claim.first {
            self.compile(key, wasm.clone(), Arc::clone(&claim.cell));
        }
        // The compilation goes on, for whoever asks next.
        let compiled = tokio::time::timeout(self.compile_max, claim.cell.wait()).await;
        let compiled = compiled.map_err(|_| RunError::CompileTime {
            limit_ms: u64::try_from(self.compile_max.as_millis()).unwrap_or(u64::MAX),
        })?;
        Ok((compiled.clone()?, Some(arrived.elapsed())))
    }

    /// Fills `cell`, on a thread that no job owns: a job that is dropped while it waits does not
    /// take the compilation away from the others. Whoever waits, waits on the cell; only a shutdown
    /// leaves it empty, and that ends them too.
    fn compile(self: &Arc<Self>, key: Key, wasm: Bytes, cell: Cell<Result<Compiled, RunError>>) {
        let host = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let compiled = host.compile_now(key.world, &wasm);
            // A refusal is not kept: whoever sends bad bytes again pays for them again.
            let bytes = compiled.as_ref().ok().map(|compiled| compiled.code.bytes());
            host.cache.settle(&key, &cell, compiled, bytes);
        });
    }

    /// Compiles on this thread. A compiler that panics has met a module that it cannot take, and
    /// the jobs that wait have to learn of it; the panic itself is in the process's log.
    fn compile_now(&self, world: World, wasm: &[u8]) -> Result<Compiled, RunError> {
        self.compilations.fetch_add(1, Ordering::Relaxed);
        let side = self.worlds.side(world);
        let compile = || Code::compile(side, wasm).and_then(self.finish);
        panic::catch_unwind(AssertUnwindSafe(compile))
            .unwrap_or_else(|_| Err(RunError::Runtime(Arc::new(CompilerPanicked))))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the compiler panicked")]
struct CompilerPanicked;
