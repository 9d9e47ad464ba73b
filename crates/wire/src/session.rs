//! The keys and counters of one conversation between a manager and a proplet.

use std::fmt;

use aws_lc_rs::{aead, digest, hmac};
use propeller_envelope::{KeyId, WorkloadKey};
use propeller_model::PropletId;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::frame::{Answer, Nonce, Sealed, SessionId, TAG_LEN, put_id, sealed_head};
use crate::message::{encode_onto, encoded_len};
use crate::window::Window;

/// Which end of the conversation we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The manager.
    Manager,
    /// The proplet.
    Proplet,
}

/// What a conversation is about. A session, and an answer that offers one, are nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Tasks: a manager and a proplet.
    Tasks,
    /// Images: a proxy, in the place of the manager, and a proplet.
    Images,
}

impl Subject {
    /// What its keys are derived for: answers, and frames.
    fn labels(self) -> [&'static [u8]; 2] {
        match self {
            Self::Tasks => [b"propeller wire v1 answer", b"propeller wire v1 frame"],
            Self::Images => [
                b"propeller wire v1 images answer",
                b"propeller wire v1 images frame",
            ],
        }
    }
}

/// What the binding of a session is derived for.
const BINDING: &[u8] = b"propeller wire v1 binding";

/// Who talks to whom about what, and with which randomness: everything that makes a session but its
/// key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What about.
    pub subject: Subject,
    /// The manager's instance.
    pub manager: PropletId,
    /// The proplet.
    pub proplet: PropletId,
    /// The proplet's half.
    pub proplet_nonce: Nonce,
    /// The manager's half.
    pub manager_nonce: Nonce,
}

/// A frame that could not be opened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Changed, forged, or meant for another topic.
    #[error("cipher: message authentication failed")]
    Forged,
    /// Seen before, or too old to tell.
    #[error("repeated frame {counter}")]
    Repeated {
        /// The frame's number.
        counter: u64,
    },
    /// The counter is used up.
    #[error("the session has sent as many frames as it can")]
    Exhausted,
}

/// One session: seals what we say, opens what the other side says, each frame once.
pub struct Session {
    pair: Pair,
    side: Side,
    id: SessionId,
    binding: [u8; 32],
    key_id: KeyId,
    sending: aead::LessSafeKey,
    receiving: aead::LessSafeKey,
    sent: u64,
    window: Window,
}

impl Session {
    /// Derives the session of `pair` under `key`.
    #[must_use]
    pub fn new(key: &WorkloadKey, pair: Pair, side: Side) -> Self {
        let to_proplet = frame_key(key, &pair, 1);
        let to_manager = frame_key(key, &pair, 2);
        let (sending, receiving) = match side {
            Side::Manager => (to_proplet, to_manager),
            Side::Proplet => (to_manager, to_proplet),
        };
        Self {
            id: session_id(&pair),
            binding: *derived(key, &pair, &[BINDING]),
            key_id: key.id(),
            sending,
            receiving,
            sent: 0,
            window: Window::default(),
            pair,
            side,
        }
    }

    /// The session's name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What both ends know and nobody else can make, for evidence to be bound to: it tells nothing
    /// about the keys of the session.
    #[must_use]
    pub fn binding(&self) -> [u8; 32] {
        self.binding
    }

    /// What the session is made from.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The key it is made with.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Seals `plain` for `channel`; also returns the frame's number.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`] after 2⁶⁴ − 1 frames.
    pub fn seal(
        &mut self,
        channel: &Channel,
        plain: &[u8],
    ) -> Result<(Vec<u8>, u64), SessionError> {
        self.seal_written(channel, plain.len(), |mut frame| {
            frame.extend_from_slice(plain);
            frame
        })
    }

    /// As [`seal`](Self::seal), for a message, which is encoded where it is sealed: a chunk is half a
    /// megabyte, and every copy of it shows.
    pub(crate) fn seal_message<T: Serialize>(
        &mut self,
        channel: &Channel,
        message: &T,
    ) -> Result<(Vec<u8>, u64), SessionError> {
        self.seal_written(channel, encoded_len(message), |frame| {
            encode_onto(message, frame)
        })
    }

    /// Seals the `len` bytes that are written behind what it is given: with room for them and their
    /// tag, so that a frame is where it was first.
    fn seal_written(
        &mut self,
        channel: &Channel,
        len: usize,
        write: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Result<(Vec<u8>, u64), SessionError> {
        let counter = self.sent;
        self.sent = counter.checked_add(1).ok_or(SessionError::Exhausted)?;
        let sender = match self.side {
            Side::Manager => &self.pair.manager,
            Side::Proplet => &self.pair.proplet,
        };
        let mut head = sealed_head(self.key_id, self.id, sender, counter);
        let aad = associated_data(&head, channel);
        let start = head.len();
        head.reserve_exact(len + TAG_LEN);
        let mut frame = write(head);
        let tag = self
            .sending
            .seal_in_place_separate_tag(nonce(counter), aead::Aad::from(aad), &mut frame[start..])
            .expect("a message is at most 4 MiB");
        frame.extend_from_slice(tag.as_ref());
        Ok((frame, counter))
    }

    /// Opens a frame that came on `channel`, once.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn open(&mut self, channel: &Channel, frame: &Sealed<'_>) -> Result<Vec<u8>, SessionError> {
        let mut plain = Vec::new();
        self.open_in(channel, frame, &mut plain)?;
        Ok(plain)
    }

    /// As [`open`](Self::open), in memory that may have been used before; empty if there is an error.
    pub(crate) fn open_in(
        &mut self,
        channel: &Channel,
        frame: &Sealed<'_>,
        plain: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let counter = frame.counter;
        if !self.window.is_new(counter) {
            plain.clear();
            return Err(SessionError::Repeated { counter });
        }
        let (ciphertext, tag) = frame.body.split_at(frame.body.len() - TAG_LEN);
        match plain.capacity() < ciphertext.len() {
            // Of one that is too small nothing is copied, and the system has zeroes.
            true => *plain = vec![0; ciphertext.len()],
            false => plain.resize(ciphertext.len(), 0),
        }
        let aad = associated_data(frame.head, channel);
        self.receiving
            .open_separate_gather(nonce(counter), aead::Aad::from(aad), ciphertext, tag, plain)
            .map_err(|_| {
                plain.clear();
                SessionError::Forged
            })?;
        self.window.mark(counter);
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("key_id", &self.key_id)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// An answer that proves that its author holds `key`.
    #[must_use]
    pub fn authentic(key: &WorkloadKey, pair: &Pair) -> Self {
        let mut answer = Self {
            manager: pair.manager.clone(),
            proplet: pair.proplet.clone(),
            key_id: key.id(),
            proplet_nonce: pair.proplet_nonce,
            manager_nonce: pair.manager_nonce,
            mac: [0; 32],
        };
        let mac = hmac::sign(
            &answer_key(key, pair.subject),
            &answer.write_unauthenticated(),
        );
        answer.mac.copy_from_slice(mac.as_ref());
        answer
    }

    /// The pair that this answer completes, if its author holds `key` and talks about `subject`.
    #[must_use]
    pub fn authenticate(self, key: &WorkloadKey, subject: Subject) -> Option<Pair> {
        let key = answer_key(key, subject);
        hmac::verify(&key, &self.write_unauthenticated(), &self.mac).ok()?;
        Some(Pair {
            subject,
            manager: self.manager,
            proplet: self.proplet,
            proplet_nonce: self.proplet_nonce,
            manager_nonce: self.manager_nonce,
        })
    }
}

fn answer_key(key: &WorkloadKey, subject: Subject) -> hmac::Key {
    let [answer, _] = subject.labels();
    let key = key.derive(b"", &[answer]);
    hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())
}

/// `HKDF(key, both nonces, label ‖ names of both ends)`.
fn derived(key: &WorkloadKey, pair: &Pair, label: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(&pair.proplet_nonce);
    salt[32..].copy_from_slice(&pair.manager_nonce);
    let mut names = Vec::new();
    put_id(&mut names, &pair.manager);
    put_id(&mut names, &pair.proplet);
    let label = label.concat();
    key.derive(&salt, &[&label, &names])
}

fn frame_key(key: &WorkloadKey, pair: &Pair, direction: u8) -> aead::LessSafeKey {
    let [_, frame] = pair.subject.labels();
    let key = derived(key, pair, &[frame, &[direction]]);
    let key =
        aead::UnboundKey::new(&aead::AES_256_GCM, key.as_slice()).expect("the key is 32 bytes");
    aead::LessSafeKey::new(key)
}

fn session_id(pair: &Pair) -> SessionId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"propeller wire v1 session");
    context.update(&pair.proplet_nonce);
    context.update(&pair.manager_nonce);
    let hash = context.finish();
    SessionId(hash.as_ref()[..8].try_into().expect("a digest is longer"))
}

fn associated_data(head: &[u8], channel: &Channel) -> Vec<u8> {
    let mut aad = head.to_vec();
    aad.push(channel.code());
    aad
}

fn nonce(counter: u64) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}
