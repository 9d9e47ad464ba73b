//! What happens once a batch is committed.

use bytes::Bytes;
use propeller_envelope::Keyring;
use propeller_model::{AttemptId, PropletId, TaskId, Trace};
use propeller_scheduler::Link;
use propeller_wire::Channel;
use propeller_wire::link::Outgoing;
use propeller_wire::message::{Start, ToProplet};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::{Dispatcher, Mind};
use crate::store::Swept;

/// Something to do after a commit.
#[derive(Debug)]
pub enum Effect {
    /// Say something to a proplet in its session.
    Say(PropletId, ToProplet),
    /// Tell a proplet to start an attempt.
    Start(PropletId, Box<Start>),
    /// Publish bytes as they are: an answer to an announcement, or upstream's JSON.
    Publish(Channel, Vec<u8>),
    /// A task is settled: whoever waits for it may look.
    Settled(TaskId),
    /// Somebody wants to know when a task is settled.
    Watch(TaskId, oneshot::Sender<()>),
    /// Files that nothing refers to any more.
    Remove(Swept),
    /// The first line of a task's story for the log; the attempt is the last one before it.
    Submitted(AttemptId, Trace),
    /// A further line of a task's story for the log.
    Leg(AttemptId, PropletId, Trace, &'static str),
}

impl Dispatcher {
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Say(proplet, message) => self.mind.say(&self.outgoing, &proplet, &message),
            Effect::Start(proplet, start) => self.mind.start(&self.outgoing, &proplet, *start),
            Effect::Publish(channel, bytes) => self.mind.publish(&self.outgoing, channel, bytes),
            Effect::Settled(task) => self.mind.waiters.wake(task),
            Effect::Watch(task, waiter) => {
                if !self.mind.waiters.add(task, waiter) {
                    warn!("too many clients wait for tasks");
                }
            }
            Effect::Submitted(attempt, trace) => {
                info!(task = %attempt.task, trace = %trace.id(), "submitted");
            }
            Effect::Remove(swept) => swept.finish(self.store.blobs()),
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

    fn say(&mut self, outgoing: &mpsc::Sender<Outgoing>, proplet: &PropletId, message: &ToProplet) {
        if let Some(letter) = self.desk.seal(proplet, message) {
            self.publish(outgoing, letter.channel, letter.frame);
        }
    }

    fn start(&mut self, outgoing: &mpsc::Sender<Outgoing>, proplet: &PropletId, start: Start) {
        let attempt = start.attempt;
        let Some(letter) = self.desk.seal(proplet, &ToProplet::Start(start)) else {
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
