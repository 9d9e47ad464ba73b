//! The dispatcher: one thread that owns the store and decides everything.
//!
//! It takes whatever has come in since it last looked (frames, commands, ticks), applies all of it
//! in one transaction, plans, commits, and only then answers and sends. A batch is as large as the
//! commit before it was slow, so that one fsync serves many tasks. The store is the truth: what is
//! in memory (sessions, leases, who is alive) can be lost and is rebuilt.

mod apply;
mod attested;
mod command;
mod commands;
mod effect;
mod fleet;
mod give_up;
mod leases;
mod logs;
mod place;
mod plain;
mod said;
mod settle;
mod signed;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use propeller_envelope::Keyring;
use propeller_model::retry::Policy;
use propeller_model::{Digest, PropletId};
use propeller_wire::Desk;
use propeller_wire::link::{Incoming, Outgoing};
use propeller_wire::message::StoreMark;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info};

use crate::clock::now_ms;
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::objects::Discards;
use crate::store::{Store, StoreError};
use crate::verifier::{Judged, Verifier};

pub use apply::Input;
pub use command::{Answer, Change, Command, NewInput, NewModule, Refusal};
pub use effect::Effect;
pub use fleet::{Fleet, Member, TeeStanding};
pub use logs::{EVENTS_MAX, Follower, LogEvent, Place};
pub(crate) use signed::cannot_be_signed;

/// Wakes handled in one transaction. Its commit costs about as much as applying this many.
const BATCH_MAX: usize = 512;
/// Wakes that wait for the dispatcher; more make whoever sends them wait.
pub const WAKES_MAX: usize = 4096;
/// How often leases and pauses are looked at: a small part of the shortest lease.
pub const TICK: Duration = Duration::from_millis(100);

/// What wakes the dispatcher.
#[derive(Debug)]
pub enum Wake {
    /// Something from the broker.
    Link(Incoming),
    /// Somebody wants something, and an answer.
    Command(Box<Command>, oneshot::Sender<Reply>),
    /// The operator has changed the workload keys.
    Keys(Keyring),
    /// Evidence has been judged.
    Judged(Box<Judged>),
    /// Time has passed.
    Tick,
    /// Finish this batch and end. Clients may still hold connections, and nobody waits for them.
    Stop,
}

/// What a command comes to.
pub type Reply = Result<Answer, Refusal>;

/// What the dispatcher has to be told about the world.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whose tasks these are. One tenant in this version.
    pub tenant: String,
    /// How long an attempt lives without a sign of life.
    pub lease: Duration,
    /// How often a task is tried.
    pub retry: Policy,
    /// How long finished tasks are kept.
    pub retention: Duration,
    /// Whether proplets without encryption are served.
    pub allow_plaintext: bool,
    /// What evidence of proplets is worth; it judges on a thread of its own.
    pub judge: Arc<Judge>,
    /// Fingerprints of the keys of which one has to have signed an image; without any, nobody has to.
    pub signers: Vec<Digest>,
}

/// What the dispatcher knows of the object store: it never waits for it.
#[derive(Debug, Clone)]
pub struct Objects {
    /// Which store it is.
    pub mark: StoreMark,
    /// Takes what is to go from it.
    pub discards: Discards,
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    store: Store,
    mind: Mind,
    wakes: mpsc::Receiver<Wake>,
    outgoing: mpsc::Sender<Outgoing>,
    broker_up: Arc<AtomicBool>,
    /// Memory is ahead of the store and could not be put right yet.
    dirty: bool,
}

/// Everything in memory that decisions depend on.
#[derive(Debug)]
pub(crate) struct Mind {
    rules: Rules,
    keys: Keyring,
    desk: Desk,
    fleet: Fleet,
    leases: leases::Leases,
    logs: logs::Logs,
    waiters: waiters::Waiters,
    /// Tasks in the queue, as the store counts them.
    waiting: u64,
    begun: Instant,
    swept: Instant,
    metrics: Arc<Metrics>,
    verifier: Verifier,
    objects: Option<Objects>,
}

/// The moment at which a batch is applied, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// For leases.
    pub(crate) now: Instant,
    /// For people.
    pub(crate) ms: i64,
}

impl Dispatcher {
    /// A dispatcher over an open store. Every attempt under way gets one full lease.
    ///
    /// # Errors
    /// See [`StoreError`].
    #[allow(clippy::too_many_arguments, reason = "called once, by the service")]
    pub fn new(
        mut store: Store,
        instance: PropletId,
        keys: Keyring,
        rules: Rules,
        wakes: mpsc::Receiver<Wake>,
        outgoing: mpsc::Sender<Outgoing>,
        broker_up: Arc<AtomicBool>,
        metrics: Arc<Metrics>,
        verifier: Verifier,
        objects: Option<Objects>,
    ) -> Result<Self, StoreError> {
        let mut mind = Mind {
            desk: Desk::new(instance, keys.clone()),
            keys,
            fleet: Fleet::default(),
            leases: leases::Leases::default(),
            logs: logs::Logs::default(),
            waiters: waiters::Waiters::default(),
            waiting: 0,
            begun: Instant::now(),
            swept: Instant::now(),
            metrics,
            verifier,
            rules,
            objects,
        };
        let transaction = store.begin()?;
        mind.fleet.remember(&transaction)?;
        mind.resync(&transaction, Instant::now())?;
        drop(transaction);
        Ok(Self {
            store,
            mind,
            wakes,
            outgoing,
            broker_up,
            dirty: false,
        })
    }

    /// Runs until it is told to stop or nobody can wake it any more. Blocks: give it a thread of its own.
    pub fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.wakes.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let last = batch.iter().any(|wake| matches!(wake, Wake::Stop));
            self.handle(batch.drain(..));
            if last {
                break;
            }
        }
        debug!("dispatcher ends");
    }

    fn handle(&mut self, batch: impl Iterator<Item = Wake>) {
        let mut inputs = Vec::new();
        let mut replies = Vec::new();
        // Pieces of logs and frames that come to nothing change nothing.
        let mut idle = true;
        for wake in batch {
            idle &= matches!(wake, Wake::Link(Incoming::Frame { .. }));
            let (input, reply) = match wake {
                Wake::Stop => (None, None),
                Wake::Tick => (Some(Input::Tick), None),
                Wake::Command(command, reply) => (Some(Input::Command(command)), Some(reply)),
                Wake::Judged(judged) => {
                    self.mind.note(&judged);
                    (Some(Input::Judged(judged)), None)
                }
                Wake::Link(incoming) => (self.read(incoming), None),
                Wake::Keys(keys) => {
                    self.mind.rekey(keys, &self.outgoing);
                    (None, None)
                }
            };
            if let Some(input) = input {
                inputs.push(input);
                replies.push(reply);
            }
        }
        if idle && inputs.is_empty() {
            return;
        }
        match self.commit(&inputs, Placing::Yes) {
            Ok((effects, answers)) => self.finish(effects, answers, &mut replies),
            // Neither a plan nor one bad input may take the others with it.
            Err(failed) => {
                debug!(error = %failed, inputs = inputs.len(), "batch failed, applying one by one");
                for (input, reply) in inputs.iter().zip(&mut replies) {
                    self.handle_alone(input, reply);
                }
            }
        }
    }

    fn handle_alone(&mut self, input: &Input, reply: &mut Option<oneshot::Sender<Reply>>) {
        match self.commit(std::slice::from_ref(input), Placing::No) {
            Ok((effects, answers)) => self.finish(effects, answers, std::slice::from_mut(reply)),
            Err(failed) => self.refuse(&failed, input, reply),
        }
    }

    /// Applies inputs and plans, in one transaction. On failure nothing has happened.
    fn commit(
        &mut self,
        inputs: &[Input],
        placing: Placing,
    ) -> Result<(Vec<Effect>, Answers), StoreError> {
        let moment = Moment {
            now: Instant::now(),
            ms: now_ms(),
        };
        if self.dirty {
            self.resync(moment)?;
        }
        let result = self.commit_at(inputs, placing, moment);
        if result.is_err() {
            // Memory may be ahead of the store: the store is right.
            self.dirty = true;
            self.resync(moment)?;
        }
        result
    }

    fn resync(&mut self, moment: Moment) -> Result<(), StoreError> {
        let transaction = self.store.begin()?;
        self.mind.resync(&transaction, moment.now)?;
        self.dirty = false;
        Ok(())
    }

    fn commit_at(
        &mut self,
        inputs: &[Input],
        placing: Placing,
        moment: Moment,
    ) -> Result<(Vec<Effect>, Answers), StoreError> {
        let blobs = self.store.blobs().clone();
        let transaction = self.store.begin()?;
        let mut effects = Vec::new();
        let mut answers = Vec::new();
        for input in inputs {
            let answer = self
                .mind
                .apply(&transaction, &blobs, input, moment, &mut effects)?;
            answers.push(answer);
        }
        if placing == Placing::Yes {
            self.mind
                .place(&transaction, &blobs, moment, &mut effects)?;
        }
        transaction.commit()?;
        Ok((effects, answers))
    }

    fn finish(
        &mut self,
        effects: Vec<Effect>,
        answers: Answers,
        replies: &mut [Option<oneshot::Sender<Reply>>],
    ) {
        for effect in effects {
            self.act(effect);
        }
        for (answer, reply) in answers.into_iter().zip(replies) {
            if let (Some(answer), Some(reply)) = (answer, reply.take()) {
                // Whoever asked may have gone; what was asked for is done all the same.
                let _gone = reply.send(answer);
            }
        }
    }

    fn refuse(
        &self,
        failed: &StoreError,
        input: &Input,
        reply: &mut Option<oneshot::Sender<Reply>>,
    ) {
        error!(error = %failed, cause = ?failed, input = input.word(), "the store refused");
        self.mind.metrics.store_failures.inc();
        if let Some(reply) = reply.take() {
            let refusal = if failed.is_full() {
                Refusal::DiskFull
            } else {
                Refusal::Store
            };
            let _gone = reply.send(Err(refusal));
        }
    }

    /// What something from the broker means. Frames are opened here, once, outside the
    /// transaction, because a frame that has been opened cannot be opened again.
    fn read(&mut self, incoming: Incoming) -> Option<Input> {
        match incoming {
            Incoming::Up => {
                info!("broker connected, asking who is there");
                self.broker_up.store(true, Ordering::Relaxed);
                self.mind.solicit(&self.outgoing);
                None
            }
            Incoming::Down => {
                self.broker_up.store(false, Ordering::Relaxed);
                None
            }
            Incoming::Frame { channel, bytes } => self.mind.read(&channel, &bytes),
        }
    }
}

type Answers = Vec<Option<Reply>>;

/// Whether a batch ends with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placing {
    Yes,
    No,
}
