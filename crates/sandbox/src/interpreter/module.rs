//! From bytes to a module that can be interpreted, and what is accepted.

use wasmi::{CompilationMode, Config, Engine, Error, ExternType, FuncType, Linker, Module};

use super::guest::Guest;
use super::{start, wasi};
use crate::bulk;
use crate::excerpt::excerpt;
use crate::runtime::RunError;

/// How every binary module and every component begins.
const MAGIC: &[u8] = b"\0asm";

/// What follows [`MAGIC`] in a component; a module has another version and layer there.
const COMPONENT_LAYER: &[u8] = &[1, 0];

/// What a stack starts with; wasmi makes none that is empty.
const STACK_BYTES_MIN: usize = 1024;

/// How much of the stack one active call may take on average before calls, and not values, end a
/// guest. It bounds the frames, which wasmi keeps apart from the values.
const STACK_BYTES_PER_CALL: usize = 64;

/// What a module takes in memory for each of its bytes, about: wasmi's instructions are wider than
/// WebAssembly's.
const BYTES_PER_BYTE: u64 = 12;

/// A module, with all that it is linked to.
///
/// It has an engine of its own, because an engine keeps the code of its modules for as long as it
/// lives.
pub(super) struct Loaded {
    pub(super) module: Module,
    pub(super) linker: Linker<Guest>,
    /// The name under which the start function is exported, if there is one.
    pub(super) start: Option<String>,
    /// What it takes in memory, about.
    pub(super) bytes: u64,
}

impl Loaded {
    /// Validates and translates `wasm`, and checks that the host offers all it imports.
    pub(super) fn new(wasm: &[u8], stack_bytes: u64) -> Result<Self, RunError> {
        let version = wasm.strip_prefix(MAGIC).ok_or(RunError::NotWasm)?;
        if version.get(2..4) == Some(COMPONENT_LAYER) {
            return Err(RunError::ComponentInterpreted);
        }
        let engine = engine(stack_bytes);
        // What is changed is ours: errors and offsets have to be about what was sent.
        let sent = || Module::validate(&engine, wasm).map_err(|error| invalid(&error));
        let (lifted, start) = match start::lifted(wasm) {
            Some(lifted) => {
                // A function may be fit for an export and not for a start.
                sent()?;
                (Some(lifted.wasm), Some(lifted.name))
            }
            None => (None, None),
        };
        let pieced = bulk::in_pieces(lifted.as_deref().unwrap_or(wasm), bulk::PIECES);
        let pieced = pieced.or_else(|unreadable| {
            sent()?;
            let reason = unreadable.to_string();
            Err(RunError::Invalid { reason })
        });
        let changed = pieced?.or(lifted);
        let module = Module::new(&engine, changed.as_deref().unwrap_or(wasm));
        let module = match module {
            Ok(module) => module,
            Err(error) => {
                sent()?;
                return Err(invalid(&error));
            }
        };
        offered(&module)?;
        Ok(Self {
            linker: wasi::linker(&engine),
            module,
            start,
            bytes: (wasm.len() as u64).saturating_mul(BYTES_PER_BYTE),
        })
    }

    /// The type of the exported function called `name`, if there is one.
    pub(super) fn exported(&self, name: &str) -> Option<FuncType> {
        if self.start.as_deref() == Some(name) {
            return None;
        }
        self.module.get_export(name)?.func().cloned()
    }

    /// The names of all exported functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &str> {
        let start = self.start.as_deref();
        self.module
            .exports()
            .filter(|export| export.ty().func().is_some())
            .map(|export| export.name())
            .filter(move |name| start != Some(*name))
    }
}

/// What guests may be made of: the same as in wasmtime's `features`.
fn engine(stack_bytes: u64) -> Engine {
    let stack_bytes = usize::try_from(stack_bytes).unwrap_or(usize::MAX);
    let stack_bytes = stack_bytes.max(STACK_BYTES_MIN);
    let mut config = Config::default();
    config
        .wasm_bulk_memory(true)
        .wasm_extended_const(true)
        .wasm_multi_memory(true)
        .wasm_multi_value(true)
        .wasm_reference_types(true)
        .wasm_relaxed_simd(true)
        .wasm_simd(true)
        .wasm_tail_call(true)
        .wasm_custom_page_sizes(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .consume_fuel(true)
        // A later mode charges the guest for its own translation.
        .compilation_mode(CompilationMode::Eager)
        .ignore_custom_sections(true)
        .set_min_stack_height(STACK_BYTES_MIN)
        .set_max_stack_height(stack_bytes)
        .set_max_recursion_depth(stack_bytes / STACK_BYTES_PER_CALL)
        // A kept stack would be one guest's values in another one's memory.
        .set_max_cached_stacks(0);
    Engine::new(&config)
}

/// Checks that every import is one of ours.
fn offered(module: &Module) -> Result<(), RunError> {
    for import in module.imports() {
        let offered = wasi::function(import.module(), import.name());
        let Some(offered) = offered else {
            return Err(RunError::MissingImport {
                module: excerpt(import.module()),
                name: excerpt(import.name()),
            });
        };
        if !matches!(import.ty(), ExternType::Func(ty) if *ty == offered.ty()) {
            let name = excerpt(import.name());
            return Err(RunError::Invalid {
                reason: format!("import `{}.{name}` has another type", wasi::MODULE),
            });
        }
    }
    Ok(())
}

fn invalid(error: &Error) -> RunError {
    RunError::Invalid {
        reason: excerpt(&error.to_string()),
    }
}
