//! A broker in memory for tests: drops, repeats, reorders, replays and damages frames, by seed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::link::{Carry, INCOMING_MAX, Incoming, Link, Listen, OUTGOING_MAX, Outgoing};

/// How badly a [`Hub`] behaves. Each figure is a chance in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames that disappear.
    pub drop_percent: u8,
    /// Frames that arrive twice.
    pub repeat_percent: u8,
    /// Frames that are held back until another one has overtaken them.
    pub delay_percent: u8,
    /// Frames after which an old one is delivered once more.
    pub replay_percent: u8,
    /// Frames in which one bit is flipped.
    pub flip_percent: u8,
}

/// Old frames that a hostile broker remembers.
const REMEMBERED_MAX: usize = 256;

/// The broker. Clones are the same broker.
#[derive(Debug, Clone)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    chance: Chance,
    ends: Vec<(Listen, mpsc::Sender<Incoming>)>,
    held: Option<Outgoing>,
    old: Vec<Outgoing>,
}

impl Hub {
    /// A broker that misbehaves as told, always the same way for the same seed.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                faults,
                chance: Chance(seed),
                ends: Vec::new(),
                held: None,
                old: Vec::new(),
            })),
        }
    }

    /// Connects one end. The returned future carries its frames until the link is dropped.
    pub fn connect(&self, listen: Listen) -> (Link, Carry) {
        let (outgoing, mut from_end) = mpsc::channel(OUTGOING_MAX);
        let (to_end, incoming) = mpsc::channel(INCOMING_MAX);
        to_end
            .try_send(Incoming::Up)
            .expect("the queue is new and has room");
        let state = Arc::clone(&self.state);
        lock(&state).ends.push((listen, to_end));
        let carry = Box::pin(async move {
            while let Some(frame) = from_end.recv().await {
                lock(&state).carry(frame);
            }
        });
        (Link { outgoing, incoming }, carry)
    }
}

impl State {
    fn carry(&mut self, mut frame: Outgoing) {
        self.remember(&frame);
        if self.chance.hits(self.faults.replay_percent) {
            let index = self.chance.below(self.old.len());
            let old = self.old[index].clone();
            self.deliver(&old);
        }
        if self.chance.hits(self.faults.flip_percent) && !frame.bytes.is_empty() {
            let mut bytes = frame.bytes.to_vec();
            let bit = self.chance.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            frame.bytes = bytes.into();
        }
        if self.chance.hits(self.faults.drop_percent) {
            return;
        }
        if self.held.is_none() && self.chance.hits(self.faults.delay_percent) {
            self.held = Some(frame);
            return;
        }
        if self.chance.hits(self.faults.repeat_percent) {
            self.deliver(&frame);
        }
        self.deliver(&frame);
        if let Some(late) = self.held.take() {
            self.deliver(&late);
        }
    }

    fn remember(&mut self, frame: &Outgoing) {
        if self.old.len() < REMEMBERED_MAX {
            self.old.push(frame.clone());
        } else {
            let index = self.chance.below(REMEMBERED_MAX);
            self.old[index] = frame.clone();
        }
    }

    /// A full end loses the frame, as on a broker with a bounded queue.
    fn deliver(&mut self, frame: &Outgoing) {
        self.ends.retain(|(listen, end)| {
            if !listen.hears(&frame.channel) {
                return true;
            }
            let arrived = Incoming::Frame {
                channel: frame.channel.clone(),
                bytes: frame.bytes.clone(),
            };
            !matches!(
                end.try_send(arrived),
                Err(mpsc::error::TrySendError::Closed(_))
            )
        });
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn hits(&mut self, percent: u8) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below the bound")
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
