//! A courier, a proxy that does as it is told, and whatever time a test says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::{Digest, PropletId};
use propeller_oci::RegistryError;
use propeller_wire::images::{AskChunks, Chunk, FromProxy, ToProxy, Welcome};
use propeller_wire::{Channel, Desk, Images, Received};
use serde_bytes::ByteBuf;
use tokio::sync::{oneshot, watch};

use super::super::chunks::Whole;
use super::super::tally::Tally;
use super::super::{Courier, Order};

pub(super) const CHUNK: usize = 32 * 1024;

pub(super) const DIGEST: Digest = Digest([7; 32]);

pub(super) type Answer<T> = oneshot::Receiver<Result<T, RegistryError>>;

pub(super) fn keys() -> Keyring {
    Keyring::new(WorkloadKey::from_bytes([1; 32]))
}

/// Both ends, and what lies between them.
pub(super) struct Bed {
    id: PropletId,
    pub(super) courier: Courier,
    pub(super) proxy: Desk<Images>,
    pub(super) there: watch::Receiver<bool>,
    pub(super) now: Instant,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::of("edge-1", keys())
    }

    /// Of a proplet by that name; both ends have these keys.
    pub(super) fn of(name: &str, keys: Keyring) -> Self {
        let id: PropletId = name.parse().unwrap();
        let (told, there) = watch::channel(false);
        Self {
            courier: Courier::new(id.clone(), keys.clone(), told),
            id,
            proxy: Desk::new("proxy-1".parse().unwrap(), keys),
            there,
            now: Instant::now(),
        }
    }

    pub(super) fn connected() -> Self {
        let mut bed = Self::new();
        bed.connect();
        bed
    }

    pub(super) fn connect(&mut self) {
        self.courier.up(self.now);
        self.shake_hands(CHUNK);
        assert!(*self.there.borrow());
    }

    /// Carries everything until the session is on.
    pub(super) fn shake_hands(&mut self, chunk_len: usize) {
        for _ in 0..2 {
            for message in self.heard() {
                assert_eq!(message, ToProxy::Hello);
                let chunk_len = u32::try_from(chunk_len).unwrap();
                self.say(&FromProxy::Welcome(Welcome { chunk_len }));
            }
        }
    }

    /// What the proxy hears.
    pub(super) fn heard(&mut self) -> Vec<ToProxy> {
        let mut heard = Vec::new();
        for (channel, frame) in self.courier.letters() {
            match self.proxy.receive(&channel, &frame, [9; 32]) {
                Received::Announced { answer, .. } => {
                    let channel = Channel::ServeTo(self.id.clone());
                    self.courier.receive(&channel, &answer, self.now);
                }
                Received::Said { message, .. } => heard.push(message),
                // What was said in a session that another one has replaced.
                Received::Dropped(_) => {}
                other => panic!("{other:?}"),
            }
        }
        heard
    }

    pub(super) fn asks(&mut self) -> Vec<AskChunks> {
        let asks = self
            .heard()
            .into_iter()
            .filter_map(|message| match message {
                ToProxy::Chunks(ask) => Some(ask),
                // In a session that it made for being asked in vain.
                ToProxy::Hello => None,
                other => panic!("{other:?}"),
            });
        asks.collect()
    }

    pub(super) fn frame(&mut self, message: &FromProxy) -> Vec<u8> {
        self.proxy.seal(&self.id, message).unwrap().frame
    }

    pub(super) fn say(&mut self, message: &FromProxy) {
        let frame = self.frame(message);
        self.give(&frame);
    }

    pub(super) fn give(&mut self, frame: &[u8]) {
        let channel = Channel::ServeTo(self.id.clone());
        self.courier.receive(&channel, frame, self.now);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.courier.tick(self.now);
    }

    pub(super) fn order(&mut self, len: usize) -> Answer<Whole> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Blob {
            reference: "ghcr.io/a/b".to_owned(),
            digest: DIGEST,
            len: len as u64,
            tally: Arc::new(Tally::new(len as u64)),
            reply,
        };
        self.courier.order(order, self.now);
        answer
    }
}

/// So many hundredths of a chunk.
pub(super) fn len(hundredths: usize) -> usize {
    hundredths * CHUNK / 100
}

pub(super) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A chunk of `bytes`, as it should be.
pub(super) fn chunk(ask: u64, bytes: &[u8], index: usize) -> FromProxy {
    let end = ((index + 1) * CHUNK).min(bytes.len());
    FromProxy::Chunk(Chunk {
        ask,
        index: u32::try_from(index).unwrap(),
        bytes: ByteBuf::from(&bytes[index * CHUNK..end]),
    })
}

/// What has come.
pub(super) fn got(answer: &mut Answer<Whole>) -> (Vec<u8>, Digest) {
    let (bytes, digest) = answer.try_recv().unwrap().unwrap().finish();
    (bytes.into(), digest)
}

pub(super) fn with_digest(bytes: Vec<u8>) -> (Vec<u8>, Digest) {
    let digest = propeller_oci::sha256(&bytes);
    (bytes, digest)
}

pub(super) fn refused<T: std::fmt::Debug>(mut answer: Answer<T>) -> String {
    answer.try_recv().unwrap().unwrap_err().to_string()
}
