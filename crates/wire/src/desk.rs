//! The manager's end of the handshake, or a proxy's: answers announcements, one session per proplet.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use propeller_envelope::{KeyId, Keyring};
use propeller_model::PropletId;

use crate::channel::Channel;
use crate::dialogue::{Dialogue, Tasks};
use crate::frame::{Announce, Answer, Frame, Nonce, Reject, Sealed, SessionId, solicit};
use crate::message::{FromProplet, decode};
use crate::session::{Pair, Session, Side};

/// Sessions offered to one proplet and not yet confirmed.
const PENDING_MAX: usize = 4;
/// Proplets without a confirmed session that are remembered.
const STRANGERS_MAX: usize = 1024;

/// The sessions of one manager instance, or, in the dialogue about images, of one proxy.
pub struct Desk<D = Tasks> {
    id: PropletId,
    keys: Keyring,
    peers: HashMap<PropletId, Peer>,
    /// Increases with every announcement, to find the stranger that was quiet longest.
    clock: u64,
    dialogue: PhantomData<fn() -> D>,
}

struct Peer {
    /// Offered, oldest first.
    pending: Vec<Session>,
    current: Option<Session>,
    announced_key: KeyId,
    heard_at: u64,
}

/// What a frame meant.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is returned"
)]
#[non_exhaustive]
pub enum Received<M = FromProplet> {
    /// A proplet announced itself; send it `answer`.
    Announced {
        /// Who.
        proplet: PropletId,
        /// Whether it can open what we seal for it.
        key: KeyMatch,
        /// The frame to send to it.
        answer: Vec<u8>,
    },
    /// A proplet said something in its session.
    Said {
        /// Who.
        proplet: PropletId,
        /// What.
        message: M,
    },
    /// A proplet without a session could not open a frame we sent it.
    Rejected {
        /// Who.
        proplet: PropletId,
        /// The session of that frame.
        session: SessionId,
        /// The number of that frame.
        counter: u64,
    },
    /// Nothing to act on. The text is for a debug log and a counter.
    Dropped(&'static str),
}

/// Whether an announced key is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMatch {
    /// It is.
    Ours,
    /// It is not; the proplet may still have ours.
    Other,
}

/// A frame for one proplet.
#[derive(Debug)]
pub struct Letter {
    /// Where to send it.
    pub channel: Channel,
    /// Its bytes.
    pub frame: Vec<u8>,
    /// The session it belongs to.
    pub session: SessionId,
    /// Its number.
    pub counter: u64,
}

impl<D: Dialogue> Desk<D> {
    /// A manager instance without sessions.
    #[must_use]
    pub fn new(id: PropletId, keys: Keyring) -> Self {
        Self {
            id,
            keys,
            peers: HashMap::new(),
            clock: 0,
            dialogue: PhantomData,
        }
    }

    /// Takes other keys into use and ends every session under a key that is gone. Returns whose
    /// confirmed sessions those were.
    pub fn rekey(&mut self, keys: Keyring) -> Vec<PropletId> {
        let mut ended = Vec::new();
        for (proplet, peer) in &mut self.peers {
            peer.pending.retain(|s| keys.find(s.key_id()).is_some());
            let is_over = |s: &mut Session| keys.find(s.key_id()).is_none();
            if peer.current.take_if(is_over).is_some() {
                ended.push(proplet.clone());
            }
        }
        self.keys = keys;
        ended
    }

    /// The frame that asks every proplet to announce itself.
    #[must_use]
    pub fn solicit(&self) -> Vec<u8> {
        solicit(&self.id)
    }

    /// The binding of the running session with a proplet, if there is one.
    #[must_use]
    pub fn binding(&self, proplet: &PropletId) -> Option<[u8; 32]> {
        let session = self.peers.get(proplet)?.current.as_ref()?;
        Some(session.binding())
    }

    /// Whether the proplet has a confirmed session.
    #[must_use]
    pub fn is_connected(&self, proplet: &PropletId) -> bool {
        self.peers.get(proplet).is_some_and(|p| p.current.is_some())
    }

    /// Ends the session of a proplet that has left: from here on it is a stranger again.
    pub fn end(&mut self, proplet: &PropletId) {
        if let Some(peer) = self.peers.get_mut(proplet) {
            peer.current = None;
        }
    }

    /// Forgets a proplet and its sessions.
    pub fn forget(&mut self, proplet: &PropletId) {
        self.peers.remove(proplet);
    }

    /// Takes a frame that came on `channel`. `nonce` must be fresh.
    pub fn receive(
        &mut self,
        channel: &Channel,
        bytes: &[u8],
        nonce: Nonce,
    ) -> Received<D::FromProplet> {
        match Frame::read(bytes) {
            Ok(Frame::Announce(announce)) => self.announced(announce, nonce),
            Ok(Frame::Sealed(sealed)) => self.opened(channel, &sealed),
            Ok(Frame::Reject(reject)) => self.rejected(reject),
            Ok(Frame::Answer(_) | Frame::Solicit { .. }) => {
                Received::Dropped("not meant for a manager")
            }
            Err(_) => Received::Dropped("malformed frame"),
        }
    }

    /// Seals a message for a proplet: in its session, or, as a last resort, in one that it was
    /// offered and did not confirm.
    pub fn seal(&mut self, proplet: &PropletId, message: &D::ToProplet) -> Option<Letter> {
        let peer = self.peers.get_mut(proplet)?;
        let session = peer.current.as_mut().or_else(|| peer.pending.last_mut())?;
        let channel = D::to_proplet(message, proplet);
        let (frame, counter) = session.seal_message(&channel, message).ok()?;
        Some(Letter {
            channel,
            frame,
            session: session.id(),
            counter,
        })
    }

    fn announced(&mut self, announce: Announce, nonce: Nonce) -> Received<D::FromProplet> {
        let (key, matches) = match self.keys.find(announce.key_id) {
            Some(key) => (key.clone(), KeyMatch::Ours),
            None => (self.keys.sealing().clone(), KeyMatch::Other),
        };
        let proplet = announce.proplet.clone();
        self.make_room(&proplet);
        self.clock += 1;
        let peer = self.peers.entry(proplet.clone()).or_insert_with(|| Peer {
            pending: Vec::new(),
            current: None,
            announced_key: announce.key_id,
            heard_at: 0,
        });
        peer.heard_at = self.clock;
        peer.announced_key = announce.key_id;
        let known = peer
            .sessions()
            .find(|s| s.pair().proplet_nonce == announce.nonce && s.key_id() == key.id());
        let pair = match known {
            Some(session) => session.pair().clone(),
            None => {
                let pair = Pair {
                    subject: D::SUBJECT,
                    manager: self.id.clone(),
                    proplet: proplet.clone(),
                    proplet_nonce: announce.nonce,
                    manager_nonce: nonce,
                };
                peer.offer(Session::new(&key, pair.clone(), Side::Manager));
                pair
            }
        };
        Received::Announced {
            proplet,
            key: matches,
            answer: Answer::authentic(&key, &pair).write(),
        }
    }

    fn opened(&mut self, channel: &Channel, sealed: &Sealed<'_>) -> Received<D::FromProplet> {
        let Some(peer) = self.peers.get_mut(&sealed.sender) else {
            return Received::Dropped("frame from an unknown proplet");
        };
        let offered = peer.pending.iter().position(|s| s.id() == sealed.session);
        let session = match offered {
            Some(index) => &mut peer.pending[index],
            None => match &mut peer.current {
                Some(current) if current.id() == sealed.session => current,
                _ => return Received::Dropped("frame of an unknown session"),
            },
        };
        let Ok(plain) = session.open(channel, sealed) else {
            return Received::Dropped("forged or repeated frame");
        };
        if let Some(index) = offered {
            peer.current = Some(peer.pending.swap_remove(index));
            peer.pending.clear();
        }
        match decode(&plain) {
            Ok(message) => Received::Said {
                proplet: sealed.sender.clone(),
                message,
            },
            Err(_) => Received::Dropped("malformed message"),
        }
    }

    fn rejected(&self, reject: Reject) -> Received<D::FromProplet> {
        match self.peers.get(&reject.proplet) {
            Some(peer)
                if peer.current.is_none() && self.keys.find(peer.announced_key).is_none() =>
            {
                Received::Rejected {
                    proplet: reject.proplet,
                    session: reject.session,
                    counter: reject.counter,
                }
            }
            _ => Received::Dropped("reject from a proplet that is not a stranger"),
        }
    }

    /// Forgets the stranger that was quiet longest, if there are too many.
    fn make_room(&mut self, newcomer: &PropletId) {
        if self.peers.contains_key(newcomer) {
            return;
        }
        let strangers = || self.peers.iter().filter(|(_, p)| p.current.is_none());
        if strangers().count() < STRANGERS_MAX {
            return;
        }
        let quietest = strangers()
            .min_by_key(|(_, peer)| peer.heard_at)
            .map(|(proplet, _)| proplet.clone());
        if let Some(proplet) = quietest {
            self.peers.remove(&proplet);
        }
    }
}

impl Peer {
    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.pending.iter().chain(&self.current)
    }

    fn offer(&mut self, session: Session) {
        if self.pending.len() == PENDING_MAX {
            self.pending.remove(0);
        }
        self.pending.push(session);
    }
}

impl<D> fmt::Debug for Desk<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("id", &self.id)
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}
