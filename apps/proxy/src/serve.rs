//! The proxy's loop: one task owns the sessions and the connection to the broker.
//!
//! It never waits inside a step: frames stand in a short queue until the connection takes them, and
//! whatever arrives is read meanwhile. Who waits for the other's bytes to be read, and reads none of
//! his own, waits for ever.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_wire::frame::looks_like_frame;
use propeller_wire::images::{FromProxy, ToProxy, Welcome};
use propeller_wire::link::{Incoming, Link, Outgoing};
use propeller_wire::{Channel, Desk, Images, Received};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::asks::{Answer, Asks, Message};
use crate::plain::Plain;

/// Frames that wait for the connection. Those with bytes are few and bounded where they are made;
/// a short one more than this is dropped, and asked for again.
const WAITING_MAX: usize = 4096;
/// Proplets whose sessions are remembered: whoever was quiet for longest has to announce itself anew.
const PROPLETS_MAX: usize = 8192;

/// A frame that waits, with the place in memory of what is in it.
type Waiting = (Outgoing, Option<OwnedSemaphorePermit>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) desk: Desk<Images>,
    pub(crate) link: Link,
    pub(crate) asks: Asks,
    pub(crate) answers: mpsc::Receiver<Answer>,
    /// For upstream's proplets, if the operator wants that.
    pub(crate) plain: Option<Plain>,
    pub(crate) chunk_len: u32,
    pub(crate) keys: watch::Receiver<Keyring>,
    pub(crate) waiting: VecDeque<Waiting>,
    /// When each proplet was last heard, as a count of what was heard.
    pub(crate) heard: HashMap<PropletId, u64>,
    pub(crate) hearings: u64,
}

impl Serving {
    /// Runs until `stop` fires.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let outgoing = self.link.outgoing.clone();
        loop {
            tokio::select! {
                incoming = self.link.incoming.recv() => match incoming {
                    Some(incoming) => self.incoming(incoming),
                    None => return,
                },
                permit = outgoing.reserve(), if !self.waiting.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some((frame, _place)) = self.waiting.pop_front() {
                        permit.send(frame);
                    }
                }
                // One after the other: the next is read from the disk when this one is on its way.
                Some(answer) = self.answers.recv(), if self.waiting.is_empty() => {
                    self.answer(answer);
                }
                () = self.asks.ended() => {}
                () = ended(&mut self.plain) => {}
                Ok(()) = self.keys.changed() => self.rekey(),
                _ = &mut stop => return,
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Up => self.solicit(),
            Incoming::Down => warn!("the broker is gone"),
            Incoming::Frame { bytes, .. } if !looks_like_frame(&bytes) => match &mut self.plain {
                Some(plain) => plain.asked(&bytes),
                None => debug!("PROXY_ALLOW_PLAINTEXT_PROPLETS is off, JSON dropped"),
            },
            Incoming::Frame { channel, bytes } => {
                let mut nonce = [0; 32];
                if aws_lc_rs::rand::fill(&mut nonce).is_err() {
                    error!("the system has no randomness: cannot answer");
                    return;
                }
                match self.desk.receive(&channel, &bytes, nonce) {
                    Received::Announced {
                        proplet, answer, ..
                    } => self.send(Channel::ServeTo(proplet), answer, None),
                    Received::Said { proplet, message } => self.said(proplet, message),
                    Received::Dropped(why) => debug!(why, "frame dropped"),
                    // What it cannot open it does not get.
                    _ => {}
                }
            }
        }
    }

    fn said(&mut self, proplet: PropletId, message: ToProxy) {
        self.remember(&proplet);
        let answer = match message {
            ToProxy::Hello => {
                info!(%proplet, "proplet connected");
                Some(FromProxy::Welcome(Welcome {
                    chunk_len: self.chunk_len,
                }))
            }
            ToProxy::Document(ask) => self.asks.document(proplet.clone(), ask),
            ToProxy::Chunks(ask) => self.asks.chunks(proplet.clone(), ask),
            ToProxy::Forget(ask) => {
                self.asks.forget(proplet.clone(), ask);
                None
            }
        };
        if let Some(answer) = answer {
            self.say(&proplet, &answer, None);
        }
    }

    /// Notes who was heard, and forgets whoever was quiet for longest if they are too many.
    fn remember(&mut self, proplet: &PropletId) {
        self.hearings += 1;
        self.heard.insert(proplet.clone(), self.hearings);
        if self.heard.len() > PROPLETS_MAX {
            let quietest = self.heard.iter().min_by_key(|(_, heard)| **heard);
            if let Some(quietest) = quietest.map(|(proplet, _)| proplet.clone()) {
                self.heard.remove(&quietest);
                self.desk.forget(&quietest);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Answer { message, place } = answer;
        match message {
            Message::Sealed(proplet, message) => {
                self.say(&proplet, &message, place);
                self.asks.sent(message);
            }
            Message::Plain(bytes) => self.send(Channel::Serve, bytes, place),
        }
    }

    /// Takes other keys into use.
    fn rekey(&mut self) {
        let keys = self.keys.borrow_and_update().clone();
        self.desk.rekey(keys);
        self.solicit();
    }

    /// Asks who is there: proplets that were here before, and those that came while nobody was.
    fn solicit(&mut self) {
        let frame = self.desk.solicit();
        self.send(Channel::Serve, frame, None);
    }

    fn say(
        &mut self,
        proplet: &PropletId,
        message: &FromProxy,
        place: Option<OwnedSemaphorePermit>,
    ) {
        if let Some(letter) = self.desk.seal(proplet, message) {
            self.send(letter.channel, letter.frame, place);
        }
    }

    fn send(&mut self, channel: Channel, frame: Vec<u8>, place: Option<OwnedSemaphorePermit>) {
        if self.waiting.len() >= WAITING_MAX {
            debug!("too much waits to be sent, frame dropped");
            return;
        }
        let frame = Outgoing {
            channel,
            bytes: Bytes::from(frame),
        };
        self.waiting.push_back((frame, place));
    }
}

async fn ended(plain: &mut Option<Plain>) {
    match plain {
        Some(plain) => plain.ended().await,
        None => std::future::pending().await,
    }
}
