//! What runs the guests of these tests: a process for each.

use propeller_sandbox::process::{AllowMissing, ProcessConfig, ProcessRuntime};
use propeller_sandbox::{EngineConfig, Metering};

use crate::conformance::{Column, wasmtime};
use crate::support::CONFIG;

pub(crate) const COLUMN: Column = Column {
    name: "process",
    differences: wasmtime::DIFFERENCES,
};

pub(crate) fn runtime() -> ProcessRuntime {
    with(CONFIG)
}

/// A runtime with another engine. What the machine lacks is not the subject of these tests.
pub(crate) fn with(engine: EngineConfig) -> ProcessRuntime {
    metered(engine, Metering::Full)
}

/// A runtime whose guests' code checks as much as `metering` says.
pub(crate) fn metered(engine: EngineConfig, metering: Metering) -> ProcessRuntime {
    let config = ProcessConfig {
        engine,
        metering,
        pool: 2,
        guests_max: 16,
        allow_missing: AllowMissing {
            landlock: true,
            namespaces: true,
        },
        program: env!("CARGO_BIN_EXE_sandbox-child").into(),
    };
    ProcessRuntime::new(config).expect("guests' processes start on this machine")
}

/// Whether traps name the functions that were active.
pub(crate) const BACKTRACES: bool = true;
