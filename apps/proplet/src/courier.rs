//! Images by way of a proxy: what is wanted, what has come, what to ask for next. Without I/O.
//!
//! ```text
//!  pull ── Order ──▶ Courier ── Ask ──▶ proxy
//!   ▲                  │ ▲                │
//!   └── bytes, all ────┘ └─ chunk, chunk ─┘   in any order; what is late is asked for again
//! ```
//!
//! Its session is one of its own, beside the manager's. Chunks are authentic in it, one by one; that
//! all of them together are the right bytes is known to whoever ordered them, by their digest.

mod chunks;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_oci::RegistryError;
use propeller_oci::registry::Kind;
use propeller_wire::images::{CHUNK_LEN_RANGE, Failed, FromProxy, Lent, Reason, ToProxy};
use propeller_wire::{Caller, Channel, Heard, Images};
use tokio::sync::watch;
use tracing::{debug, error, info};

pub(crate) use source::Via;
pub(crate) use tally::Tallies;
pub(crate) use transfer::Order;
use transfer::{Late, Transfer};

/// First pause between announcements while somebody waits for a proxy; it doubles.
const ANNOUNCE_MIN: Duration = Duration::from_millis(500);
/// The longest, also while nobody does: a proxy that starts says so by itself.
const ANNOUNCE_MAX: Duration = Duration::from_secs(30);
/// Anybody can ask who is there; only so often is it answered.
const SOLICITED_EVERY: Duration = Duration::from_millis(200);

/// A frame to be sent.
pub(crate) type Letter = (Channel, Vec<u8>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Courier {
    caller: Caller<Images>,
    /// What the proxy of the running session has said.
    chunk_len: Option<u32>,
    transfers: HashMap<u64, Transfer>,
    /// Told whether there is a proxy.
    there: watch::Sender<bool>,
    link_up: bool,
    announce_at: Instant,
    announce_pause: Duration,
    announced: Option<Instant>,
    letters: Vec<Letter>,
    /// Where messages are opened: chunk after chunk in the same memory, for as long as any is on its
    /// way. As long as the longest of them, and no message is longer than
    /// [`MESSAGE_LEN_MAX`](propeller_wire::message::MESSAGE_LEN_MAX).
    plain: Vec<u8>,
}

impl Courier {
    /// Nothing is wanted yet, and no proxy known.
    pub(crate) fn new(id: PropletId, keys: Keyring, there: watch::Sender<bool>) -> Self {
        Self {
            caller: Caller::new(id, keys),
            chunk_len: None,
            transfers: HashMap::new(),
            there,
            link_up: false,
            announce_at: Instant::now(),
            announce_pause: ANNOUNCE_MIN,
            announced: None,
            letters: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// What is to be sent.
    pub(crate) fn letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.letters)
    }

    /// There is a connection to the broker.
    pub(crate) fn up(&mut self, now: Instant) {
        self.link_up = true;
        self.announce_pause = ANNOUNCE_MIN;
        self.announce(now);
        self.ask_again(now);
    }

    /// There is none. What is on its way goes on when there is one again.
    pub(crate) fn down(&mut self) {
        self.link_up = false;
    }

    /// Takes other keys into use.
    pub(crate) fn rekey(&mut self, keys: Keyring, now: Instant) {
        self.caller.rekey(keys);
        self.announce(now);
    }

    /// Begins to fetch.
    pub(crate) fn order(&mut self, order: Order, now: Instant) {
        let mut ask = [0; 8];
        if aws_lc_rs::rand::fill(&mut ask).is_err() {
            return order.refuse(here("the system has no randomness to ask the proxy with"));
        }
        let ask = u64::from_be_bytes(ask);
        let mut transfer = Transfer::new(order, now);
        match self.chunk_len {
            Some(chunk_len) => {
                let wanted = transfer.ask(ask, chunk_len, now);
                self.say(wanted);
            }
            None => self.announce(now),
        }
        self.transfers.insert(ask, transfer);
    }

    /// Takes a frame that came on one of the proxies' channels.
    pub(crate) fn receive(&mut self, channel: &Channel, bytes: &[u8], now: Instant) {
        let mut plain = std::mem::take(&mut self.plain);
        match self.caller.receive_in(channel, bytes, &mut plain) {
            Heard::Offered => {
                let hello = self.caller.seal_hello(&ToProxy::Hello);
                self.letters.extend(hello);
            }
            Heard::Said(message) => self.said(message, now),
            Heard::Solicited => self.solicited(now),
            Heard::Dropped(why) => debug!(why, "frame of a proxy dropped"),
            _ => debug!("frame of a proxy with another key dropped"),
        }
        if !self.transfers.is_empty() {
            self.plain = plain;
        }
    }

    /// Asks again for what is late, gives up what is hopeless, and announces itself.
    pub(crate) fn tick(&mut self, now: Instant) {
        let mut asks = Vec::new();
        let mut over = Vec::new();
        let mut forsaken = false;
        for (ask, transfer) in &mut self.transfers {
            match transfer.look(now) {
                Late::No => {}
                Late::Unwanted => over.push((*ask, false)),
                Late::Hopeless => over.push((*ask, true)),
                Late::Yes => match self.chunk_len {
                    Some(chunk_len) => {
                        asks.push(transfer.ask_again(*ask, chunk_len, now));
                        forsaken |= transfer.is_forsaken();
                    }
                    None => transfer.pause(now),
                },
            }
        }
        asks.into_iter().for_each(|ask| self.say(Some(ask)));
        for (ask, hopeless) in over {
            self.say(Some(ToProxy::Forget(ask)));
            if let Some(transfer) = self.transfers.remove(&ask)
                && hopeless
            {
                let why = here(&transfer.hopeless());
                self.lost_unless_heard(transfer.heard_at());
                transfer.refuse(why);
            }
        }
        let wanted = !self.transfers.is_empty();
        // The proxy may have been started again, and not know the session.
        let waits = forsaken || self.chunk_len.is_none();
        if self.link_up && waits && now >= self.announce_at {
            self.announce_pause = match wanted {
                true => self.announce_pause,
                false => ANNOUNCE_MAX,
            };
            self.announce(now);
        }
    }

    /// Nobody is there any more, as far as we know, unless others have heard something since then.
    fn lost_unless_heard(&mut self, since: Instant) {
        let mut others = self.transfers.values();
        if !others.any(|transfer| transfer.heard_at() > since) {
            self.chunk_len = None;
            self.there.send_replace(false);
        }
    }

    fn said(&mut self, message: FromProxy<Lent<'_>>, now: Instant) {
        let ask = match &message {
            FromProxy::Welcome(welcome) => return self.welcome(welcome.chunk_len, now),
            FromProxy::Document(document) => document.ask,
            FromProxy::Chunk(chunk) => chunk.ask,
            FromProxy::Progress(progress) => progress.ask,
            FromProxy::Failed(failed) => failed.ask,
        };
        let Some(transfer) = self.transfers.get_mut(&ask) else {
            return;
        };
        if let FromProxy::Failed(Failed {
            reason: Reason::Busy,
            text,
            ..
        }) = message
        {
            // It is asked again in a while.
            return transfer.busy(text);
        }
        transfer.heard(now);
        let over = match message {
            FromProxy::Welcome(_) => false,
            // What was asked for is under way: there is nothing to ask for.
            FromProxy::Progress(progress) => return transfer.progress(progress.bytes),
            FromProxy::Document(document) => transfer.document(document),
            FromProxy::Chunk(chunk) => transfer.chunk(&chunk, now),
            FromProxy::Failed(failed) => {
                if let Some(transfer) = self.transfers.remove(&ask) {
                    transfer.refuse(refusal(failed));
                }
                return;
            }
        };
        if !transfer.fits() {
            self.say(Some(ToProxy::Forget(ask)));
            if let Some(transfer) = self.transfers.remove(&ask) {
                transfer.refuse(here("this machine has not the memory for it"));
            }
        } else if over {
            if let Some(transfer) = self.transfers.remove(&ask) {
                transfer.deliver();
            }
        } else if let Some(chunk_len) = self.chunk_len {
            let wanted = transfer.ask(ask, chunk_len, now);
            self.say(wanted);
        }
    }

    fn welcome(&mut self, chunk_len: u32, now: Instant) {
        if !CHUNK_LEN_RANGE.contains(&chunk_len) {
            debug!(chunk_len, "a proxy whose chunks are too small or too large");
            return;
        }
        info!(chunk_len, "connected to proxy");
        self.chunk_len = Some(chunk_len);
        self.there.send_replace(true);
        self.announce_pause = ANNOUNCE_MIN;
        self.ask_again(now);
    }

    fn ask_again(&mut self, now: Instant) {
        let Some(chunk_len) = self.chunk_len else {
            return;
        };
        let transfers = self.transfers.iter_mut();
        let asks: Vec<ToProxy> = transfers
            .map(|(ask, transfer)| transfer.ask_again(*ask, chunk_len, now))
            .collect();
        asks.into_iter().for_each(|ask| self.say(Some(ask)));
    }

    fn solicited(&mut self, now: Instant) {
        let recent = |at| now.saturating_duration_since(at) < SOLICITED_EVERY;
        if self.announced.is_some_and(recent) {
            self.announce_at = self.announce_at.min(now + SOLICITED_EVERY);
        } else {
            self.announce(now);
        }
    }

    fn announce(&mut self, now: Instant) {
        let mut nonce = [0; 32];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            error!("the system has no randomness: cannot announce");
            return;
        }
        let frame = self.caller.announce(nonce);
        self.letters.push((Channel::Ask, frame));
        self.announced = Some(now);
        self.announce_at = now + self.announce_pause;
        self.announce_pause = (self.announce_pause * 2).min(ANNOUNCE_MAX);
    }

    fn say(&mut self, message: Option<ToProxy>) {
        if !self.link_up {
            return;
        }
        let letter = message.and_then(|message| self.caller.seal(&message));
        self.letters.extend(letter);
    }
}

fn here(text: &str) -> RegistryError {
    RegistryError::Proxied {
        kind: Kind::Here,
        text: text.to_owned(),
    }
}

/// What the proxy says, as if a registry had.
fn refusal(failed: Failed) -> RegistryError {
    let kind = match failed.reason {
        Reason::Name => Kind::Name,
        Reason::Credentials => Kind::Credentials,
        Reason::Network => Kind::Network,
        Reason::Digest => Kind::Digest,
        Reason::MediaType => Kind::MediaType,
        Reason::Size => Kind::Size,
        Reason::Busy | Reason::Refused | Reason::Proxy => Kind::Here,
    };
    let text = failed.text;
    RegistryError::Proxied { kind, text }
}
