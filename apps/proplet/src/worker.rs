//! The proplet's loop: one task owns the session, the running attempts and the outbox.
//!
//! ```text
//!            Start                whole module            ended
//!   manager ──────▶ (fetching) ──────────────▶ running ─────────▶ outbox ──▶ manager
//!                                                 │                  ▲           │
//!                                                 └── Stop, lease over┘  Settled ─┘
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_blobs::Blobs;
use propeller_envelope::Keyring;
use propeller_model::{AttemptId, Lease};
use propeller_wire::link::{Incoming, Link, Outgoing};
use propeller_wire::message::{About, FromProplet, Heartbeat, Refusal, Refused, TeeClaim};
use propeller_wire::{Caller, Channel, Heard};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::attempts::Running;
use crate::cache::Modules;
use crate::courier::{Courier, Order};
use crate::fetch::Fetches;
use crate::outbox::{Outbox, OutboxError};
use crate::presence::{ANNOUNCE_MIN, PROVE_EVERY};
use crate::vitals::vitals;
use crate::watch::{TELL_EVERY, Watches};
use crate::work::{Bench, Worked};

/// How often late things are looked at.
const TICK: Duration = Duration::from_millis(200);
/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) bench: Bench,
    pub(crate) caller: Caller,
    pub(crate) about: About,
    pub(crate) slots: u32,
    pub(crate) heartbeat: Duration,
    outgoing: mpsc::Sender<Outgoing>,
    incoming: mpsc::Receiver<Incoming>,
    pub(crate) running: HashMap<AttemptId, Running>,
    pub(crate) attempts: JoinSet<(AttemptId, Worked)>,
    pub(crate) long: mpsc::Sender<AttemptId>,
    long_ones: mpsc::Receiver<AttemptId>,
    pub(crate) fetches: Fetches,
    pub(crate) modules: Modules<Bytes>,
    pub(crate) outbox: Outbox,
    pub(crate) watches: Watches,
    pub(crate) courier: Courier,
    orders: mpsc::Receiver<Order>,
    /// When evidence was last made for the session.
    pub(crate) proved: Instant,
    /// Evidence for sessions, in the making.
    pub(crate) proving: JoinSet<([u8; 32], Result<TeeClaim, String>)>,
    /// What is on disk of images, which is sealed with the same keys.
    blobs: Option<Arc<Blobs>>,
    pub(crate) lease: Duration,
    /// Runs out if the manager answers no heartbeat.
    pub(crate) lifeline: Option<Lease>,
    pub(crate) beats: u64,
    pub(crate) beat_sent: Instant,
    pub(crate) beat_answered: u64,
    pub(crate) announce_at: Option<Instant>,
    pub(crate) announce_pause: Duration,
    pub(crate) announced: Option<Instant>,
    /// Whether frames leave the machine. While they do not, none is made: they would only pile up.
    link_up: bool,
    keys: watch::Receiver<Keyring>,
    /// When each thing that anybody can cause was last logged.
    complained: HashMap<Complaint, Instant>,
}

/// What anybody on the broker can make a proplet log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Complaint {
    OtherKey,
    Unopenable,
}

/// What a [`Worker`] is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) bench: Bench,
    pub(crate) keys: watch::Receiver<Keyring>,
    pub(crate) about: About,
    pub(crate) slots: u32,
    pub(crate) heartbeat: Duration,
    pub(crate) link: Link,
    pub(crate) courier: Courier,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) blobs: Option<Arc<Blobs>>,
}

impl Worker {
    pub(crate) fn new(parts: Parts, outbox: &Path) -> Result<Self, OutboxError> {
        let Parts {
            bench,
            keys,
            about,
            slots,
            heartbeat,
            link,
            courier,
            orders,
            blobs,
        } = parts;
        let now = Instant::now();
        let ring = keys.borrow().clone();
        let (long, long_ones) = mpsc::channel(slots as usize);
        Ok(Self {
            caller: Caller::new(bench.proplet.clone(), ring.clone()),
            outbox: Outbox::open(outbox, bench.proplet.clone(), ring, now)?,
            bench,
            about,
            slots,
            heartbeat,
            outgoing: link.outgoing,
            incoming: link.incoming,
            running: HashMap::new(),
            attempts: JoinSet::new(),
            long,
            long_ones,
            fetches: Fetches::default(),
            modules: Modules::default(),
            watches: Watches::default(),
            courier,
            orders,
            proved: now,
            proving: JoinSet::new(),
            blobs,
            lease: heartbeat * 3,
            lifeline: None,
            beats: 0,
            beat_sent: now,
            beat_answered: 0,
            announce_at: None,
            announce_pause: ANNOUNCE_MIN,
            announced: None,
            link_up: false,
            keys,
            complained: HashMap::new(),
        })
    }

    /// Runs until `stop` fires, then says goodbye and writes down what is not acknowledged.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut reaching = JoinSet::new();
        if let Some(store) = self.bench.store.clone() {
            reaching.spawn(async move { store.reach().await });
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tell = tokio::time::interval(TELL_EVERY);
        tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                incoming = self.incoming.recv() => match incoming {
                    Some(incoming) => self.incoming(incoming),
                    None => break,
                },
                Some(ended) = self.attempts.join_next() => {
                    match ended {
                        Ok((attempt, worked)) => self.ended(attempt, worked),
                        Err(error) => self.crashed(&error),
                    }
                }
                Some(attempt) = self.long_ones.recv() => {
                    if self.running.contains_key(&attempt) {
                        self.say(&FromProplet::Started(attempt));
                    }
                }
                Some(order) = self.orders.recv() => self.order(order),
                Some(proven) = self.proving.join_next() => {
                    // One that was given up says nothing.
                    if let Ok((session, claim)) = proven {
                        self.proven(session, claim);
                    }
                }
                Some(reached) = reaching.join_next() => match reached {
                    Ok(()) => self.say_reach(),
                    Err(error) => {
                        error!(%error, "reaching the object store crashed; trying again");
                        if let Some(store) = self.bench.store.clone() {
                            reaching.spawn(async move { store.reach_again().await });
                        }
                    }
                },
                Ok(()) = self.keys.changed() => self.rekey(),
                _ = tick.tick() => self.tick(),
                _ = tell.tick(), if !self.watches.is_empty() => self.tell_printed(),
                _ = &mut stop => break,
            }
        }
        self.leave();
    }

    /// Takes other keys into use. Attempts under way end with those that they began with.
    fn rekey(&mut self) {
        let keys = self.keys.borrow_and_update().clone();
        self.bench.keys = keys.clone();
        self.outbox.rekey(keys.clone());
        if let Some(blobs) = &self.blobs {
            blobs.rekey(keys.clone());
        }
        self.caller.rekey(keys.clone());
        self.announce();
        self.ask_proxy(|courier, now| courier.rekey(keys, now));
    }

    /// Says something in the running session. Without one it is lost, as any message may be.
    pub(crate) fn say(&mut self, message: &FromProplet) {
        if !self.link_up {
            return;
        }
        if let Some((channel, frame)) = self.caller.seal(message) {
            self.send(channel, frame);
        }
    }

    /// Every attempt that this proplet has, in whatever stage.
    pub(crate) fn holds(&self) -> Vec<AttemptId> {
        let mut holds: Vec<AttemptId> = self.running.keys().copied().collect();
        holds.extend(self.fetches.attempts());
        holds.extend(self.outbox.attempts());
        holds
    }

    /// How many attempts are under way.
    pub(crate) fn busy(&self) -> usize {
        self.running.len() + self.fetches.attempts().count()
    }

    pub(crate) fn refuse(&mut self, attempt: AttemptId, reason: Refusal, text: &str) {
        info!(id = %attempt.task, attempt = attempt.number, reason = text, "refused");
        self.say(&FromProplet::Refused(Refused {
            attempt,
            reason,
            text: text.to_owned(),
        }));
    }

    /// Whether there is a session, and a broker to carry it.
    pub(crate) fn may_talk(&self) -> bool {
        self.link_up && self.caller.is_connected()
    }

    /// Sends what waits in the outbox.
    pub(crate) fn report(&mut self) {
        if !self.may_talk() {
            return;
        }
        for message in self.outbox.due(Instant::now()) {
            self.say(&message);
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Up => {
                self.link_up = true;
                self.outbox.forget_sent();
                self.announce_pause = ANNOUNCE_MIN;
                self.announce();
                self.ask_proxy(Courier::up);
            }
            Incoming::Down => {
                self.link_up = false;
                self.courier.down();
                warn!("the broker is gone; running attempts go on");
            }
            Incoming::Frame {
                channel: channel @ (Channel::Serve | Channel::ServeTo(_)),
                bytes,
            } => self.ask_proxy(|courier, now| courier.receive(&channel, &bytes, now)),
            Incoming::Frame { channel, bytes } => match self.caller.receive(&channel, &bytes) {
                Heard::Offered => self.hello(),
                Heard::Said(message) => self.said(message),
                Heard::Solicited => self.solicited(),
                Heard::OtherKey if self.may(Complaint::OtherKey) => {
                    warn!(
                        "the manager uses another workload key: PROPLET_WORKLOAD_KEY and MANAGER_WORKLOAD_KEY must be the same"
                    );
                }
                Heard::Unopenable(reject) => {
                    if self.may(Complaint::Unopenable) {
                        error!(
                            error = "cipher: message authentication failed",
                            "Failed to decrypt workload"
                        );
                    }
                    self.send(Channel::Create, reject.write());
                }
                Heard::Dropped(why) => debug!(why, "frame dropped"),
                _ => {}
            },
        }
    }

    /// Whether something that anybody can cause may be logged again.
    fn may(&mut self, complaint: Complaint) -> bool {
        const EVERY: Duration = Duration::from_millis(100);
        let last = self.complained.get(&complaint);
        let may = last.is_none_or(|at| at.elapsed() >= EVERY);
        if may {
            self.complained.insert(complaint, Instant::now());
        }
        may
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let (asks, hopeless) = self.fetches.tick(now);
        for fetch in asks {
            self.ask(fetch);
        }
        for digest in hopeless {
            for start in self.fetches.give_up(digest) {
                self.refuse(
                    start.attempt,
                    Refusal::NoModule,
                    "the module did not arrive",
                );
            }
        }
        if self.lifeline.is_some_and(|lease| lease.is_over(now)) {
            self.lifeline = None;
            self.stop_all("no answer from the manager within the lease");
        }
        if self.caller.is_connected() && now.duration_since(self.beat_sent) >= self.interval() {
            self.beat(now);
        }
        if self.announce_at.is_some_and(|at| now >= at) {
            self.announce();
        }
        self.report();
        self.outbox.spill(now, false);
        self.ask_proxy(Courier::tick);
    }

    /// Heartbeats are a third of a lease apart, so that two may be lost.
    pub(crate) fn interval(&self) -> Duration {
        self.heartbeat.min(self.lease / 3)
    }

    fn beat(&mut self, now: Instant) {
        if now.duration_since(self.proved) >= PROVE_EVERY {
            self.prove();
        }
        // Two in a row without an answer: the manager may have been restarted.
        if self.beats >= self.beat_answered + 2 && self.announce_at.is_none() {
            self.announce();
        }
        self.beats += 1;
        self.beat_sent = now;
        let heartbeat = FromProplet::Heartbeat(Heartbeat {
            number: self.beats,
            holds: self.holds(),
            vitals: vitals(),
        });
        self.say(&heartbeat);
        self.say_reach();
    }

    fn leave(&mut self) {
        self.stop_all("the proplet is shutting down");
        self.report();
        self.say(&FromProplet::Goodbye);
        self.outbox.spill(Instant::now(), true);
    }

    /// Frames are hints: when the queue is full, one is dropped.
    pub(crate) fn send(&self, channel: Channel, frame: Vec<u8>) {
        let frame = Outgoing {
            channel,
            bytes: Bytes::from(frame),
        };
        if self.outgoing.try_send(frame).is_err() {
            debug!("outgoing queue full, frame dropped");
        }
    }
}
