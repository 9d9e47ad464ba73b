//! What runs the guests of these tests: the interpreter.

use propeller_sandbox::InterpreterRuntime;

use crate::conformance::{Column, wasmtime};
use crate::support::CONFIG;

/// Its WASI preview 1 is our own, and follows Wasmtime's where that is not what the documents say, so
/// that a guest ends alike on both engines: the list and its reasons are the same.
pub(crate) const COLUMN: Column = Column {
    name: "interpreter",
    differences: wasmtime::DIFFERENCES,
};

pub(crate) fn runtime() -> InterpreterRuntime {
    InterpreterRuntime::new(CONFIG).expect("the interpreter starts on this machine")
}

/// The interpreter keeps no names of functions.
pub(crate) const BACKTRACES: bool = false;
