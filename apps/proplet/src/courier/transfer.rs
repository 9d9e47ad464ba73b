//! One document or blob on its way: which chunks are here, which were asked for, who waits.

use std::fmt;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;
use propeller_oci::RegistryError;
use propeller_oci::registry::Kind;
use propeller_wire::images::{
    AskChunks, AskDocument, CHUNKS_PER_ASK_MAX, Chunk, Document, ToProxy,
};
use tokio::sync::oneshot;

/// How long to wait for an answer before asking again.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same, after it was asked for several times.
const PATIENCE_LONG: Duration = Duration::from_secs(12);
/// How long to wait for any sign of life.
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Chunks that are hashed for one that comes.
const HASHED_AT_ONCE: usize = 2;
/// So few chunks on their way make it time to ask for more.
const LOW: usize = CHUNKS_PER_ASK_MAX;

/// Where the bytes go, when all are here.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RegistryError>>;

/// All bytes of a blob, hashed as far as there was time.
pub(crate) struct Whole {
    bytes: Vec<u8>,
    hash: Context,
    hashed: usize,
}

impl Whole {
    /// The bytes and their digest. What is left to be hashed may be much, if the first chunk came last.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Digest) {
        self.hash.update(&self.bytes[self.hashed..]);
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(self.hash.finish().as_ref());
        (self.bytes, digest)
    }
}

impl fmt::Debug for Whole {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// What somebody wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// A manifest or an index, with what the registry calls it.
    Document {
        /// Which.
        reference: String,
        /// For whom.
        reply: Reply<(Vec<u8>, Option<String>)>,
    },
    /// A blob.
    Blob {
        /// Something in its repository.
        reference: String,
        /// Which.
        digest: Digest,
        /// How long it is; whoever orders has seen to it that there is room.
        len: u64,
        /// For whom.
        reply: Reply<Whole>,
    },
}

impl Order {
    pub(crate) fn refuse(self, error: RegistryError) {
        // Whoever does not wait any more misses nothing.
        match self {
            Self::Document { reply, .. } => drop(reply.send(Err(error))),
            Self::Blob { reply, .. } => drop(reply.send(Err(error))),
        }
    }

    fn is_unwanted(&self) -> bool {
        match self {
            Self::Document { reply, .. } => reply.is_closed(),
            Self::Blob { reply, .. } => reply.is_closed(),
        }
    }
}

/// How a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Well.
    No,
    /// What was asked for is not here yet.
    Yes,
    /// Nothing at all has come for long.
    Hopeless,
    /// Nobody waits for it.
    Unwanted,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Transfer {
    order: Order,
    parts: Parts,
    asked: Instant,
    heard: Instant,
    patience: Duration,
    /// What the proxy said when it had too much to do.
    busy: Option<String>,
}

/// What is here.
#[derive(Debug)]
enum Parts {
    /// A document comes as a whole.
    Document {
        asked: bool,
        here: Option<Document>,
    },
    /// Nothing yet, not even how long chunks are.
    Unknown,
    Chunks(Chunks),
}

struct Chunks {
    chunk_len: u32,
    bytes: Vec<u8>,
    len: usize,
    /// Whether there is memory for it.
    fits: bool,
    /// Of the chunks before `hashed`: while they come, not when all are here.
    hash: Context,
    hashed: usize,
    /// Since when the first chunk that is not here has been the first.
    first_since: Instant,
    state: Vec<State>,
    missing: usize,
    /// Chunks before it were asked for at least once.
    next: usize,
    on_their_way: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Wanted,
    Asked,
    Here,
}

impl Transfer {
    pub(super) fn new(order: Order, now: Instant) -> Self {
        let parts = match &order {
            Order::Document { .. } => Parts::Document {
                asked: false,
                here: None,
            },
            Order::Blob { .. } => Parts::Unknown,
        };
        Self {
            order,
            parts,
            asked: now,
            heard: now,
            patience: PATIENCE,
            busy: None,
        }
    }

    /// It has too much to do: no sign of life for whoever waits.
    pub(super) fn busy(&mut self, text: String) {
        self.busy = Some(text);
    }

    /// Why nothing has come.
    pub(super) fn hopeless(&self) -> &str {
        self.busy.as_deref().unwrap_or("the proxy does not answer")
    }

    /// When there was a sign of life.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard
    }

    /// There was a sign of life.
    pub(super) fn heard(&mut self, now: Instant) {
        self.busy = None;
        self.heard = now;
        self.patience = PATIENCE;
    }

    pub(super) fn look(&self, now: Instant) -> Late {
        let since = |at| now.saturating_duration_since(at);
        if self.order.is_unwanted() {
            Late::Unwanted
        } else if since(self.heard) > PATIENCE_MAX {
            Late::Hopeless
        } else if since(self.asked.max(self.heard)) > self.patience {
            Late::Yes
        } else {
            Late::No
        }
    }

    /// It was asked more than once without an answer.
    pub(super) fn is_forsaken(&self) -> bool {
        self.patience > 2 * PATIENCE
    }

    /// Nobody can be asked now.
    pub(super) fn pause(&mut self, now: Instant) {
        self.asked = now;
    }

    /// What to ask for now, if there is little on its way.
    pub(super) fn ask(&mut self, ask: u64, chunk_len: u32, now: Instant) -> Option<ToProxy> {
        self.fit(chunk_len, now);
        match (&self.order, &mut self.parts) {
            (Order::Document { reference, .. }, Parts::Document { asked, .. }) if !*asked => {
                *asked = true;
                let reference = reference.clone();
                Some(ToProxy::Document(AskDocument { ask, reference }))
            }
            (order @ Order::Blob { .. }, Parts::Chunks(chunks)) => {
                let indexes = chunks.more(now);
                let ask = order.ask(ask, indexes, false)?;
                self.asked = now;
                Some(ask)
            }
            _ => None,
        }
    }

    /// What to ask for again. What was asked for before is void by it.
    pub(super) fn ask_again(&mut self, ask: u64, chunk_len: u32, now: Instant) -> ToProxy {
        self.asked = now;
        // A slow link is slower for being asked twice.
        self.patience = (self.patience * 2).min(PATIENCE_LONG);
        self.fit(chunk_len, now);
        let asked = match (&self.order, &mut self.parts) {
            (Order::Document { reference, .. }, _) => {
                let reference = reference.clone();
                Some(ToProxy::Document(AskDocument { ask, reference }))
            }
            (order, Parts::Chunks(chunks)) => {
                let indexes = chunks.again(now);
                order.ask(ask, indexes, true)
            }
            _ => None,
        };
        // One that has everything is over already.
        asked.unwrap_or(ToProxy::Forget(ask))
    }

    /// Takes a document. Whether that is all.
    pub(super) fn document(&mut self, document: Document) -> bool {
        match &mut self.parts {
            Parts::Document { here, .. } => {
                *here = Some(document);
                true
            }
            _ => false,
        }
    }

    /// Takes a chunk. Whether that was the last one missing.
    pub(super) fn chunk(&mut self, chunk: Chunk, now: Instant) -> bool {
        match &mut self.parts {
            Parts::Chunks(chunks) => chunks.take(chunk, now),
            _ => false,
        }
    }

    /// Whether there is memory for it, as far as is known.
    pub(super) fn fits(&self) -> bool {
        match &self.parts {
            Parts::Chunks(chunks) => chunks.fits,
            _ => true,
        }
    }

    /// Hands over what is here: all of it.
    pub(super) fn deliver(self) {
        match (self.order, self.parts) {
            (
                Order::Document { reply, .. },
                Parts::Document {
                    here: Some(document),
                    ..
                },
            ) => {
                let Document {
                    media_type, bytes, ..
                } = document;
                drop(reply.send(Ok((bytes.into_vec(), media_type))));
            }
            (Order::Blob { reply, .. }, Parts::Chunks(chunks)) => {
                drop(reply.send(Ok(chunks.whole())));
            }
            (order, _) => order.refuse(RegistryError::Proxied {
                kind: Kind::Here,
                text: "it answers something else than was asked".to_owned(),
            }),
        }
    }

    pub(super) fn refuse(self, error: RegistryError) {
        self.order.refuse(error);
    }

    /// Makes room, or begins anew if chunks have another length now.
    fn fit(&mut self, chunk_len: u32, now: Instant) {
        let Order::Blob { len, .. } = &self.order else {
            return;
        };
        if !matches!(&self.parts, Parts::Chunks(chunks) if chunks.chunk_len == chunk_len) {
            self.parts = Parts::Chunks(Chunks::new(*len, chunk_len, now));
        }
    }
}

impl Order {
    fn ask(&self, ask: u64, indexes: Vec<u32>, again: bool) -> Option<ToProxy> {
        let Self::Blob {
            reference,
            digest,
            len,
            ..
        } = self
        else {
            return None;
        };
        (!indexes.is_empty()).then(|| {
            ToProxy::Chunks(AskChunks {
                ask,
                reference: reference.clone(),
                digest: *digest,
                len: *len,
                indexes,
                again,
            })
        })
    }
}

impl Chunks {
    fn new(len: u64, chunk_len: u32, now: Instant) -> Self {
        let count = len.div_ceil(u64::from(chunk_len)).max(1);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            chunk_len,
            // Nothing yet: how long it is, is so far what a manifest says.
            bytes: Vec::new(),
            len: usize::try_from(len).unwrap_or(usize::MAX),
            fits: true,
            hash: Context::new(&SHA256),
            hashed: 0,
            first_since: now,
            state: vec![State::Wanted; count],
            missing: count,
            next: 0,
            on_their_way: 0,
        }
    }

    /// The next few, if there is little on its way; and the first that is not here, if that is late:
    /// all others wait for it to be hashed.
    fn more(&mut self, now: Instant) -> Vec<u32> {
        let mut indexes = match self.on_their_way > LOW {
            true => Vec::new(),
            false => self.claim(self.next),
        };
        let late = now.saturating_duration_since(self.first_since) > PATIENCE;
        let asked = self.state.get(self.hashed) == Some(&State::Asked);
        if late && asked && indexes.len() < CHUNKS_PER_ASK_MAX {
            self.first_since = now;
            indexes.extend(u32::try_from(self.hashed));
        }
        indexes
    }

    /// The first few that are not here; nothing else is on its way by that.
    fn again(&mut self, now: Instant) -> Vec<u32> {
        let asked = self
            .state
            .iter_mut()
            .filter(|state| **state == State::Asked);
        asked.for_each(|state| *state = State::Wanted);
        self.on_their_way = 0;
        self.first_since = now;
        self.claim(0)
    }

    /// The first few at `from` or behind it that are neither here nor on their way.
    fn claim(&mut self, from: usize) -> Vec<u32> {
        let mut indexes = Vec::new();
        self.next = from;
        while self.next < self.state.len() && indexes.len() < CHUNKS_PER_ASK_MAX {
            if self.state[self.next] == State::Wanted {
                self.state[self.next] = State::Asked;
                self.on_their_way += 1;
                indexes.extend(u32::try_from(self.next));
            }
            self.next += 1;
        }
        indexes
    }

    fn take(&mut self, chunk: Chunk, now: Instant) -> bool {
        let index = chunk.index as usize;
        let at = index.saturating_mul(self.chunk_len as usize);
        let Some(state) = self.state.get_mut(index) else {
            return false;
        };
        let end = at.saturating_add(self.chunk_len as usize).min(self.len);
        if *state == State::Here || chunk.bytes.len() != end - at {
            return false;
        }
        if self.bytes.len() < end {
            // At once as much as it will be, which takes no memory before it is used; not all
            // machines have it.
            let more = self.len - self.bytes.len();
            if self.bytes.try_reserve_exact(more).is_err() {
                self.fits = false;
                return false;
            }
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(&chunk.bytes);
        if *state == State::Asked {
            self.on_their_way -= 1;
        }
        *state = State::Here;
        self.missing -= 1;
        self.hash_what_is_next(now);
        self.missing == 0
    }

    /// A few at a time: this is a step of a loop that has others to attend to.
    fn hash_what_is_next(&mut self, now: Instant) {
        let before = self.hashed;
        while self.state.get(self.hashed) == Some(&State::Here)
            && self.hashed - before < HASHED_AT_ONCE
        {
            let at = self.hashed * self.chunk_len as usize;
            let end = (at + self.chunk_len as usize).min(self.len);
            self.hash.update(&self.bytes[at..end]);
            self.hashed += 1;
            self.first_since = now;
        }
    }

    fn whole(self) -> Whole {
        let hashed = self.hashed * self.chunk_len as usize;
        Whole {
            hashed: hashed.min(self.bytes.len()),
            bytes: self.bytes,
            hash: self.hash,
        }
    }
}

impl fmt::Debug for Chunks {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("count", &self.state.len())
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}
