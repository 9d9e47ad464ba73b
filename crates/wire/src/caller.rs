//! The proplet's end of the handshake: announces, then talks in the session it was given.

use std::fmt;
use std::marker::PhantomData;

use propeller_envelope::Keyring;
use propeller_model::PropletId;
use serde::Deserialize;

use crate::channel::Channel;
use crate::dialogue::{Dialogue, Tasks};
use crate::frame::{Announce, Answer, Frame, Nonce, Reject, Sealed};
use crate::message::{ToProplet, decode};
use crate::session::{Session, Side};

/// Sessions that were offered and not yet used by the manager, newest last.
const PENDING_MAX: usize = 4;
/// Answers to one announcement that are listened to: as many instances may serve a channel.
const ANSWERS_MAX: usize = 4;

/// The sessions of one proplet, in one dialogue.
pub struct Caller<D = Tasks> {
    id: PropletId,
    keys: Keyring,
    announced: Option<Nonce>,
    /// The manager's halves that the announced one has met. A pair makes one session, ever, also
    /// after that session is forgotten: its key must not meet a counter twice.
    answered: Vec<Nonce>,
    pending: Vec<Session>,
    current: Option<Session>,
    dialogue: PhantomData<fn() -> D>,
}

/// What a frame meant.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard<M = ToProplet> {
    /// A session is offered: say hello with [`Caller::seal_hello`].
    Offered,
    /// The manager said something in the running session.
    Said(M),
    /// A manager asks who is here: announce yourself.
    Solicited,
    /// A manager that does not have our key answered with one that we do not have.
    OtherKey,
    /// Sent to us under a key we do not have: send this reject frame.
    Unopenable(Reject),
    /// Nothing to act on. The text is for a debug log and a counter.
    Dropped(&'static str),
}

impl<D: Dialogue> Caller<D> {
    /// A proplet without a session.
    #[must_use]
    pub fn new(id: PropletId, keys: Keyring) -> Self {
        Self {
            id,
            keys,
            announced: None,
            answered: Vec::new(),
            pending: Vec::new(),
            current: None,
            dialogue: PhantomData,
        }
    }

    /// Takes other keys into use and ends the sessions under a key that is gone. Announce anew after
    /// it: the next session is made with the key that seals now.
    pub fn rekey(&mut self, keys: Keyring) {
        self.pending.retain(|s| keys.find(s.key_id()).is_some());
        self.current.take_if(|s| keys.find(s.key_id()).is_none());
        self.keys = keys;
    }

    /// An announcement with `nonce`, which must be fresh.
    ///
    /// The running session stays in force until the new one is confirmed.
    pub fn announce(&mut self, nonce: Nonce) -> Vec<u8> {
        if self.announced.replace(nonce) != Some(nonce) {
            self.answered.clear();
        }
        Announce {
            proplet: self.id.clone(),
            key_id: self.keys.sealing().id(),
            nonce,
        }
        .write()
    }

    /// Whether there is a confirmed session.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// The binding of the running session, if there is one.
    #[must_use]
    pub fn binding(&self) -> Option<[u8; 32]> {
        self.current.as_ref().map(Session::binding)
    }

    /// Seals a message in the running session, if there is one.
    pub fn seal(&mut self, message: &D::FromProplet) -> Option<(Channel, Vec<u8>)> {
        seal_in::<D>(self.current.as_mut()?, message)
    }

    /// Seals the first message of the session that was offered last.
    pub fn seal_hello(&mut self, message: &D::FromProplet) -> Option<(Channel, Vec<u8>)> {
        seal_in::<D>(self.pending.last_mut()?, message)
    }

    /// Takes a frame that came on `channel`.
    pub fn receive(&mut self, channel: &Channel, bytes: &[u8]) -> Heard<D::ToProplet> {
        self.take(channel, bytes, &mut Vec::new())
    }

    /// As [`receive`](Self::receive), opened in `plain`: whoever gives the same again and again has
    /// its memory asked for, and zeroed, once. What was in it is gone.
    pub fn receive_in<'p>(
        &mut self,
        channel: &Channel,
        bytes: &[u8],
        plain: &'p mut Vec<u8>,
    ) -> Heard<D::Lent<'p>> {
        self.take(channel, bytes, plain)
    }

    fn take<'p, M: Deserialize<'p>>(
        &mut self,
        channel: &Channel,
        bytes: &[u8],
        plain: &'p mut Vec<u8>,
    ) -> Heard<M> {
        match Frame::read(bytes) {
            Ok(Frame::Answer(answer)) => self.answered(answer),
            Ok(Frame::Sealed(sealed)) => self.opened(channel, &sealed, plain),
            Ok(Frame::Solicit { .. }) => Heard::Solicited,
            Ok(Frame::Announce(_) | Frame::Reject(_)) => Heard::Dropped("not meant for a proplet"),
            Err(_) => Heard::Dropped("malformed frame"),
        }
    }

    fn answered<M>(&mut self, answer: Answer) -> Heard<M> {
        if answer.proplet != self.id || self.announced != Some(answer.proplet_nonce) {
            return Heard::Dropped("answer to somebody or something else");
        }
        let Some(key) = self.keys.find(answer.key_id) else {
            return Heard::OtherKey;
        };
        let Some(pair) = answer.authenticate(key, D::SUBJECT) else {
            return Heard::Dropped("forged answer");
        };
        if self.answered.contains(&pair.manager_nonce) {
            return Heard::Dropped("repeated answer");
        }
        if self.answered.len() == ANSWERS_MAX {
            return Heard::Dropped("too many answers to one announcement");
        }
        self.answered.push(pair.manager_nonce);
        if self.pending.len() == PENDING_MAX {
            self.pending.remove(0);
        }
        self.pending.push(Session::new(key, pair, Side::Proplet));
        Heard::Offered
    }

    fn opened<'p, M: Deserialize<'p>>(
        &mut self,
        channel: &Channel,
        sealed: &Sealed<'_>,
        plain: &'p mut Vec<u8>,
    ) -> Heard<M> {
        if self.keys.find(sealed.key_id).is_none() {
            return Heard::Unopenable(Reject {
                proplet: self.id.clone(),
                session: sealed.session,
                counter: sealed.counter,
            });
        }
        let offered = self.pending.iter().position(|s| s.id() == sealed.session);
        let session = match offered {
            Some(index) => &mut self.pending[index],
            None => match &mut self.current {
                Some(current) if current.id() == sealed.session => current,
                _ => return Heard::Dropped("frame of an unknown session"),
            },
        };
        if session.open_in(channel, sealed, plain).is_err() {
            return Heard::Dropped("forged or repeated frame");
        }
        let message = decode(plain);
        if let Some(index) = offered {
            self.current = Some(self.pending.swap_remove(index));
            self.pending.clear();
        }
        message.map_or(Heard::Dropped("malformed message"), Heard::Said)
    }
}

fn seal_in<D: Dialogue>(
    session: &mut Session,
    message: &D::FromProplet,
) -> Option<(Channel, Vec<u8>)> {
    let channel = D::from_proplet(message);
    let (frame, _) = session.seal_message(&channel, message).ok()?;
    Some((channel, frame))
}

impl<D> fmt::Debug for Caller<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("id", &self.id)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
