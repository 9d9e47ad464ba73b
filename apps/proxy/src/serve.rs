//! The proxy's loop: one task owns the sessions and the connection to the broker.

use bytes::Bytes;
use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_wire::frame::looks_like_frame;
use propeller_wire::images::{FromProxy, ToProxy, Welcome};
use propeller_wire::link::{Incoming, Link, Outgoing};
use propeller_wire::{Channel, Desk, Images, Received};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::asks::{Answer, Asks, Message};
use crate::plain::Plain;

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
    /// Whether frames leave the machine: while they do not, nothing is read from the disk for them.
    pub(crate) link_up: bool,
}

impl Serving {
    /// Runs until `stop` fires.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                incoming = self.link.incoming.recv() => match incoming {
                    Some(incoming) => self.incoming(incoming).await,
                    None => return,
                },
                Some(answer) = self.answers.recv(), if self.link_up => {
                    match answer.message {
                        Message::Sealed(proplet, message) => self.say(&proplet, &message).await,
                        Message::Plain(bytes) => self.send(Channel::Serve, bytes).await,
                    }
                }
                () = self.asks.ended() => {}
                () = ended(&mut self.plain) => {}
                Ok(()) = self.keys.changed() => self.rekey().await,
                _ = &mut stop => return,
            }
        }
    }

    async fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Up => {
                self.link_up = true;
                self.solicit().await;
            }
            Incoming::Down => {
                self.link_up = false;
                warn!("the broker is gone");
            }
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
                    } => self.send(Channel::ServeTo(proplet), answer).await,
                    Received::Said { proplet, message } => self.said(proplet, message).await,
                    Received::Dropped(why) => debug!(why, "frame dropped"),
                    // What it cannot open it does not get.
                    _ => {}
                }
            }
        }
    }

    async fn said(&mut self, proplet: PropletId, message: ToProxy) {
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
            self.say(&proplet, &answer).await;
        }
    }

    /// Takes other keys into use.
    async fn rekey(&mut self) {
        let keys = self.keys.borrow_and_update().clone();
        self.desk.rekey(keys);
        self.solicit().await;
    }

    /// Asks who is there: proplets that were here before, and those that came while nobody was.
    async fn solicit(&mut self) {
        let frame = self.desk.solicit();
        self.send(Channel::Serve, frame).await;
    }

    async fn say(&mut self, proplet: &PropletId, message: &FromProxy) {
        if let Some(letter) = self.desk.seal(proplet, message) {
            self.send(letter.channel, letter.frame).await;
        }
    }

    /// Waits for room: that is what keeps chunks on the disk until the broker takes them.
    async fn send(&mut self, channel: Channel, frame: Vec<u8>) {
        let frame = Outgoing {
            channel,
            bytes: Bytes::from(frame),
        };
        if self.link.outgoing.send(frame).await.is_err() {
            debug!("the connection is gone");
        }
    }
}

async fn ended(plain: &mut Option<Plain>) {
    match plain {
        Some(plain) => plain.ended().await,
        None => std::future::pending().await,
    }
}
