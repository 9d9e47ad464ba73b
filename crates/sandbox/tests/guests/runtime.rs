//! What runs the guests of these tests: this process.

use propeller_sandbox::{EngineConfig, WasmtimeRuntime};

use crate::conformance::{Column, wasmtime};
use crate::support::CONFIG;

pub(crate) const COLUMN: Column = Column {
    name: "in-process",
    differences: wasmtime::DIFFERENCES,
};

pub(crate) fn runtime() -> WasmtimeRuntime {
    with(CONFIG)
}

/// A runtime with another engine.
pub(crate) fn with(engine: EngineConfig) -> WasmtimeRuntime {
    WasmtimeRuntime::new(engine).expect("the engine starts on this machine")
}

/// Whether traps name the functions that were active.
pub(crate) const BACKTRACES: bool = true;
