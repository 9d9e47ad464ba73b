//! How a guest ended, what it left behind and what it used.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "wasmtime")]
use propeller_model::Profile;
use propeller_model::{Bound, Engine, Limits, SetBy};
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
    /// What ran it, where that is known.
    pub engine: Option<Arc<Engine>>,
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
            engine: None,
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
        /// The reason, for whoever looks for what to do.
        trap: Trap,
        /// The reason, then one line per function of the guest that was active.
        message: String,
    },
    /// The guest was ended because it asked for more than it may have.
    LimitHit(LimitHit),
    /// A deterministic guest was ended by what differs between machines: that is no result.
    Inconclusive(Inconclusive),
}

impl Status {
    /// This end as a guest of `profile` has it. Where results are to be the same everywhere, an end
    /// by stack or wall clock says something about this machine alone.
    #[must_use]
    #[cfg(feature = "wasmtime")]
    pub(crate) fn told_in(self, profile: Profile) -> Self {
        match self {
            Self::LimitHit(hit)
                if profile == Profile::Deterministic
                    && matches!(hit.limit, Limit::Stack | Limit::WallClock) =>
            {
                Self::Inconclusive(Inconclusive::LimitHit(hit))
            }
            status => status,
        }
    }
}

/// What ended a deterministic guest without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconclusive {
    /// A limit that another machine reaches later or never.
    #[error("inconclusive: {0}; another machine may get further, so this is no result")]
    LimitHit(LimitHit),
    /// The host could not give what the guest may have.
    #[error("inconclusive: the host has no memory left for the guest, so this is no result")]
    HostMemory,
}

/// What a guest did that is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trap {
    /// It came to an instruction that says so: a panic, an abort, a failed assertion.
    Unreachable,
    /// It read or wrote beyond its memory.
    MemoryOutOfBounds,
    /// It used an entry of a table that is not there.
    TableOutOfBounds,
    /// It called through an empty entry of a table.
    IndirectCallToNull,
    /// It called a function through a pointer of another type.
    BadSignature,
    /// It divided an integer by zero.
    DivisionByZero,
    /// The result of integer arithmetic does not fit.
    IntegerOverflow,
    /// It made an integer of a number that is none or does not fit.
    BadConversion,
    /// It waited for what nothing can bring any more.
    Deadlock,
    /// It broke a rule of the component model.
    ComponentRule,
    /// It asked its host for what the host refuses.
    HostCall,
    /// Something else.
    Other,
    /// It cut its input into what is no list of chunks.
    Chunks,
}

/// How many linear memories a guest may have. Each takes gigabytes of addresses and some entries of
/// the kernel's tables, however little of it is used; programs have one, components a few.
pub(crate) const MEMORIES_MAX: u64 = 100;

/// How many elements a table may have. It is made larger at one go, and meanwhile there twice; the
/// largest programs have some hundred thousand functions to put there.
pub(crate) const TABLE_ELEMENTS_MAX: u64 = 2 * 1024 * 1024;

/// What the host may have to keep for the instances of one guest, beside their memories and tables:
/// they are made at one go.
pub(crate) const INSTANCES_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What one call into a guest or from it may make the host copy or allocate. Wasmtime's 128 MiB
/// would let one `poll_oneoff` with millions of subscriptions take more memory than the guest
/// itself may have.
pub(crate) const HOST_COPY_BYTES_MAX: u64 = 16 * 1024 * 1024;

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
            Limit::Memories => fixed(MEMORIES_MAX),
            Limit::TableElements => fixed(TABLE_ELEMENTS_MAX),
            Limit::HostCopy => fixed(HOST_COPY_BYTES_MAX),
        };
        Self { limit, bound }
    }
}

/// What nobody can set.
const fn fixed(value: u64) -> Bound {
    let set_by = SetBy::Default;
    Bound { value, set_by }
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
    /// Linear memories, however small.
    Memories,
    /// The elements of one table.
    TableElements,
    /// What one call between host and guest copies.
    HostCopy,
}

impl Limit {
    /// What follows the value in a message.
    fn unit(self) -> &'static str {
        match self {
            Self::Fuel | Self::Handles | Self::Memories | Self::TableElements => "",
            Self::WallClock => " ms",
            Self::Memory
            | Self::Stack
            | Self::Stdout
            | Self::Stderr
            | Self::Result
            | Self::HostCopy => " bytes",
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
            Self::Memories => "memories",
            Self::TableElements => "table elements",
            Self::HostCopy => "host copy",
        })
    }
}

/// What a guest used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel. Of a guest that the wall clock cut off, only what it had settled at its last call; 0 if
    /// its process had to be killed for it, in the middle of a call or an instruction.
    pub fuel: u64,
    /// The most that linear memories and tables took together; 0 if its process had to be killed.
    pub memory_peak_bytes: u64,
    /// Time on a processor.
    pub cpu_us: u64,
    /// Arguments, environment and standard input; of that, what came by a pipe is for whoever has
    /// written it to add.
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
