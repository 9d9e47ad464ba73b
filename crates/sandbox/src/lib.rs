//! Runs one WebAssembly module under limits, and reports how it ended.
//!
//! A [`Job`] goes in; an [`Exit`] comes out. A guest that traps or runs into a limit is an `Exit`
//! too: the runtime did its work. A [`RunError`] means that the job cannot run as it was asked to.
//!
//! - [`job`] – the module, the entry point, the arguments, the limits
//! - [`capabilities`] – what a guest may reach beyond its sandbox
//! - [`exit`] – how a guest ended, what it printed, what it used
//! - [`transcript`] – what a guest has printed so far, readable while it runs
//! - [`hint`] – what to do about an end that nobody wanted
//! - [`runtime`] – the port, [`Runtime`], and its errors
//! - [`engine`] – the port on wasmtime, [`WasmtimeRuntime`]
//! - `process` – the port on wasmtime with a locked process for each guest, on Linux
//! - `external` – the port on another runtime's program, on Linux
//! - [`scripted`] – the port as a script, for the tests of whoever calls it
//!
//! Guests get arguments, environment, the three standard streams, clocks and randomness. They get
//! no files and no network but what their job lists. Nothing is written to disk, neither modules nor compiled code; core
//! dumps and swap are for whoever starts the process to turn off.

pub mod capabilities;
pub mod engine;
pub mod exit;
#[cfg(target_os = "linux")]
pub mod external;
pub mod hint;
pub mod job;
#[cfg(target_os = "linux")]
pub mod process;
pub mod runtime;
pub mod scripted;
pub mod transcript;

pub use capabilities::{Capabilities, OpenDirectory, ReachableHost};
pub use engine::{EngineConfig, StartError, WasmtimeRuntime};
pub use exit::{Exit, Limit, LimitHit, Status, Trap, Usage};
pub use job::{Entry, Job, ModuleKey};
pub use runtime::{RunError, Runtime};
pub use scripted::{Act, Scripted};
pub use transcript::{Piece, Transcript};
