//! The engine in two halves, for guests in a process of their own.
//!
//! The [`Compiler`] is in the process that has the modules; it compiles, caches and checks the call,
//! so that whatever is wrong with a job is said in the same words in both modes. The [`Runner`] is
//! in the process of the guest. It gets compiled code, compiles nothing and starts no threads.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use propeller_model::{self as model, Stream};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::call::{Call, LinkedModule};
use super::code::{BACKTRACE_FRAMES_MAX, Code};
use super::excerpt::excerpt;
use super::guest;
use super::output::Output;
use super::world::{Half, Worlds};
use super::{Compiled, EngineConfig, Host, Ready, StartError};
use crate::config::{Allocator, Metering};
use crate::exit::Exit;
use crate::job::Job;
use crate::process::memfd;
use crate::runtime::RunError;

pub(crate) use super::output::Sink;
pub(crate) use super::seeds::{Seed, seed};

/// How a trap names a function; see `verdict`.
const FRAME: &str = "    at ";

/// A reason and as many functions as a trap names at most.
const TRAP_LINES_MAX: usize = 1 + BACKTRACE_FRAMES_MAX.get();

/// Compiles jobs' modules, once for each.
pub(crate) struct Compiler(Arc<Host>);

/// A job that can run in another process.
pub(crate) struct Prepared {
    ready: Ready,
    told: Arc<model::Engine>,
}

impl Compiler {
    pub(crate) fn new(config: EngineConfig, metering: Metering) -> Result<Self, StartError> {
        // A process has one guest in its life, and none runs here.
        let config = EngineConfig {
            allocator: Allocator::OnDemand,
            ..config
        };
        Ok(Self(Arc::new(Host::new(
            config, "process", metering, sealed,
        )?)))
    }

    /// Makes `job` ready, and its limits what they are here.
    pub(crate) async fn prepare(&self, job: &mut Job) -> Result<Prepared, RunError> {
        if !job.capabilities.is_empty() {
            return Err(RunError::GrantsInProcess);
        }
        Ok(Prepared {
            ready: self.0.ready(job).await?,
            told: self.0.worlds.told(job),
        })
    }

    /// Compiles a module that is ours for `job`, on this thread, past the cache.
    pub(crate) fn image(&self, job: &Job, wasm: &[u8]) -> Result<OwnedFd, RunError> {
        let worlds = &self.0.worlds;
        let code = Code::compile(worlds.side(worlds.of(job)), wasm)?;
        image(&code)
    }

    pub(crate) fn compilations(&self) -> u64 {
        self.0.shelf.made()
    }

    /// Drops compiled code when its time is over, for as long as it is polled.
    pub(crate) fn forget(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.0.shelf).forget()
    }
}

impl Prepared {
    /// The compiled code, sealed.
    pub(crate) fn image(&self) -> &OwnedFd {
        let image = self.ready.found.value.image.as_ref();
        image.expect("this compiler ends every compilation with an image")
    }

    /// What the code is of.
    pub(crate) fn kind(&self) -> Kind {
        match self.ready.found.value.code {
            Code::Module(_) => Kind::Module,
            Code::Component(_) => Kind::Component,
        }
    }

    /// Adds to the end of a guest what came before it.
    pub(crate) fn account(&self, exit: Exit) -> Exit {
        self.ready.account(exit, Arc::clone(&self.told))
    }
}

fn sealed(code: Code) -> Result<Compiled, RunError> {
    let image = Some(Arc::new(image(&code)?));
    Ok(Compiled { code, image })
}

fn image(code: &Code) -> Result<OwnedFd, RunError> {
    memfd::sealed("code", &code.image()?).map_err(|error| RunError::Runtime(Arc::new(error)))
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

/// Code that is in this process and not linked.
pub(crate) enum Unlinked {
    Module(Module),
    Component(Component),
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

    pub(crate) fn link(&self, code: &Unlinked, job: &Job) -> wasmtime::Result<Loaded> {
        let linkers = &self.half(job).linkers;
        let linked = match code {
            Unlinked::Module(module) => {
                let linked = linkers.modules.instantiate_pre(module)?;
                Code::Module(LinkedModule::new(linked))
            }
            Unlinked::Component(component) => {
                // Of memory files, which a process cannot make once a guest is in it. Without them
                // the guest would fill its memories itself, and pay for it with its fuel.
                component.initialize_copy_on_write_image()?;
                Code::Component(linkers.components.instantiate_pre(component)?)
            }
        };
        Ok(Loaded(linked))
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
