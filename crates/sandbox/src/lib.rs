//! Runs one WebAssembly module under limits, and reports how it ended.
//!
//! A [`Job`] goes in; an [`Exit`] comes out. A guest that traps or runs into a limit is an `Exit`
//! too: the runtime did its work. A [`RunError`] means that the job cannot run as it was asked to.
//!
//! - [`job`] – the module, the entry point, the arguments, the limits
//! - [`stdin`] – what a guest reads, of any length
//! - [`capabilities`] – what a guest may reach beyond its sandbox
//! - [`chunks`] – jobs whose input is split, executed and merged
//! - [`exit`] – how a guest ended, what it printed, what it used
//! - [`transcript`] – what a guest has printed so far, readable while it runs
//! - [`hint`] – what to do about an end that nobody wanted
//! - [`runtime`] – the port, [`Runtime`], and its errors
//! - [`config`] – what the operator decides about an engine
//! - `engine` – the port on wasmtime, `WasmtimeRuntime`; feature `wasmtime`, on by default
//! - `process` – the port on wasmtime with a locked process for each guest, on Linux
//! - `external` – the port on another runtime's program, on Linux
//! - `interpreter` – the port on wasmi, `InterpreterRuntime`; feature `interpreter`
//! - [`scripted`] – the port as a script, for the tests of whoever calls it
//!
//! Guests get arguments, environment, the three standard streams, clocks and randomness. They get
//! no files and no network but what their job lists. Nothing is written to disk, neither modules nor compiled code; core
//! dumps and swap are for whoever starts the process to turn off.

#[cfg(not(any(feature = "wasmtime", feature = "interpreter")))]
compile_error!("propeller-sandbox has no engine: turn on its feature `wasmtime` or `interpreter`");

mod bulk;
mod cache;
pub mod capabilities;
pub mod chunks;
pub mod config;
mod cpu;
#[cfg(feature = "wasmtime")]
pub mod engine;
mod excerpt;
pub mod exit;
mod exports;
#[cfg(all(target_os = "linux", feature = "wasmtime"))]
pub mod external;
pub mod hint;
#[cfg(feature = "interpreter")]
pub mod interpreter;
pub mod job;
mod making;
mod numbers;
#[cfg(all(target_os = "linux", feature = "wasmtime"))]
pub mod process;
pub mod runtime;
pub mod scripted;
mod shelf;
pub mod stdin;
mod threads;
pub mod transcript;

pub use capabilities::{Capabilities, OpenDirectory, ReachableHost};
pub use config::{Allocator, EngineConfig, Metering, StartError};
#[cfg(feature = "wasmtime")]
pub use engine::WasmtimeRuntime;
pub use exit::{Exit, Limit, LimitHit, Status, Trap, Usage};
#[cfg(feature = "interpreter")]
pub use interpreter::InterpreterRuntime;
pub use job::{Entry, Job, ModuleKey};
pub use runtime::{RunError, Runtime};
pub use scripted::{Act, Scripted};
pub use stdin::{STDIN_IN_MEMORY_MAX, Stdin};
pub use transcript::{Piece, Transcript};
