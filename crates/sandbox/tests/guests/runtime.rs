//! What runs the guests of these tests: this process.

use propeller_sandbox::WasmtimeRuntime;

use crate::support::CONFIG;

pub(crate) fn runtime() -> WasmtimeRuntime {
    WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine")
}
