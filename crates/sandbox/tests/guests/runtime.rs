//! What runs the guests of these tests: this process.

use propeller_sandbox::WasmtimeRuntime;

use crate::conformance::{Column, wasmtime};
use crate::support::CONFIG;

pub(crate) const COLUMN: Column = Column {
    name: "in-process",
    differences: wasmtime::DIFFERENCES,
};

pub(crate) fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine")
}
