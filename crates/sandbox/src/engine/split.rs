//! The engine in two halves, for guests in a process of their own.
//!
//! The [`Compiler`] is in the process that has the modules; it has them compiled, keeps the code and
//! checks the call, so that whatever is wrong with a job is said in the same words in both modes. The [`Runner`] is
//! in the process of the guest. It gets compiled code, compiles nothing and starts no threads.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use propeller_model::{self as model, Stream};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::call::Call;
use super::code::{self, BACKTRACE_FRAMES_MAX, Code};
use super::excerpt::excerpt;
use super::guest;
use super::output::Output;
use super::world::{Half, Worlds};
use super::{Compiled, EngineConfig, Host, Make, StartError, WasmtimeRuntime, accounted};
use crate::config::{Allocator, Metering};
use crate::exit::Exit;
use crate::job::Job;
use crate::process::compiler::{Compilers, Image};
use crate::process::{self, AllowMissing, Mechanisms, memfd};
use crate::runtime::RunError;
use crate::shelf::Found;

pub(crate) use super::code::{Target, Unlinked};
pub(crate) use super::output::Sink;
pub(crate) use super::seeds::{Seed, seed};

/// How a trap names a function; see `verdict`.
const FRAME: &str = "    at ";

/// A reason and as many functions as a trap names at most.
const TRAP_LINES_MAX: usize = 1 + BACKTRACE_FRAMES_MAX.get();

/// Compiles jobs' modules, once for each.
pub(crate) struct Compiler {
    host: Arc<Host>,
    compilers: Arc<Compilers>,
}

/// A job that can run in another process.
pub(crate) struct Prepared {
    found: Found<Compiled>,
    told: Arc<model::Engine>,
}

impl Compiler {
    /// One that has `compilers` compile.
    pub(crate) fn new(
        config: EngineConfig,
        metering: Metering,
        compilers: Compilers,
    ) -> Result<Self, StartError> {
        // A process has one guest in its life, and none runs here.
        let config = EngineConfig {
            allocator: Allocator::OnDemand,
            ..config
        };
        let compilers = Arc::new(compilers);
        let make = making(Arc::clone(&compilers), |image| Some(Arc::new(image.file)));
        let host = Host::new(config, "process", metering, make)?;
        Ok(Self {
            host: Arc::new(host),
            compilers,
        })
    }

    /// Starts a process that compiles, only to see what holds it.
    pub(crate) fn probe(&self) -> Result<Mechanisms, process::StartError> {
        self.compilers.probe()
    }

    /// Makes `job` ready, and its limits what they are here.
    pub(crate) async fn prepare(&self, job: &mut Job) -> Result<Prepared, RunError> {
        if !job.capabilities.is_empty() {
            return Err(RunError::GrantsInProcess);
        }
        let found = self.host.found(job).await?;
        // Whether its code can be called that way is known before there is a process for it.
        Host::asked(&found, job).await?;
        let told = self.host.worlds.told(job);
        Ok(Prepared { found, told })
    }

    /// Compiles a module that is ours for `job`, on this thread, past the cache.
    pub(crate) fn image(&self, job: &Job, wasm: &[u8]) -> Result<OwnedFd, RunError> {
        let worlds = &self.host.worlds;
        let target = worlds.side(worlds.of(job)).on_demand.target();
        let code = target.image(wasm)?;
        memfd::sealed("code", &[&code]).map_err(|error| RunError::Runtime(Arc::new(error)))
    }

    pub(crate) fn compilations(&self) -> u64 {
        self.host.shelf.made()
    }

    /// Drops compiled code when its time is over, for as long as it is polled.
    pub(crate) fn forget(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.host.shelf).forget()
    }
}

impl Prepared {
    /// The compiled code, sealed.
    pub(crate) fn image(&self) -> &OwnedFd {
        let image = self.found.value().image.as_ref();
        image.expect("this compiler ends every compilation with an image")
    }

    /// What the code is of.
    pub(crate) fn kind(&self) -> Kind {
        match self.found.value().code {
            Code::Module(_) => Kind::Module,
            Code::Component(_) => Kind::Component,
        }
    }

    /// Adds to the end of a guest what came before it.
    pub(crate) fn account(&self, exit: Exit) -> Exit {
        accounted(exit, &self.found, Arc::clone(&self.told))
    }
}

impl WasmtimeRuntime {
    /// As [`with_compiler`](Self::with_compiler), and looks before anything is compiled at what holds
    /// such a process: says what of it is missing, and goes without only if that is allowed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if the process does not start or lacks what may not be missing,
    /// with the names.
    pub fn with_locked_compiler(
        config: EngineConfig,
        program: PathBuf,
        allow_missing: AllowMissing,
    ) -> Result<(Self, Mechanisms), process::StartError> {
        let compilers = compilers(program, &config, allow_missing);
        let held = compilers.probe()?;
        let runtime = Self::with(config, making(Arc::new(compilers), |_| None))?;
        Ok((runtime, held))
    }
}

/// Has `program` compile, with whatever holds it on this machine, and keeps of the code as another
/// process sees it what `kept` says. What is missing is in the log.
pub(super) fn made_by(
    program: PathBuf,
    config: &EngineConfig,
    kept: fn(Image) -> Option<Arc<OwnedFd>>,
) -> Make {
    let allow_missing = AllowMissing {
        landlock: true,
        namespaces: true,
    };
    let compilers = compilers(program, config, allow_missing);
    making(Arc::new(compilers), kept)
}

/// Processes of `program` that compile as `config` says.
pub(crate) fn compilers(
    program: PathBuf,
    config: &EngineConfig,
    allow_missing: AllowMissing,
) -> Compilers {
    let bounds = (config.compile_max, config.compile_memory_bytes_max);
    Compilers::new(program, allow_missing, bounds)
}

fn making(compilers: Arc<Compilers>, kept: fn(Image) -> Option<Arc<OwnedFd>>) -> Make {
    Box::new(move |half, wasm| {
        let kind = match code::is_component(wasm)? {
            true => Kind::Component,
            false => Kind::Module,
        };
        let image = compilers.compile(half.target(), kind, wasm)?;
        let code = Code::link(&half.linkers, &image.load(&half.engine)?)?;
        Ok(Compiled {
            code,
            image: kept(image),
            at_one_go: None,
        })
    })
}

/// Compiles `wasm`, in the process that is there for that.
pub(crate) fn compiled(target: Target, wasm: &[u8]) -> Result<Vec<u8>, RunError> {
    target.image(wasm)
}

/// Runs what a [`Compiler`] of the same configuration has compiled.
pub(crate) struct Runner {
    worlds: Worlds,
}

/// What compiled code is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Module,
    Component,
}

/// Code that is linked in this process.
pub(crate) struct Loaded(Code);

impl Runner {
    pub(crate) fn new(stack_bytes: u64, metering: Metering) -> wasmtime::Result<Self> {
        let worlds = Worlds::new(stack_bytes, "process", Allocator::OnDemand, metering)?;
        Ok(Self { worlds })
    }

    pub(crate) fn engine(&self, job: &Job) -> &Engine {
        &self.half(job).engine
    }

    pub(crate) fn link(&self, code: &Unlinked, job: &Job) -> Result<Loaded, RunError> {
        if let Unlinked::Component(component) = code {
            // Of memory files, which a process cannot make once a guest is in it. Without them
            // the guest would fill its memories itself, and pay for it with its fuel.
            let ready = component.initialize_copy_on_write_image();
            ready.map_err(|error| RunError::Runtime(Arc::from(error.into_boxed_dyn_error())))?;
        }
        Code::link(&self.half(job).linkers, code).map(Loaded)
    }

    fn half(&self, job: &Job) -> &Half {
        &self.worlds.side(self.worlds.of(job)).on_demand
    }

    /// Runs `job`, whose call the compiler has checked. Output goes to the sinks at once: whoever
    /// kills this process has what was written until then.
    pub(crate) async fn run(
        &self,
        loaded: &Loaded,
        job: &Job,
        seed: &Seed,
        stdout: Sink,
        stderr: Sink,
    ) -> Result<Exit, RunError> {
        let call = Call::resolve(&loaded.0, job)?;
        let stdout = Output::to_sink(Stream::Stdout, job, stdout);
        let stderr = Output::to_sink(Stream::Stderr, job, stderr);
        guest::run_with(&call, job, Some(*seed), stdout, stderr).await
    }
}

/// The message of a trap as another process tells it, made fit to show. What [`Runner`] says comes
/// out as it went in.
pub(crate) fn trap_message(told: &str) -> String {
    let lines = told.lines().take(TRAP_LINES_MAX);
    let lines: Vec<String> = lines
        .map(|line| match line.strip_prefix(FRAME) {
            Some(name) => format!("{FRAME}{}", excerpt(name)),
            None => excerpt(line),
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_trap_is_told_as_it_is() {
        let name = "x".repeat(200);
        let message = format!("wasm trap: reason\n{FRAME}{}", excerpt(&name));
        assert_eq!(trap_message(&message), message);
    }

    #[test]
    fn a_forged_trap_is_made_harmless() {
        assert_eq!(trap_message("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(trap_message(&"a\n".repeat(1000)).lines().count(), 21);
    }
}
