//! The messages, version 1. Their plaintext is postcard; the order of variants is the format.
//!
//! A changed message is a new variant at the end of its enum, never an edit of an old one.

mod attested;
mod stored;
mod work;

use propeller_model::{AttemptId, Digest, ExitKind, Stream, Trace};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use attested::{
    AttestedReport, EVIDENCE_LEN_MAX, HelloInTee, Proof, StartAttested, Steps, TeeClaim,
};
pub use stored::{InputObjects, ObjectKey, StoreMark, StoredObject};
pub use work::{AskedLimits, Input, Output};

/// Largest message, in bytes: three outputs of 1 MiB and what surrounds them.
pub const MESSAGE_LEN_MAX: usize = 4 * 1024 * 1024;
/// Modules up to this size, sealed, ride in the start message.
pub const INLINE_LEN_MAX: usize = 256 * 1024;
/// Bytes in every piece of a module but the last.
pub const PIECE_LEN: usize = 256 * 1024;
/// Bytes of output in one [`Printed`]. Fewer make a flood expensive, more make a slow link late.
pub const PRINTED_LEN_MAX: usize = 32 * 1024;
/// Pieces that a proplet asks for at a time.
pub const PIECES_IN_FLIGHT_MAX: u32 = 8;

/// What a manager says to one proplet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProplet {
    /// Answers a hello: the session is on.
    Welcome(Welcome),
    /// Run this.
    Start(Start),
    /// Stop that, if you still run it.
    Stop(AttemptId),
    /// Answers a heartbeat.
    Beat(Beat),
    /// Your report is stored, or no longer counts: forget it.
    Settled(AttemptId),
    /// A piece of a module's envelope.
    Piece(Piece),
    /// There is no such module.
    NoModule(Digest),
    /// Tell what an attempt prints, for a while.
    Watch(Watch),
    /// Run the module of an image.
    StartImage(StartImage),
    /// Run the module of an encrypted image, in a TEE, with a key that a key broker releases to it.
    StartAttested(Box<StartAttested>),
}

/// See [`ToProplet::Welcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// How long an attempt lives without a heartbeat, in milliseconds.
    pub lease_ms: u32,
}

/// See [`ToProplet::Start`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The attempt to make.
    pub attempt: AttemptId,
    /// Whose task it is.
    pub tenant: String,
    /// What the module is called, for the log: the uploaded file's name.
    pub app_name: String,
    /// The module to run.
    pub module: Module,
    /// [`Input`] in an envelope for this task.
    pub input: ByteBuf,
    /// Where it belongs, for the log.
    pub trace: Trace,
}

/// See [`ToProplet::StartImage`]. What is not explained here is as in [`Start`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartImage {
    /// The attempt to make.
    pub attempt: AttemptId,
    /// Whose task it is.
    pub tenant: String,
    /// What the module is called, for the log.
    pub app_name: String,
    /// The image in its registry, which the proplet fetches by itself: a reference with a digest,
    /// such as `ghcr.io/me/hello:1@sha256:…`, with `http://` in front if the registry has no TLS.
    pub image: String,
    /// [`Input`] in an envelope for this task.
    pub input: ByteBuf,
    /// Where it belongs, for the log.
    pub trace: Trace,
}

/// A module, by name and perhaps with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// SHA-256 of the plain module.
    pub digest: Digest,
    /// Length of the envelope, in bytes.
    pub sealed_len: u64,
    /// The envelope, if it is small and the manager thinks that the proplet lacks it.
    pub sealed: Option<ByteBuf>,
}

/// See [`ToProplet::Beat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The heartbeat that is answered.
    pub number: u64,
    /// Attempts that were named and no longer count: stop them.
    pub void: Vec<AttemptId>,
}

/// See [`ToProplet::Piece`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Of which module.
    pub digest: Digest,
    /// Which piece, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// Its bytes.
    pub bytes: ByteBuf,
}

/// See [`ToProplet::Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Names the watcher, for as long as it watches; drawn at random by the manager.
    pub watcher: u64,
    /// What it watches.
    pub attempt: AttemptId,
    /// Where to begin, or to begin again, in standard output and standard error. Without it the
    /// proplet goes on where it is, if it knows the watcher.
    pub from: Option<[u64; 2]>,
    /// How many pieces there is room for.
    pub credit: u32,
    /// After this time without another one the watch is over, in milliseconds; 0 ends it at once.
    pub lease_ms: u32,
}

/// What a proplet says to its manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProplet {
    /// First message of a session.
    Hello(Hello),
    /// I live, and these attempts too.
    Heartbeat(Heartbeat),
    /// The guest runs.
    Started(AttemptId),
    /// I do not make this attempt.
    Refused(Refused),
    /// The attempt has ended.
    Finished(Report),
    /// Send me these pieces of a module.
    Fetch(Fetch),
    /// I am about to leave: what I have not reported will not be done.
    Goodbye,
    /// A piece of what an attempt prints.
    Printed(Printed),
    /// Evidence of the TEE that I am in.
    Tee(TeeClaim),
    /// The attempt has ended, and here is what proves where it ran.
    FinishedAttested(Box<AttestedReport>),
    /// First message of a session, in place of [`Hello`](FromProplet::Hello), of whoever is in a TEE.
    HelloInTee(Box<HelloInTee>),
    /// I reach this store; said with every heartbeat.
    Reaches(StoreMark),
}

/// See [`FromProplet::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the proplet is.
    pub about: About,
    /// Attempts it has: running, or ended and not yet acknowledged.
    pub holds: Vec<AttemptId>,
    /// How many attempts it takes at a time.
    pub slots: u32,
}

/// What a proplet tells about itself, with upstream's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Free text from the operator.
    pub description: String,
    /// Labels from the operator.
    pub tags: Vec<String>,
    /// Where it stands, from the operator.
    pub location: String,
    /// `linux`, …
    pub os: String,
    /// The machine's name.
    pub hostname: String,
    /// `x86_64`, …
    pub cpu_arch: String,
    /// Memory of the machine, in bytes.
    pub total_memory_bytes: u64,
    /// Version of the proplet.
    pub proplet_version: String,
    /// What runs the guests.
    pub wasm_runtime: String,
}

/// See [`FromProplet::Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Counts up within a session.
    pub number: u64,
    /// Attempts it has: running, or ended and not yet acknowledged.
    pub holds: Vec<AttemptId>,
    /// How the process is doing.
    pub vitals: Vitals,
}

/// Measurements of the proplet's own process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// CPU time in user mode, in milliseconds.
    pub cpu_user_ms: u64,
    /// CPU time in the kernel, in milliseconds.
    pub cpu_system_ms: u64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

/// See [`FromProplet::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The attempt.
    pub attempt: AttemptId,
    /// Why.
    pub reason: Refusal,
    /// In words, for people.
    pub text: String,
}

/// Why a proplet does not make an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// All slots are taken.
    Busy,
    /// Too many reports wait for an acknowledgement.
    OutboxFull,
    /// The module or the input does not open with the proplet's keys.
    Unopenable,
    /// The module did not arrive.
    NoModule,
    /// The proplet's lease ran out and it stopped the guest.
    LeaseLost,
    /// The proplet is leaving.
    Leaving,
    /// The task asks for more than the proplet allows.
    AboveCeiling,
    /// The proplet is in no TEE that could be asked to open the image.
    NoTee,
    /// The key of the image is not released, or does not open it.
    NoKey,
    /// The store does not answer.
    Store,
    /// What the task reads is not in the store, or not as the task says.
    NoInput,
    /// What the task printed is too large for a message, and the store does not take it.
    NoOutput,
    /// It runs as many daemons as it may, of which one may end.
    NoPlace,
}

/// See [`FromProplet::Finished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The attempt.
    pub attempt: AttemptId,
    /// Whether the guest ended well.
    pub success: bool,
    /// [`Output`] in an envelope for this attempt.
    pub output: ByteBuf,
    /// What it cost.
    pub usage: Usage,
    /// How it ended, in a word.
    pub exit: ExitKind,
}

/// See [`FromProplet::Printed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// For whom.
    pub watcher: u64,
    /// Who prints.
    pub attempt: AttemptId,
    /// Where to.
    pub stream: Stream,
    /// Where the piece before it ended, or where the watch began: whoever has not got that far has
    /// lost a piece.
    pub after: u64,
    /// Where this one begins. If that is later than `after`, what stood between is not kept any more.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u32,
    /// How many bytes the stream has in all, so far.
    pub printed: u64,
    /// The bytes, in an envelope for this attempt, stream and offset.
    pub bytes: ByteBuf,
}

/// What an attempt cost, measured by the proplet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From receiving the start until the guest was ready to be compiled, in microseconds:
    /// fetching, opening and waiting for a free thread.
    pub prepare_us: u64,
    /// Compiling, 0 if the module was in the cache, in microseconds.
    pub compile_us: u64,
    /// From instantiation to the end, in microseconds.
    pub run_us: u64,
    /// Wasmtime fuel.
    pub fuel: u64,
    /// Peak of linear memory and tables, in bytes.
    pub memory_peak_bytes: u64,
    /// Time on a processor, in microseconds.
    pub cpu_us: u64,
    /// Arguments, environment and standard input, in bytes.
    pub input_bytes: u64,
    /// Standard output, standard error and result, in bytes.
    pub output_bytes: u64,
}

/// See [`FromProplet::Fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The attempt it is for.
    pub attempt: AttemptId,
    /// Which module.
    pub digest: Digest,
    /// First piece, from 0.
    pub first: u32,
    /// How many, at most [`PIECES_IN_FLIGHT_MAX`].
    pub count: u32,
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    #[error("a message of {0} bytes is longer than 4 MiB")]
    TooLong(usize),
    /// Not the encoding of this type.
    #[error("malformed message")]
    Malformed(#[source] postcard::Error),
    /// Bytes follow the message.
    #[error("malformed message: bytes after its end")]
    Trailing,
}

/// Encodes a message or a part of one.
///
/// # Panics
/// Never: the types of this module can always be encoded.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("these types can always be encoded")
}

/// As [`encode`], at the end of `out`.
pub(crate) fn encode_onto<T: Serialize>(value: &T, out: Vec<u8>) -> Vec<u8> {
    postcard::to_extend(value, out).expect("these types can always be encoded")
}

/// How long [`encode`] makes it, in bytes.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    postcard::experimental::serialized_size(value).expect("these types can always be encoded")
}

/// Decodes a message or a part of one, and nothing but that.
///
/// # Errors
/// See [`MessageError`].
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MessageError> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(MessageError::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(MessageError::Trailing)
    }
}
