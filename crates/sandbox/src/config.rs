//! What the operator decides about an engine, and why it does not start.

use std::error::Error;
use std::io;
use std::time::Duration;

use propeller_model::{Bound, Limits, SetBy};
use serde::{Deserialize, Serialize};

/// What the operator decides about the engine, once per process.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// The stack of every guest, at least 1. It is a property of the engine: a job with another
    /// bound gets this one, and errors name this one.
    pub stack_bytes_max: u64,
    /// The largest module, in bytes.
    pub module_bytes_max: u64,
    /// How long a job waits for its module to be compiled. A process that compiles for longer is
    /// ended; threads go on.
    pub compile_max: Duration,
    /// How much memory a process that compiles may have, its program included. Threads have no such
    /// limit.
    pub compile_memory_bytes_max: u64,
    /// How much compiled code is kept for later jobs, by the size of its image.
    pub cache_bytes_max: u64,
    /// How many compiled modules are kept for later jobs.
    pub cache_entries_max: usize,
    /// How long compiled code is kept after its last use; 0 keeps none.
    pub cache_ttl: Duration,
    /// How many threads guests share; 0 means 1.
    pub threads: usize,
    /// Where the guests of this process live.
    pub allocator: Allocator,
}

/// Where guests' memories, tables and stacks come from. A guest cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocator {
    /// From the operating system, for every guest anew.
    OnDemand,
    /// From a pool of address space, whose pages the operating system takes back between guests.
    /// Guests that could outgrow their place in it come from the operating system.
    Pooling {
        /// How many guests have a place at a time, at least 1; further guests wait for one.
        guests_max: u32,
    },
}

/// What guests' code checks while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metering {
    /// Fuel and interruption, at every turn of a loop and every call.
    #[default]
    Full,
    /// Nothing, for guests who ask for no fuel and are not deterministic: they end by time alone, in
    /// a process that is killed.
    Time,
}

/// Why the runtime did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Wasmtime refuses its configuration on this machine.
    #[error("cannot configure the WebAssembly engine")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    /// The operating system gives no threads.
    #[error("cannot start the threads for guests")]
    Threads(#[source] io::Error),
}

/// `limits` as an engine holds them: the stack is the engine's, whatever a job asks for.
pub(crate) fn enforced(limits: Limits, stack_bytes: u64) -> Limits {
    if limits.stack_bytes.value == stack_bytes {
        return limits;
    }
    let stack_bytes = Bound {
        value: stack_bytes,
        set_by: SetBy::Proplet,
    };
    Limits {
        stack_bytes,
        ..limits
    }
}
