//! From bytes to compiled code, and what the engine accepts.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::{self, Component};
use wasmtime::{Config, Engine, Linker, Module, UnknownImportError, WasmBacktraceDetails};

use super::call::LinkedModule;
use super::component::LinkedComponent;
use super::excerpt::excerpt;
use super::guest::Guest;
use super::pool;
use super::world::World;
use crate::bulk;
use crate::config::Allocator;
use crate::runtime::RunError;

/// What the host's own functions get of a guest's stack, beyond what the guest may use. Wasmtime's
/// defaults leave them 1.5 MiB; untouched pages cost nothing.
const HOST_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Address space of one memory.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Address space after it that faults.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// How many functions a trap names. The innermost few tell the story, after the ten of its own that
/// Rust takes to panic.
pub(super) const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not 0");

/// How every binary module and every component begins.
const MAGIC: &[u8] = b"\0asm";

/// What follows [`MAGIC`] in a component; a module has another version and layer there.
const COMPONENT_LAYER: &[u8] = &[1, 0];

/// The engine that compiles and runs the guests of `world`.
pub(super) fn engine(
    stack_bytes: u64,
    world: World,
    allocator: Allocator,
) -> wasmtime::Result<Engine> {
    let stack_bytes = usize::try_from(stack_bytes).unwrap_or(usize::MAX);
    let mut config = Config::new();
    let metered = world != World::Unmetered;
    config
        .consume_fuel(metered)
        .epoch_interruption(metered)
        // Wasmtime's defaults for 64 bits, written down: they decide where the code checks bounds,
        // and so what a trap has settled of its fuel.
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .max_wasm_stack(stack_bytes)
        .async_stack_size(stack_bytes.saturating_add(HOST_STACK_BYTES))
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX))
        // Debug information is input from strangers; names are enough.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if world == World::Virtual {
        config
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true);
    }
    if let Allocator::Pooling { guests_max } = allocator {
        pool::reserve(&mut config, guests_max);
    }
    features(&mut config);
    Engine::new(&config)
}

/// What guests may be made of: what compilers for WASI preview 1 emit.
fn features(config: &mut Config) {
    config
        .wasm_bulk_memory(true)
        .wasm_extended_const(true)
        .wasm_multi_memory(true)
        .wasm_multi_value(true)
        .wasm_reference_types(true)
        .wasm_relaxed_simd(true)
        .wasm_simd(true)
        .wasm_tail_call(true)
        // A shared memory grows past the limiter.
        .wasm_threads(false)
        // Preview 1 has pointers of 32 bits.
        .wasm_memory64(false)
        // A collected heap is a large attack surface that preview 1 programs have no need of.
        .wasm_exceptions(false)
        .wasm_function_references(false)
        .wasm_gc(false);
}

/// What guests of one world may import: the same for all of them, built once.
pub(super) struct Linkers {
    pub(super) modules: Linker<Guest>,
    pub(super) components: component::Linker<Guest>,
}

/// A module or component that is compiled and linked, ready for any number of guests. Clones share
/// it.
#[derive(Clone)]
pub(super) enum Code {
    Module(Arc<LinkedModule>),
    Component(Arc<LinkedComponent>),
}

/// What code is compiled for; another process can compile it for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(super) stack_bytes: u64,
    pub(super) world: World,
    pub(super) pooled: bool,
}

/// Code that is compiled and not linked.
pub(crate) enum Unlinked {
    Module(Module),
    Component(Component),
}

/// Whether bytes that begin like this are a component, or a module.
pub(super) fn is_component(wasm: &[u8]) -> Result<bool, RunError> {
    let version = wasm.strip_prefix(MAGIC).ok_or(RunError::NotWasm)?;
    Ok(version.get(2..4) == Some(COMPONENT_LAYER))
}

impl Target {
    /// Compiles `wasm` with `compile`, so that its guests look up in time.
    fn compile<T>(
        self,
        wasm: &[u8],
        compile: impl Fn(&[u8]) -> wasmtime::Result<T>,
    ) -> Result<T, RunError> {
        // A guest that checks nothing ends with its process, at any instruction.
        let pieced = match self.world {
            World::Unmetered => Ok(None),
            World::Real | World::Virtual => bulk::in_pieces(wasm, bulk::PIECES),
        };
        let compiled = match pieced {
            Ok(None) => compile(wasm),
            // The reason has to be about what was sent. If that is fine as it is, it is refused all
            // the same: nobody could stop it.
            Ok(Some(pieced)) => {
                compile(&pieced).map_err(|ours| compile(wasm).err().unwrap_or(ours))
            }
            Err(unreadable) => compile(wasm).and(Err(wasmtime::Error::new(unreadable))),
        };
        compiled.map_err(|error| invalid(&error))
    }

    /// Compiles `wasm` to bytes, for whoever has an engine for this target.
    #[cfg(target_os = "linux")]
    pub(super) fn image(self, wasm: &[u8]) -> Result<Vec<u8>, RunError> {
        let is_component = is_component(wasm)?;
        // No guest lives here, and code does not depend on how many there is room for.
        let allocator = match self.pooled {
            true => Allocator::Pooling { guests_max: 1 },
            false => Allocator::OnDemand,
        };
        let engine = engine(self.stack_bytes, self.world, allocator)
            .map_err(|error| RunError::Runtime(Arc::from(error.into_boxed_dyn_error())))?;
        match is_component {
            true => self.compile(wasm, |wasm| engine.precompile_component(wasm)),
            false => self.compile(wasm, |wasm| engine.precompile_module(wasm)),
        }
    }
}

impl Unlinked {
    /// Compiles `wasm` in this process, for `engine`.
    pub(super) fn compile(engine: &Engine, target: Target, wasm: &[u8]) -> Result<Self, RunError> {
        // `from_binary` rather than `new`, which would also take text.
        match is_component(wasm)? {
            true => target
                .compile(wasm, |wasm| Component::from_binary(engine, wasm))
                .map(Self::Component),
            false => target
                .compile(wasm, |wasm| Module::from_binary(engine, wasm))
                .map(Self::Module),
        }
    }
}

impl Code {
    /// Checks that the host offers all that the code imports.
    pub(super) fn link(linkers: &Linkers, code: &Unlinked) -> Result<Self, RunError> {
        let linked = match code {
            Unlinked::Module(module) => linkers
                .modules
                .instantiate_pre(module)
                .map(|linked| Self::Module(Arc::new(LinkedModule::new(linked)))),
            Unlinked::Component(component) => linkers
                .components
                .instantiate_pre(component)
                .map(|linked| Self::Component(Arc::new(LinkedComponent::new(linked)))),
        };
        linked.map_err(|error| unlinkable(&error))
    }

    /// The size of the compiled image, which is nearly all that is kept of a module.
    pub(super) fn bytes(&self) -> u64 {
        let image = match self {
            Self::Module(linked) => linked.module().image_range(),
            Self::Component(linked) => linked.component().image_range(),
        };
        (image.end.addr() - image.start.addr()) as u64
    }
}

fn invalid(error: &wasmtime::Error) -> RunError {
    RunError::Invalid {
        reason: excerpt(&format!("{error:#}")),
    }
}

fn unlinkable(error: &wasmtime::Error) -> RunError {
    match error.downcast_ref::<UnknownImportError>() {
        Some(import) => RunError::MissingImport {
            module: excerpt(import.module()),
            name: excerpt(import.name()),
        },
        None => invalid(error),
    }
}
