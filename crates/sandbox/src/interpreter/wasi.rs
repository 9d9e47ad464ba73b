//! WASI preview 1 for guests without files: every function is there, and most have nothing to do.
//!
//! It answers as wasmtime does for a guest that was given no directory and no socket, down to the
//! order of the checks; a test asks both the same and compares the answers and what is written.

mod answers;
mod memory;
mod poll;
mod streams;

use std::io;
use std::time::Instant;

use propeller_model::Limits;
use wasmi::errors::HostError;
use wasmi::{Caller, Engine, Error, Extern, FuncType, Instance, Linker, Store, Val, ValType};

use super::guest::Guest;
use crate::chunks::ListError;
use crate::exit::Limit;
use crate::job::Job;

use memory::Memory;
use streams::Streams;

/// The module that guests import these functions from.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// An answer that says why not, by its number in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Errno {
    Badf = 8,
    Ilseq = 25,
    Intr = 27,
    Inval = 28,
    Io = 29,
    Nomem = 48,
    Notdir = 54,
    Notsock = 57,
    Notsup = 58,
    Overflow = 61,
    Spipe = 70,
}

/// Why a function does not answer with success.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fail {
    /// The guest is told.
    #[error("errno {}", *.0 as u16)]
    Errno(Errno),
    /// The guest did what it must not do.
    #[error("{0}")]
    Trap(&'static str),
    /// The guest leaves.
    #[error("exit {0}")]
    Exit(i32),
    /// The guest is ended by a limit.
    #[error("limit exceeded: {0}")]
    Exceeded(Limit),
    /// The guest gave no list of chunks.
    #[error("`split` gave no list of chunks: {0}")]
    Chunks(ListError),
    /// The guest waits; [`Wasi::woken`] has the answer.
    #[error("the guest waits")]
    Wait(Wake),
}

impl HostError for Fail {}

/// What wakes a guest that waits. Without anything it waits until it is ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    /// This time.
    pub(super) at: Option<Instant>,
    /// Standard input that can be read.
    pub(super) stdin: bool,
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

type Answer = Result<(), Fail>;

/// What one guest's functions know.
pub(super) struct Wasi {
    /// `argv`.
    args: Vec<String>,
    /// `NAME=value`.
    environ: Vec<String>,
    streams: Streams,
    /// Open handles and subscriptions together.
    handles_max: u64,
    started: Instant,
    /// What the guest waits for.
    waits_for: Option<Unanswered>,
}

/// A call whose answer is not there yet.
enum Unanswered {
    Poll(poll::Waiting),
    Read(Room),
}

/// Where a read puts what it reads.
#[derive(Clone, Copy)]
struct Room {
    buffer: u32,
    len: u32,
    /// Where it puts how much that was.
    count: u32,
}

impl Wasi {
    /// Arguments are for commands; any other function sees its name alone.
    pub(super) fn new(job: &Job, command: bool) -> io::Result<Self> {
        let args = if command { job.args.as_slice() } else { &[] };
        let name = std::iter::once(&job.name);
        let Limits { handles, .. } = job.limits;
        Ok(Self {
            args: name.chain(args).cloned().collect(),
            environ: job
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            streams: Streams::new(job)?,
            handles_max: handles.value,
            started: Instant::now(),
            waits_for: None,
        })
    }

    /// Writes to standard output in the guest's place.
    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        self.streams.write(streams::Stream::Stdout, bytes)
    }

    /// Writes down what a guest that waited was woken by, and gives the answer to its call.
    pub(super) fn woken(store: &mut Store<Guest>, instance: Instance) -> Result<Val, Error> {
        let memory = instance.get_memory(&*store, MEMORY);
        let memory = memory.ok_or_else(|| Error::host(NO_MEMORY))?;
        let (bytes, guest) = memory.data_and_store_mut(&mut *store);
        let (memory, wasi) = (&mut Memory::new(bytes), &mut guest.wasi);
        answer(match wasi.waits_for.take() {
            Some(Unanswered::Poll(waiting)) => wasi.poll_woken(memory, &waiting),
            Some(Unanswered::Read(room)) => wasi.read(memory, room),
            None => unreachable!("only a guest that waits is woken"),
        })
    }

    /// Waits until standard input can be read, or is at its end.
    pub(super) async fn stdin_is_there(&mut self) {
        self.streams.stdin_is_there().await;
    }

    /// Reads standard input, once there is some.
    fn read(&mut self, memory: &mut Memory<'_>, room: Room) -> Answer {
        let Some(read) = self.streams.read(room.len)? else {
            self.waits_for = Some(Unanswered::Read(room));
            return Err(Fail::Wait(Wake {
                at: None,
                stdin: true,
            }));
        };
        memory.write(room.buffer, read)?;
        let len = u32::try_from(read.len()).map_err(|_| Errno::Overflow)?;
        memory.write_u32(room.count, len)
    }
}

/// The export that the host reads and writes.
const MEMORY: &str = "memory";

const NO_MEMORY: Fail = Fail::Trap("missing required memory export");

/// A function that guests may import.
pub(super) struct Function {
    name: &'static str,
    params: &'static [Param],
    answers: fn(&mut Wasi, &mut Memory<'_>, Args<'_>) -> Answer,
}

/// A parameter, with the values that it may have. Any other one ends the guest.
#[derive(Clone, Copy, Debug)]
enum Param {
    /// Any number of 32 bits: a pointer, a length, a descriptor.
    I32,
    /// Any number of 64 bits.
    I64,
    /// One of the numbers up to this.
    Choice(u32),
    /// Some of these bits.
    Flags(u32),
    /// Some of these bits, of 64.
    LongFlags(u64),
}

impl Param {
    fn ty(self) -> ValType {
        match self {
            Self::I32 | Self::Choice(_) | Self::Flags(_) => ValType::I32,
            Self::I64 | Self::LongFlags(_) => ValType::I64,
        }
    }

    fn takes(self, value: &Val) -> bool {
        match (self, value) {
            (Self::Choice(max), Val::I32(value)) => value.cast_unsigned() <= max,
            (Self::Flags(all), Val::I32(value)) => value.cast_unsigned() & !all == 0,
            (Self::LongFlags(all), Val::I64(value)) => value.cast_unsigned() & !all == 0,
            _ => true,
        }
    }
}

impl Function {
    pub(super) fn ty(&self) -> FuncType {
        let params: Vec<ValType> = self.params.iter().map(|param| param.ty()).collect();
        let results: &[ValType] = match self.name {
            answers::NEVER_RETURNS => &[],
            _ => &[ValType::I32],
        };
        FuncType::new(params, results.iter().copied())
    }

    fn call(
        &self,
        mut caller: Caller<'_, Guest>,
        args: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let memory = caller.get_export(MEMORY).and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| Error::host(NO_MEMORY))?;
        if !self
            .params
            .iter()
            .zip(args)
            .all(|(param, arg)| param.takes(arg))
        {
            return Err(Error::host(Fail::Trap("argument out of range")));
        }
        let (bytes, guest) = memory.data_and_store_mut(&mut caller);
        let answered = (self.answers)(&mut guest.wasi, &mut Memory::new(bytes), Args(args));
        let answered = answer(answered)?;
        if let Some(result) = results.first_mut() {
            *result = answered;
        }
        Guest::left_host(caller)
    }
}

/// What a guest is told, if it goes on.
fn answer(answer: Answer) -> Result<Val, Error> {
    match answer {
        Ok(()) => Ok(Val::I32(0)),
        Err(Fail::Errno(errno)) => Ok(Val::I32((errno as u16).into())),
        Err(fail) => Err(Error::host(fail)),
    }
}

/// The arguments of a call, whose types are those of the function.
#[derive(Clone, Copy)]
struct Args<'a>(&'a [Val]);

impl Args<'_> {
    fn i32(self, index: usize) -> u32 {
        match self.0.get(index) {
            Some(Val::I32(number)) => number.cast_unsigned(),
            other => unreachable!("an i32 by the function's type: {other:?}"),
        }
    }
}

/// The function that is imported under this name, if there is one.
pub(super) fn function(module: &str, name: &str) -> Option<&'static Function> {
    let mut functions = answers::FUNCTIONS.iter();
    functions.find(|function| module == MODULE && function.name == name)
}

/// All that guests may import.
pub(super) fn linker(engine: &Engine) -> Linker<Guest> {
    let mut linker = Linker::new(engine);
    for function in &answers::FUNCTIONS {
        let defined = linker.func_new(
            MODULE,
            function.name,
            function.ty(),
            |caller, args, results| function.call(caller, args, results),
        );
        defined.expect("no two functions have one name");
    }
    linker
}
