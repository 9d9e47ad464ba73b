//! What runs the guests of these tests: the interpreter.

use propeller_sandbox::InterpreterRuntime;

use crate::support::CONFIG;

pub(crate) fn runtime() -> InterpreterRuntime {
    InterpreterRuntime::new(CONFIG).expect("the interpreter starts on this machine")
}

/// The interpreter keeps no names of functions.
pub(crate) const BACKTRACES: bool = false;
