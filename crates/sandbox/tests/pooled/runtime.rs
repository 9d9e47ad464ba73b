//! What runs the guests of these tests: this process, with a pool, and compilers in processes.

use propeller_sandbox::{Allocator, EngineConfig, WasmtimeRuntime};

use crate::conformance::{Column, wasmtime};
use crate::support::CONFIG;

pub(crate) const COLUMN: Column = Column {
    // The same column: which allocator it is makes no difference.
    name: "in-process",
    differences: wasmtime::DIFFERENCES,
};

pub(crate) fn runtime() -> WasmtimeRuntime {
    with(CONFIG)
}

/// A runtime with another engine, in a pool that is larger than what any of these tests runs at a
/// time.
pub(crate) fn with(engine: EngineConfig) -> WasmtimeRuntime {
    let engine = EngineConfig {
        allocator: Allocator::Pooling { guests_max: 128 },
        ..engine
    };
    let program = env!("CARGO_BIN_EXE_sandbox-child");
    WasmtimeRuntime::with_compiler(engine, program.into()).expect("the engine starts here")
}

/// Whether traps name the functions that were active.
pub(crate) const BACKTRACES: bool = true;
