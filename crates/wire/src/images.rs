//! What a proplet and a proxy say about images, version 1. Encoded as the other messages are.
//!
//! The proxy fetches what the proplet names and hands it on in chunks; it knows no tasks. Which bytes
//! are the right ones the proplet knows by itself: it has asked for them by their digest.

use propeller_model::Digest;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Bytes in every chunk but the last, unless a proxy's operator wants it otherwise: as upstream, and
/// less than the 1 MiB that is the limit of some brokers.
pub const CHUNK_LEN: u32 = 512_000;
/// The least and the most that it may be: less is all surroundings, and more fits no message.
pub const CHUNK_LEN_RANGE: std::ops::RangeInclusive<u32> = 16 * 1024..=2 * 1024 * 1024;
/// Chunks that a proplet asks for at a time.
pub const CHUNKS_PER_ASK_MAX: usize = 8;
/// Bytes of a document, such as a manifest, that a proxy hands on: with what surrounds it less than
/// the 1 MiB that is the limit of some brokers.
pub const DOCUMENT_LEN_MAX: usize = 960 * 1024;

/// What a proplet says to a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProxy {
    /// First message of a session.
    Hello,
    /// Fetch me a manifest or an index.
    Document(AskDocument),
    /// Fetch me these chunks of a blob.
    Chunks(AskChunks),
    /// I do not want this any more.
    Forget(u64),
}

/// See [`ToProxy::Document`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskDocument {
    /// Names what is asked for, in every answer; the proplet draws it at random.
    pub ask: u64,
    /// A reference, such as `ghcr.io/me/hello@sha256:…`, with `http://` in front if the registry has
    /// no TLS.
    pub reference: String,
}

/// See [`ToProxy::Chunks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskChunks {
    /// Names the blob in every answer; the proplet draws it at random, once for all of its chunks.
    pub ask: u64,
    /// Something in the repository that has it.
    pub reference: String,
    /// Which blob.
    pub digest: Digest,
    /// Its length, in bytes, as its manifest says.
    pub len: u64,
    /// Which chunks, from 0; at most [`CHUNKS_PER_ASK_MAX`].
    pub indexes: Vec<u32>,
    /// Whether some of them were asked for before: then what is left of earlier asks is void.
    pub again: bool,
}

/// What a proxy says to one proplet. The bytes of a chunk are its own, or, as [`Lent`], lie where it
/// was opened: of half a megabyte every copy shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProxy<B = ByteBuf> {
    /// Answers a hello: the session is on.
    Welcome(Welcome),
    /// A manifest or an index.
    Document(Document),
    /// A chunk of a blob.
    Chunk(Chunk<B>),
    /// It is on its way to the proxy.
    Progress(Progress),
    /// It is not to be had.
    Failed(Failed),
}

/// See [`FromProxy::Welcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Bytes in every chunk but the last of a blob.
    pub chunk_len: u32,
}

/// See [`FromProxy::Document`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Which ask it answers.
    pub ask: u64,
    /// What the registry calls it.
    pub media_type: Option<String>,
    /// Its bytes.
    pub bytes: ByteBuf,
}

/// See [`FromProxy::Chunk`]. The last one comes once all bytes have been held against the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk<B = ByteBuf> {
    /// Which ask it answers.
    pub ask: u64,
    /// Which chunk, from 0.
    pub index: u32,
    /// Its bytes.
    pub bytes: B,
}

/// Bytes of a chunk in the memory of whoever has opened it.
pub type Lent<'a> = &'a serde_bytes::Bytes;

/// See [`FromProxy::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which ask it is about.
    pub ask: u64,
    /// Bytes that the proxy has of it.
    pub bytes: u64,
}

/// See [`FromProxy::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which ask it answers.
    pub ask: u64,
    /// Why, in a word.
    pub reason: Reason,
    /// In words, for people.
    pub text: String,
}

/// Why something is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// There is no such thing.
    Name,
    /// The registry does not let the proxy.
    Credentials,
    /// The registry does not answer.
    Network,
    /// Its bytes are others than those that were named.
    Digest,
    /// It is something else.
    MediaType,
    /// It is larger than what is fetched, or than it was said to be.
    Size,
    /// The proxy has too much to do: ask again later.
    Busy,
    /// The proxy's operator does not allow it.
    Refused,
    /// The proxy cannot, for a reason of its own.
    Proxy,
}
