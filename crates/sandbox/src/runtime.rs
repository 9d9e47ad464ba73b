//! The port: whatever can run a job.

use std::error::Error;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use propeller_model::Profile;
use tokio::runtime::Handle;

use crate::exit::{Exit, LimitHit};
use crate::job::Job;

/// Runs one job to its end. Dropping the future cancels the job.
///
/// A guest that traps or runs into a limit is an [`Exit`], not an error: the runtime worked.
pub trait Runtime: Send + Sync + Debug {
    /// Runs `job` to its end.
    ///
    /// # Errors
    ///
    /// The future gives a [`RunError`] if the job cannot run as it was asked to.
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>>;

    /// The threads that it keeps for guests, if it does. Jobs that are run from there stay on their
    /// thread, which is quicker; what has to answer in less than the 5 ms after which a guest yields
    /// does not belong there.
    fn threads(&self) -> Option<&Handle> {
        None
    }
}

/// Why a job did not run.
///
/// What comes from the guest, such as names and compiler messages, is cut to a readable length.
/// Errors clone because jobs that wait for one compilation share its failure.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The bytes are something else, perhaps still encrypted or WebAssembly text.
    #[error("not a WebAssembly module: the bytes do not start with `\\0asm`")]
    NotWasm,
    /// The component answers HTTP requests, and its job is to end.
    #[error(
        "the component is an HTTP service, which runs until it is stopped: make its task a daemon"
    )]
    ServiceNotDaemon,
    /// The component answers HTTP requests, and nobody could reach it.
    #[error("the component is an HTTP service, and its task was granted no port to listen on")]
    ServiceWithoutPort,
    /// A port that was granted is not to be had.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// What the operating system says.
        reason: String,
    },
    /// The bytes start like a module but are not one, for example because they are cut off.
    #[error("invalid WebAssembly module: {reason}")]
    Invalid {
        /// What the compiler says, with the offset where it can tell.
        reason: String,
    },
    /// There is no such function.
    #[error("no function `{name}` is exported; exported functions: {}", listed(.exports))]
    MissingExport {
        /// The function that was asked for.
        name: String,
        /// Some functions that the module does export.
        exports: Vec<String>,
    },
    /// The module needs something from its host that guests do not get.
    #[error("import `{module}.{name}` is not offered to guests")]
    MissingImport {
        /// The first half of the import's name.
        module: String,
        /// The second half of the import's name.
        name: String,
    },
    /// Too many or too few arguments.
    #[error(
        "function `{function}` takes {} arguments ({}), not {got}",
        .expected.len(),
        listed(.expected)
    )]
    ArgumentCount {
        /// The function that was to be called.
        function: String,
        /// The types of its parameters.
        expected: Vec<String>,
        /// How many arguments there were.
        got: usize,
    },
    /// An argument is not a text form of its parameter's type.
    #[error("argument {} is not of type {expected}: `{got}`", .index + 1)]
    ArgumentType {
        /// Which argument, counted from 0.
        index: usize,
        /// The parameter's type.
        expected: String,
        /// The argument.
        got: String,
    },
    /// The function takes or gives what has no text form.
    #[error("function `{function}` has the signature {signature}; {text_forms}")]
    UnsupportedSignature {
        /// The function that was to be called.
        function: String,
        /// Its type.
        signature: String,
        /// What does have one, or does not.
        text_forms: &'static str,
    },
    /// More text than a function's arguments are read from.
    #[error("the arguments have {len} bytes; a component's function takes at most {len_max}")]
    ArgumentsTooLong {
        /// How many there are.
        len: usize,
        /// How many there may be.
        len_max: usize,
    },
    /// More bytes than a module may have.
    #[error("limit: module size {len_max} bytes (set by proplet): the module has {len}")]
    TooLarge {
        /// How many there are.
        len: u64,
        /// How many there may be.
        len_max: u64,
    },
    /// To make one guest would take more than it may, before any of its code runs.
    #[error(
        "limit: instances {} bytes (set by default): to make the globals, functions and table \
         elements of all its instances takes {}",
        crate::exit::INSTANCES_BYTES_MAX,
        counted(*.bytes)
    )]
    Instances {
        /// What it takes; the largest number if that cannot be said.
        bytes: u64,
    },
    /// A part of the component has text in another encoding than others, and it asks for more memory
    /// than can be converted at one go.
    #[error(
        "the task asks for memory {asked} bytes; a component whose parts have text in different \
         encodings may have {memory_max}, because text is converted at one go"
    )]
    ConvertsText {
        /// What it asks for, in bytes.
        asked: u64,
        /// What it may have.
        memory_max: u64,
    },
    /// The parts of a component give each other what lies in memory, and it asks for more memory than
    /// text can be copied in at one go.
    #[error(
        "the task asks for memory {asked} bytes; a component that is made of several may have \
         {memory_max}, because text that one gives to another is copied at one go"
    )]
    CopiesAtOneGo {
        /// What it asks for, in bytes.
        asked: u64,
        /// What it may have.
        memory_max: u64,
    },
    /// The module could not be compiled in time, because others were: this says nothing about it.
    #[error("no compiler was free for the module for as long as one may take")]
    CompilersBusy,
    /// The compiler took longer than it may.
    #[error("limit: compile time {limit_ms} ms (set by proplet): the module is not compiled yet")]
    CompileTime {
        /// How long the job has waited.
        limit_ms: u64,
    },
    /// The compiler took more memory than it may.
    #[error(
        "limit: compile memory {limit_bytes} bytes (set by proplet): the compiler needs more for \
         this module"
    )]
    CompileMemory {
        /// How much it may have.
        limit_bytes: u64,
    },
    /// A directory that was granted cannot be opened.
    #[error("the directory granted as `{guest}` cannot be opened: {reason}")]
    Directory {
        /// Where the guest was to find it.
        guest: String,
        /// What the operating system says.
        reason: String,
    },
    /// A core module that was granted hosts or ports.
    #[error(
        "hosts and ports need a component: WASI preview 1, which this module is for, opens no connections"
    )]
    NoSockets,
    /// Files or connections, where every guest has a process of its own.
    #[error(
        "directories, hosts and ports cannot be granted to a process of its own in this version: \
         this proplet has PROPLET_ISOLATION=process"
    )]
    GrantsInProcess,
    /// A profile that the interpreter does not hold.
    #[error(
        "the profile `{profile}` cannot run in the interpreter: this proplet has \
         PROPLET_ENGINE=interpreter; send the task to a proplet with PROPLET_ENGINE=wasmtime"
    )]
    Interpreted {
        /// Which profile.
        profile: Profile,
    },
    /// A component, where guests are interpreted.
    #[error(
        "components cannot run in the interpreter: this proplet has PROPLET_ENGINE=interpreter; \
         build the guest for wasm32-wasip1, or send it to a proplet with PROPLET_ENGINE=wasmtime"
    )]
    ComponentInterpreted,
    /// A pipe is the standard input of a guest that needs all of it before it begins, and has more.
    #[error(
        "limit: standard input {len_max} bytes (set by proplet): a deterministic guest and a job in \
         chunks have all of it in memory, and it is longer; use the profile `pure`, or cut it into \
         several tasks"
    )]
    StdinTooLong {
        /// How many bytes there may be.
        len_max: usize,
    },
    /// As above, and it has not ended in the time that the guest has.
    #[error(
        "{0}: standard input has not ended, and a deterministic guest or a job in chunks begins when \
         all of it is there"
    )]
    StdinTime(LimitHit),
    /// A pipe is the standard input of a daemon.
    #[error(
        "standard input of a daemon cannot be a stream: a daemon begins again after a failure, and a \
         stream does not; give it as a whole, or let the daemon fetch it"
    )]
    StdinOfDaemon,
    /// The guest did what no guest can do: it was in native code of its own.
    #[error("the guest broke out of its sandbox and was stopped by seccomp (SIGSYS)")]
    Escaped,
    /// The guest's process said what ours never says: the guest speaks for it.
    #[error(
        "the guest broke out of its sandbox and was stopped: its process sent what no process of ours sends"
    )]
    Forged,
    /// The process that the guest ran in went away. The job may be tried again.
    #[error("the process of the guest was lost before the job ended")]
    Lost,
    /// Neither we nor the guest ended its process: the kernel did, or somebody on the machine.
    #[error(
        "the guest's process was killed ({signal}) after {cpu_ms} ms on processors, and not by this \
         proplet: the machine may have run out of memory, or the process into a limit of processor \
         time (RLIMIT_CPU; this proplet sets {})",
        seconds(*.cpu_seconds_max)
    )]
    Killed {
        /// The signal's name.
        signal: &'static str,
        /// How long the process had computed.
        cpu_ms: u64,
        /// How long it might have, as far as the proplet is concerned.
        cpu_seconds_max: Option<u64>,
    },
    /// The runtime was shut down.
    #[error("the runtime stopped before the job ended")]
    Stopped,
    /// The host failed, for example because it has no memory left. The job may be tried again.
    #[error("the WebAssembly runtime failed")]
    Runtime(#[source] Arc<dyn Error + Send + Sync>),
    /// An external runtime cannot do what the job asks for, or could not do it.
    #[error("the external runtime {runtime} {what}")]
    External {
        /// Which one.
        runtime: String,
        /// What it cannot do and what to do, or what it says.
        what: String,
    },
    /// More than a command line of an external runtime may have.
    #[error(
        "arguments and environment take {len} bytes of a command line, which has {len_max}: \
         pass them on standard input"
    )]
    CommandLineTooLong {
        /// How many there are.
        len: usize,
        /// How many there may be.
        len_max: usize,
    },
}

/// A number in a message; the largest one stands for what cannot be counted.
fn counted(bytes: u64) -> String {
    match bytes {
        u64::MAX => "more than can be counted".to_owned(),
        bytes => bytes.to_string(),
    }
}

/// A limit in a message; "none" if there is none.
fn seconds(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s"))
}

/// Names in a message; "none" if there are none.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
