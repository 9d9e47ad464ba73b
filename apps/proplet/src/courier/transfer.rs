//! One document or blob on its way: which chunks are here, which were asked for, who waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_model::Digest;
use propeller_oci::RegistryError;
use propeller_oci::registry::Kind;
use propeller_wire::images::{AskChunks, AskDocument, Chunk, Document, Lent, ToProxy};
use tokio::sync::oneshot;

use super::chunks::{Chunks, Whole};
use super::tally::Tally;

/// How long to wait for an answer before asking again.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The same, after it was asked for several times.
const PATIENCE_LONG: Duration = Duration::from_secs(12);
/// How long to wait for any sign of life.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Where the bytes go, when all are here.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RegistryError>>;

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
        /// How far it has come, for whoever stops waiting.
        tally: Arc<Tally>,
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
    pub(super) fn hopeless(&self) -> String {
        let busy = self.busy.as_deref();
        let why = busy.unwrap_or("the proxy does not answer");
        match &self.order {
            Order::Document { .. } => why.to_owned(),
            Order::Blob { tally, .. } => format!("{why}{tally}"),
        }
    }

    /// So much of it has the proxy.
    pub(super) fn progress(&mut self, bytes: u64) {
        if let Order::Blob { tally, .. } = &self.order {
            tally.at_proxy(bytes);
        }
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

    /// What to ask for when it is ordered, and when some of it has come, if there is little on its
    /// way.
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
    pub(super) fn chunk(&mut self, chunk: &Chunk<Lent<'_>>, now: Instant) -> bool {
        match (&mut self.parts, &self.order) {
            (Parts::Chunks(chunks), Order::Blob { tally, .. }) => {
                let all = chunks.take(chunk, now);
                tally.here(chunks.here);
                all
            }
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
