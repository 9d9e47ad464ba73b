//! How a guest ended, what it left behind and what it used.

use std::fmt;

use propeller_model::{Bound, Limits};
use serde::{Deserialize, Serialize};

/// The end of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: Status,
    /// The results of a function as text, several joined by a space. `None` for a command, for a
    /// function without results and for a guest that did not return.
    pub result: Option<String>,
    /// What it wrote to its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// What it used.
    pub usage: Usage,
}

impl From<Status> for Exit {
    /// The end of a guest that printed nothing, returned nothing and used nothing.
    fn from(status: Status) -> Self {
        Self {
            status,
            result: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            usage: Usage::default(),
        }
    }
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// A function came back.
    Returned,
    /// A guest called `proc_exit`, or `_start` came back, which is an exit with 0.
    Exited(i32),
    /// The guest did what WebAssembly or the host forbids.
    Trapped {
        /// The reason, then one line per function of the guest that was active.
        message: String,
    },
    /// The guest was ended because it asked for more than it may have.
    LimitHit(LimitHit),
}

/// The limit that ended a guest.
///
/// ```
/// use propeller_model::Limits;
/// use propeller_sandbox::{Limit, LimitHit};
///
/// let hit = LimitHit::new(Limit::Memory, &Limits::default());
/// assert_eq!(hit.to_string(), "limit: memory 268435456 bytes (set by default)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitHit {
    /// Which limit.
    pub limit: Limit,
    /// Its value, and who set it.
    pub bound: Bound,
}

impl LimitHit {
    /// The limit together with its value in `limits`.
    #[must_use]
    pub fn new(limit: Limit, limits: &Limits) -> Self {
        let bound = match limit {
            Limit::Memory => limits.memory_bytes,
            Limit::Fuel => limits.fuel,
            Limit::WallClock => limits.wall_ms,
            Limit::Stack => limits.stack_bytes,
            Limit::Stdout => limits.stdout_bytes,
            Limit::Stderr => limits.stderr_bytes,
            Limit::Result => limits.result_bytes,
            Limit::Handles => limits.handles,
        };
        Self { limit, bound }
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bound { value, set_by } = self.bound;
        let unit = self.limit.unit();
        write!(f, "limit: {} {value}{unit} (set by {set_by})", self.limit)
    }
}

/// Everything that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Linear memories and tables together.
    Memory,
    /// Executed instructions, about.
    Fuel,
    /// Time from instantiation to the end.
    WallClock,
    /// The call stack.
    Stack,
    /// Bytes written to standard output.
    Stdout,
    /// Bytes written to standard error.
    Stderr,
    /// The text of a function's results.
    Result,
    /// Open handles.
    Handles,
}

impl Limit {
    /// What follows the value in a message.
    fn unit(self) -> &'static str {
        match self {
            Self::Fuel | Self::Handles => "",
            Self::WallClock => " ms",
            Self::Memory | Self::Stack | Self::Stdout | Self::Stderr | Self::Result => " bytes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Fuel => "fuel",
            Self::WallClock => "wall clock",
            Self::Stack => "stack",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Result => "result",
            Self::Handles => "open handles",
        })
    }
}

/// What a guest used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel. Of a guest that the wall clock cut off, only what it had settled at its last call.
    pub fuel: u64,
    /// The most that linear memories and tables took together.
    pub memory_peak_bytes: u64,
    /// Time on a processor.
    pub cpu_us: u64,
    /// Arguments, environment and standard input.
    pub input_bytes: u64,
    /// Standard output, standard error and result.
    pub output_bytes: u64,
    /// How long the job waited for its compiled code; 0 if that was cached.
    pub compile_us: u64,
    /// From instantiation to the end.
    pub wall_us: u64,
    /// Whether compiled code was ready when the job arrived.
    pub module_cached: bool,
}
