//! What happens once a batch is committed.

use std::time::Instant;

use bytes::Bytes;
use propeller_depot::Name;
use propeller_envelope::Keyring;
use propeller_model::{AttemptId, PropletId, TaskId, Trace};
use propeller_scheduler::Link;
use propeller_wire::Channel;
use propeller_wire::link::Outgoing;
use propeller_wire::message::{ToProplet, Watch};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::logs::Holder;
use super::{Dispatcher, LogEvent, Mind, Place};
use crate::objects::Discard;
use crate::store::Swept;
use crate::verifier::Case;

/// Something to do after a commit.
#[derive(Debug)]
pub enum Effect {
    /// Say something to a proplet in its session.
    Say(PropletId, ToProplet),
    /// Tell a proplet to start an attempt, with a `Start` or a `StartImage`.
    Start(PropletId, AttemptId, Box<ToProplet>),
    /// Publish bytes as they are: an answer to an announcement, or upstream's JSON.
    Publish(Channel, Vec<u8>),
    /// A task is settled: whoever waits for it may look.
    Settled(TaskId),
    /// Somebody wants to know when a task is settled.
    Watch(TaskId, oneshot::Sender<()>),
    /// Somebody wants to know what a task prints, perhaps from a place on.
    Follow(TaskId, Option<Place>, mpsc::Sender<LogEvent>),
    /// Time has passed for whoever follows.
    LookAtLogs,
    /// Files that nothing refers to any more.
    Remove(Swept),
    /// An object that a task has no more.
    Discard(Name),
    /// Evidence is to be judged.
    Judge(Box<Case>),
    /// The first line of a task's story for the log; the attempt is the last one before it.
    Submitted(AttemptId, Trace),
    /// A further line of a task's story for the log.
    Leg(AttemptId, PropletId, Trace, &'static str),
}

impl Dispatcher {
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Say(proplet, message) => self.mind.say(&self.outgoing, &proplet, &message),
            Effect::Start(proplet, attempt, start) => {
                self.mind.start(&self.outgoing, &proplet, attempt, &start);
            }
            Effect::Judge(case) => self.mind.have_judged(*case),
            Effect::Publish(channel, bytes) => self.mind.publish(&self.outgoing, channel, bytes),
            Effect::Settled(task) => {
                self.mind.waiters.wake(task);
                let over = self.mind.logs.settled(task);
                self.mind.say_watches(&self.outgoing, over);
            }
            Effect::Follow(task, place, events) => {
                self.mind.follow(task, place, events);
                self.mind.look_at_logs(&self.outgoing);
            }
            Effect::LookAtLogs => self.mind.look_at_logs(&self.outgoing),
            Effect::Watch(task, waiter) => {
                if !self.mind.waiters.add(task, waiter) {
                    warn!("too many clients wait for tasks");
                }
            }
            Effect::Submitted(attempt, trace) => {
                info!(task = %attempt.task, trace = %trace.id(), "submitted");
            }
            Effect::Remove(swept) => {
                for task in swept.finish(self.store.blobs()) {
                    self.mind.discard(Discard::Task(task));
                }
            }
            Effect::Discard(name) => self.mind.discard(Discard::Object(name)),
            Effect::Leg(attempt, proplet, trace, leg) => info!(
                task = %attempt.task,
                attempt = attempt.number,
                proplet = %proplet,
                trace = %trace.id(),
                "{leg}"
            ),
        }
    }
}

impl Mind {
    pub(super) fn solicit(&self, outgoing: &mpsc::Sender<Outgoing>) {
        let frame = self.desk.solicit();
        self.publish(outgoing, Channel::Start, frame);
    }

    /// Takes other keys into use. Whoever has a session under a key that is gone has none any more,
    /// and everybody is asked for a new one.
    pub(super) fn rekey(&mut self, keys: Keyring, outgoing: &mpsc::Sender<Outgoing>) {
        for proplet in self.desk.rekey(keys.clone()) {
            warn!(proplet = %proplet, "its workload key is none of ours any more");
            if let Some(member) = self.fleet.find_mut(&proplet) {
                member.leave();
            }
        }
        self.keys = keys;
        self.solicit(outgoing);
    }

    /// Has something removed from the object store, by whoever may wait for that.
    fn discard(&self, discard: Discard) {
        if let Some(objects) = &self.objects {
            objects.discards.add(discard);
        }
    }

    fn follow(&mut self, task: TaskId, place: Option<Place>, events: mpsc::Sender<LogEvent>) {
        let mut watcher = [0; 8];
        // Without randomness nobody follows: the sender is dropped, and the client asks again.
        if aws_lc_rs::rand::fill(&mut watcher).is_ok() {
            self.logs
                .add(u64::from_ne_bytes(watcher), task, place, events);
        }
    }

    fn look_at_logs(&mut self, outgoing: &mpsc::Sender<Outgoing>) {
        let mut logs = std::mem::take(&mut self.logs);
        let say = logs.look(Instant::now(), |task| self.holder(task));
        self.logs = logs;
        self.say_watches(outgoing, say);
    }

    /// Who makes a task's attempt, if one is under way.
    pub(super) fn holder(&self, task: TaskId) -> Option<Holder> {
        let (attempt, proplet) = self.leases.current(task)?;
        Some(Holder {
            attempt,
            proplet: proplet.clone(),
            plain: self.is_plain(proplet),
        })
    }

    fn say_watches(&mut self, outgoing: &mpsc::Sender<Outgoing>, watches: Vec<(PropletId, Watch)>) {
        for (proplet, watch) in watches {
            self.say(outgoing, &proplet, &ToProplet::Watch(watch));
        }
    }

    fn say(&mut self, outgoing: &mpsc::Sender<Outgoing>, proplet: &PropletId, message: &ToProplet) {
        if let Some(letter) = self.desk.seal(proplet, message) {
            self.publish(outgoing, letter.channel, letter.frame);
        }
    }

    fn start(
        &mut self,
        outgoing: &mpsc::Sender<Outgoing>,
        proplet: &PropletId,
        attempt: AttemptId,
        start: &ToProplet,
    ) {
        let Some(letter) = self.desk.seal(proplet, start) else {
            return;
        };
        if let Some(member) = self.fleet.find_mut(proplet)
            && member.link == Some(Link::KeyMismatch)
        {
            member.remember_letter(letter.session, letter.counter, attempt);
        }
        self.publish(outgoing, letter.channel, letter.frame);
    }

    /// Frames are hints: when the queue is full, one is dropped, and a lease brings it back.
    fn publish(&self, outgoing: &mpsc::Sender<Outgoing>, channel: Channel, bytes: Vec<u8>) {
        let frame = Outgoing {
            channel,
            bytes: Bytes::from(bytes),
        };
        if outgoing.try_send(frame).is_err() {
            self.metrics.dropped("outgoing queue full");
        }
    }
}
