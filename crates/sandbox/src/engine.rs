//! The port on wasmtime.
//!
//! ```text
//!  run(job) ──► a task on our threads ──► shelf ──► call ──► guest ──► Exit
//!                  ▲ aborted when the        │        │         │
//!                    caller's future drops   │        │         └ verdict, memory, output
//!                                            │        └ values
//!                                            └ code (compiled once per key)
//! ```
//!
//! Guests run on threads of their own, so that a guest that computes cannot keep the caller's
//! heartbeats waiting. The ticker makes every guest yield each 5 ms; a guest that has yielded
//! can be timed out, aborted or followed by another one. What cannot be interrupted is one call of
//! the host, which is bounded; bulk instructions come in pieces.

mod call;
mod chunked;
mod code;
mod component;
mod guest;
mod input;
mod memory;
mod network;
mod output;
mod parts;
mod poll;
mod pool;
mod remembered;
mod seeds;
mod service;
#[cfg(target_os = "linux")]
pub(crate) mod split;
mod ticker;
pub(crate) mod values;
mod verdict;
mod virtual_time;
mod world;

use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::{fmt, mem};

use propeller_model as model;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use wasmtime::Engine;

use crate::config::{self, Allocator, EngineConfig, Metering, StartError};
use crate::excerpt;
use crate::exit::Exit;
use crate::job::{Job, ModuleKey};
use crate::making;
use crate::runtime::{RunError, Runtime};
use crate::shelf::{Found, Shelf};
use crate::threads::{self, Threads};

use call::Call;
use code::{Code, Unlinked};
use parts::AtOneGo;
use service::Service;
use ticker::Ticker;
use world::{Half, Key, World, Worlds};

/// Runs jobs on wasmtime, each in a store of its own.
///
/// It owns its threads. Dropping it stops them without waiting, also from asynchronous code.
pub struct WasmtimeRuntime {
    /// What drops compiled code when its time is over.
    _forgetting: JoinSet<()>,
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
        Self::with(config, Box::new(Compiled::here))
    }

    /// As [`new`](Self::new), and has `program` compile, in a process of its own for each module:
    /// one that takes longer than `compile_max` is ended. The program has to call
    /// [`enter_if_child`](crate::process::enter_if_child) first; `/proc/self/exe` is the running one.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[cfg(target_os = "linux")]
    pub fn with_compiler(
        config: EngineConfig,
        program: std::path::PathBuf,
    ) -> Result<Self, StartError> {
        Self::with(config, split::made_by(program, &config, |_| None))
    }

    fn with(config: EngineConfig, make: Make) -> Result<Self, StartError> {
        let threads = Threads::start(config.threads).map_err(StartError::Threads)?;
        let host = Host::new(config, "in-process", Metering::Full, make)?;
        let mut forgetting = JoinSet::new();
        forgetting.spawn_on(Arc::clone(&host.shelf).forget(), threads.handle());
        Ok(Self {
            _forgetting: forgetting,
            threads,
            host: Arc::new(host),
        })
    }

    /// How many guests are running.
    pub fn running(&self) -> usize {
        self.host.ticker.guests()
    }

    /// How many modules have been compiled so far.
    pub fn compilations(&self) -> u64 {
        self.host.shelf.made()
    }
}

impl Runtime for WasmtimeRuntime {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        let (host, threads) = (&self.host, self.threads.handle());
        let mut job = job;
        Box::pin(async move {
            if threads::is_here(threads) {
                return threads::in_place(pin!(host.run(&mut job))).await;
            }
            // Boxed on the thread that it stays on: what is moved there, and allocated here and
            // freed there, is small.
            let (host, mut job) = (Arc::clone(host), Box::new(job));
            threads::run_on(threads, async move { Box::pin(host.run(&mut job)).await }).await
        })
    }

    fn threads(&self) -> Option<&Handle> {
        Some(self.threads.handle())
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
    shelf: Arc<Shelf<Key, Compiled>>,
    ticker: Ticker,
    /// How many more guests have room in the pool.
    places: Semaphore,
    /// The same for requests to services, so that whoever sends them takes no place from a task.
    service_places: Semaphore,
    stack_bytes: u64,
    /// How modules are compiled.
    make: Make,
}

/// Compiles a module, in this process or in another one.
type Make = Box<dyn Fn(&Half, &[u8]) -> Result<Compiled, RunError> + Send + Sync>;

/// What the cache keeps of a module.
struct Compiled {
    code: Code,
    /// The code for another process, if guests run in one.
    image: Option<Arc<OwnedFd>>,
    /// Why its guests may have less memory than others, if they may.
    at_one_go: Option<AtOneGo>,
}

impl Compiled {
    /// Compiles on this thread and those of the compiler.
    fn here(half: &Half, wasm: &[u8]) -> Result<Self, RunError> {
        let code = Unlinked::compile(&half.engine, half.target(), wasm)?;
        Ok(Self {
            code: Code::link(&half.linkers, &code)?,
            image: None,
            at_one_go: None,
        })
    }
}

/// What a job asks of its code, which can give that.
enum Asked<'code> {
    Call(Call<'code>),
    /// To be called again and again, by whoever sends requests.
    Service(Service),
}

impl<'code> Asked<'code> {
    fn of(code: &'code Code, job: &Job) -> Result<Self, RunError> {
        Ok(match Service::asked(code, job)? {
            Some(service) => Self::Service(service),
            None => Self::Call(Call::resolve(code, job)?),
        })
    }
}

/// Adds to the end of a guest what came before it.
fn accounted(mut exit: Exit, found: &Found<Compiled>, engine: Arc<model::Engine>) -> Exit {
    exit.engine = Some(engine);
    found.account(&mut exit.usage);
    exit
}

impl Host {
    fn new(
        config: EngineConfig,
        isolation: &str,
        metering: Metering,
        make: Make,
    ) -> Result<Self, StartError> {
        let refused = |error: wasmtime::Error| StartError::Engine(error.into_boxed_dyn_error());
        let worlds = Worlds::new(
            config.stack_bytes_max,
            isolation,
            config.allocator,
            metering,
        );
        let worlds = worlds.map_err(refused)?;
        let places = match config.allocator {
            Allocator::OnDemand => 0,
            Allocator::Pooling { guests_max } => usize::try_from(guests_max.max(1)).unwrap_or(1),
        };
        Ok(Self {
            shelf: Shelf::new(&config),
            ticker: Ticker::start(worlds.engines()).map_err(StartError::Threads)?,
            worlds,
            places: Semaphore::new(places),
            service_places: Semaphore::new(pool::SERVICE_PLACES),
            stack_bytes: config.stack_bytes_max,
            make,
        })
    }

    /// A place in the pool, for a guest that lives there. It has to be held for longer than the guest.
    async fn place(&self, engine: &Engine) -> Result<Option<SemaphorePermit<'_>>, RunError> {
        if !self.worlds.is_pooled(engine) {
            return Ok(None);
        }
        if let Ok(place) = self.places.try_acquire() {
            return Ok(Some(place));
        }
        let place = self.places.acquire().await;
        place.map(Some).map_err(|_| RunError::Stopped)
    }

    async fn run(self: &Arc<Self>, job: &mut Job) -> Result<Exit, RunError> {
        let found = self.found(job).await?;
        let exit = match Self::asked(&found, job).await? {
            Asked::Call(call) => {
                let _place = self.place(call.engine()).await?;
                let _slot = self.ticker.enter();
                guest::run(&call, job).await?
            }
            // Boxed, because it would make every guest's future twice as large.
            Asked::Service(service) => Box::pin(service.serve(Arc::clone(self), job)).await?,
        };
        Ok(accounted(exit, &found, self.worlds.told(job)))
    }

    /// The code of a job, whose limits become what they are here.
    async fn found(self: &Arc<Self>, job: &mut Job) -> Result<Found<Compiled>, RunError> {
        job.has_fitting_stdin()?;
        let world = self.worlds.of(job);
        // Lent for the look-up, which is done for every job.
        let module = ModuleKey {
            tenant: mem::take(&mut job.key.tenant),
            digest: job.key.digest,
        };
        let key = Key { module, world };
        let compile = || {
            let host = Arc::clone(self);
            move |wasm: &[u8]| host.compile(world, wasm)
        };
        let found = self.shelf.get(&key, &job.wasm, compile).await;
        job.key = key.module;
        let found = found?;
        let Compiled {
            code,
            image,
            at_one_go,
        } = found.value();
        if job.capabilities.has_network() && matches!(code, Code::Module(_)) {
            return Err(RunError::NoSockets);
        }
        job.limits = config::enforced(job.limits, self.stack_bytes);
        let is_killed = image.is_some() && world != World::Virtual;
        if let Some(at_one_go) = at_one_go.filter(|_| !is_killed) {
            let limits = [Some(&mut job.limits), job.daemon.as_mut()];
            let mut limits = limits.into_iter().flatten();
            limits.try_for_each(|limits| at_one_go.lower(limits))?;
        }
        Ok(found)
    }

    /// What a job asks of its code, once its input is there.
    async fn asked<'found>(
        found: &'found Found<Compiled>,
        job: &mut Job,
    ) -> Result<Asked<'found>, RunError> {
        let asked = Asked::of(&found.value().code, job)?;
        if let Asked::Call(call) = &asked {
            job.gather_stdin(call.takes_stdin_as_a_whole()).await?;
        }
        Ok(asked)
    }

    /// The compiled code and its size.
    fn compile(&self, world: World, wasm: &[u8]) -> Result<(Compiled, u64), RunError> {
        let kept = making::bounded(wasm)?;
        let mut compiled = (self.make)(self.worlds.side(world).half(wasm), wasm)?;
        compiled.at_one_go = AtOneGo::of(wasm);
        // Beside its code, an engine keeps about as much of a component as its guests take.
        let bytes = compiled.code.bytes().saturating_add(kept);
        Ok((compiled, bytes))
    }
}
