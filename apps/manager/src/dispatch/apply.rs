//! Applies one input to the store and to memory.

use propeller_model::task::Retry;
use propeller_model::{AttemptId, PropletId};
use propeller_scheduler::Link;
use propeller_wire::frame::{SessionId, looks_like_frame};
use propeller_wire::message::FromProplet;
use propeller_wire::{Channel, KeyMatch, Received, upstream};
use rusqlite::Connection;
use tracing::{debug, info};

use super::settle::Setback;
use super::{Answer, Change, Command, Effect, Member, Mind, Moment, NewModule, Refusal, Reply};
use crate::store::module::{module_exists, module_insert};
use crate::store::proplet::proplet_delete;
use crate::store::task::{Task, task_find, task_insert, task_update};
use crate::store::{Blobs, StoreError, Swept};
use propeller_model::task::State;

/// Something that happened, opened and parsed.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a batch holds a few hundred for a moment"
)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Somebody wants something.
    Command(Box<Command>),
    /// A proplet said something in its session.
    Said(PropletId, FromProplet),
    /// A proplet announced itself; it gets this answer.
    Announced(PropletId, KeyMatch, Vec<u8>),
    /// A proplet with another key could not open a frame.
    Rejected(PropletId, SessionId, u64),
    /// An upstream proplet is there.
    PlainCreate(PropletId, Box<upstream::Metadata>),
    /// An upstream proplet lives, or has left.
    PlainAlive(PropletId, bool),
    /// An upstream proplet has a result.
    PlainResults(Box<upstream::Results>),
}

impl Input {
    /// What it is, in a word, for the log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Command(_) => "command",
            Self::Said(..) => "message",
            Self::Announced(..) => "announcement",
            Self::Rejected(..) => "rejection",
            Self::PlainCreate(..) | Self::PlainAlive(..) | Self::PlainResults(..) => {
                "plain message"
            }
        }
    }
}

impl Mind {
    /// What a frame says, if it says anything to us.
    pub(super) fn read(&mut self, channel: &Channel, bytes: &[u8]) -> Option<Input> {
        if !looks_like_frame(bytes) {
            return self.read_plain(channel, bytes);
        }
        let mut nonce = [0; 32];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            self.metrics.dropped("no randomness");
            return None;
        }
        match self.desk.receive(channel, bytes, nonce) {
            Received::Said { proplet, message } => Some(Input::Said(proplet, message)),
            Received::Announced {
                proplet,
                key,
                answer,
            } => Some(Input::Announced(proplet, key, answer)),
            Received::Rejected {
                proplet,
                session,
                counter,
            } => Some(Input::Rejected(proplet, session, counter)),
            Received::Dropped(why) => {
                debug!(why, "frame dropped");
                self.metrics.dropped(why);
                None
            }
            _ => None,
        }
    }

    /// Applies one input. The answer is for whoever asked, once the batch is committed.
    pub(super) fn apply(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        input: &Input,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Reply>, StoreError> {
        match input {
            Input::Tick => self.tick(db, moment, effects)?,
            Input::Command(command) => {
                return self.command(db, command, moment, effects).map(Some);
            }
            Input::Said(proplet, message) => {
                self.said(db, blobs, proplet, message, moment, effects)?;
            }
            Input::Announced(proplet, key, answer) => {
                self.announced(proplet, *key, moment);
                let channel = Channel::StartTo(proplet.clone());
                effects.push(Effect::Publish(channel, answer.clone()));
            }
            Input::Rejected(proplet, session, counter) => {
                self.rejected(db, proplet, *session, *counter, moment, effects)?;
            }
            Input::PlainCreate(proplet, metadata) => {
                self.plain_create(db, proplet, metadata, moment, effects)?;
            }
            Input::PlainAlive(proplet, alive) => self.plain_alive(proplet, *alive, moment),
            Input::PlainResults(results) => {
                self.plain_results(db, blobs, results, moment, effects)?;
            }
        }
        Ok(None)
    }

    /// Leases that ran out, signs of life to write down, tasks to forget.
    fn tick(
        &mut self,
        db: &Connection,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        /// How often what is cheap to lose is written down and what is old is removed.
        const SWEEP: std::time::Duration = std::time::Duration::from_secs(10);
        for attempt in self.leases.over(moment.now) {
            let setback = Setback {
                why: "no sign of life within the lease".to_owned(),
                retry: Retry::MayHelp,
                exclude: false,
            };
            self.undone(db, attempt, &setback, moment, effects)?;
        }
        self.metrics.gauge(self.waiting, self.leases.len());
        if moment.now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = moment.now;
            self.waiters.tidy();
            self.fleet.save(db)?;
            let kept = i64::try_from(self.rules.retention.as_millis()).unwrap_or(i64::MAX);
            let swept = Swept::sweep(db, moment.ms.saturating_sub(kept))?;
            if swept.is_partial() {
                // More is waiting: the next tick goes on.
                self.swept = moment.now.checked_sub(SWEEP).unwrap_or(moment.now);
            }
            if swept.tasks > 0 {
                info!(tasks = swept.tasks, "removed tasks past their retention");
            }
            effects.push(Effect::Remove(swept));
        }
        Ok(())
    }

    fn announced(&mut self, proplet: &PropletId, key: KeyMatch, moment: Moment) {
        if key == KeyMatch::Ours {
            return;
        }
        let window = self.rules.lease;
        let lives = self.fleet.find(proplet).is_some_and(|member| {
            member.link == Some(Link::Sealed) && member.is_alive(moment.now, window)
        });
        if lives {
            // The running session stays in force until a frame in the new one is opened, or until
            // nothing has been heard in it for a lease.
            return;
        }
        self.desk.end(proplet);
        if let Some(member) = self.fleet.member(proplet) {
            if member.link != Some(Link::KeyMismatch) {
                info!(proplet = %proplet, "a proplet announced itself with another workload key");
            }
            member.link = Some(Link::KeyMismatch);
            member.beat(moment);
        }
    }

    fn rejected(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        session: SessionId,
        counter: u64,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let attempt = self
            .fleet
            .find_mut(proplet)
            .filter(|member| member.link == Some(Link::KeyMismatch))
            .and_then(|member| member.take_letter(session, counter));
        match attempt {
            Some(attempt) => {
                let pinned = task_find(db, attempt.task)?.is_some_and(|t| t.pinned.is_some());
                let others = self.fleet.has_sealed(moment.now, self.rules.lease);
                let setback = Setback {
                    why: "Failed to decrypt workload: cipher: message authentication failed \
                          (the proplet uses another workload key)"
                        .to_owned(),
                    retry: if others && !pinned {
                        Retry::IsFree
                    } else {
                        Retry::IsPointless
                    },
                    exclude: true,
                };
                self.undone(db, attempt, &setback, moment, effects)
            }
            None => {
                self.metrics
                    .dropped("reject of a frame that carried no attempt");
                Ok(())
            }
        }
    }

    fn command(
        &mut self,
        db: &Connection,
        command: &Command,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        match command {
            Command::Create {
                task,
                module,
                start,
            } => self.create(db, task, module.as_ref(), *start, moment, effects),
            Command::Update { task, change } => {
                let found = match Self::task(db, *task)? {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                Self::update(db, found, change, moment, effects)
            }
            Command::Start(id) => {
                let found = match Self::task(db, *id)? {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                self.start_task(db, &found, moment, effects)
            }
            Command::Stop(id) => {
                let found = match Self::task(db, *id)? {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let stopped = self.stop(db, &found, moment, effects)?;
                Ok(stopped.map(|()| Answer::Done).map_err(conflict))
            }
            Command::Delete(id) => {
                let found = match Self::task(db, *id)? {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                self.delete(db, &found, moment, effects)
            }
            Command::Watch { task, settled } => Self::watch(db, *task, settled, effects),
            Command::Fleet => {
                let list = self.fleet.list(moment.now, self.rules.lease, &self.leases);
                Ok(Ok(Answer::Fleet(list)))
            }
            Command::ForgetProplet(id) => self.forget_proplet(db, id),
        }
    }

    fn create(
        &mut self,
        db: &Connection,
        task: &Task,
        module: Option<&crate::store::module::Module>,
        start: bool,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        if start && task.module.is_none() {
            return Ok(Err(no_module()));
        }
        if let Some(module) = module {
            module_insert(db, module, moment.ms)?;
        } else if let Some(digest) = task.module
            && !module_exists(db, digest)?
        {
            return Ok(Err(Refusal::NoModule(digest)));
        }
        task_insert(db, task)?;
        self.metrics.submitted.inc();
        if start {
            return self.start_task(db, task, moment, effects);
        }
        Ok(Ok(Answer::Done))
    }

    fn start_task(
        &mut self,
        db: &Connection,
        task: &Task,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        if task.module.is_none() {
            return Ok(Err(no_module()));
        }
        let begun = self.begin_run(db, task, moment)?;
        if begun.is_ok() {
            let attempt = AttemptId {
                task: task.id,
                number: task.state.attempts(),
            };
            effects.push(Effect::Submitted(attempt));
        }
        Ok(begun.map(|()| Answer::Done).map_err(conflict))
    }

    fn update(
        db: &Connection,
        mut task: Task,
        change: &Change,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        let under_way = matches!(task.state, State::Assigned { .. } | State::Running { .. });
        if under_way && change.module.is_some() {
            let why = "the task is under way: stop it before changing its module";
            return Ok(Err(Refusal::Conflict(why.to_owned())));
        }
        match &change.module {
            Some(NewModule::Sealed(module)) => {
                module_insert(db, module, moment.ms)?;
                task.module = Some(module.digest);
            }
            Some(NewModule::Known(digest)) if !module_exists(db, *digest)? => {
                return Ok(Err(Refusal::NoModule(*digest)));
            }
            Some(NewModule::Known(digest)) => task.module = Some(*digest),
            None => {}
        }
        let mut replaced = Swept::default();
        if let Some(input) = &change.input {
            replaced.replace(task.input.as_ref());
            task.input = Some(input.clone());
        }
        task.name = change.name.clone().unwrap_or(task.name);
        task.app_name = change.app_name.clone().unwrap_or(task.app_name);
        task.priority = change.priority.unwrap_or(task.priority);
        task.pinned = change.pinned.clone().unwrap_or(task.pinned);
        task.metadata = change.metadata.clone().or(task.metadata);
        task.updated_ms = moment.ms;
        task_update(db, &task)?;
        effects.push(Effect::Remove(replaced));
        Ok(Ok(Answer::Done))
    }

    fn delete(
        &mut self,
        db: &Connection,
        task: &Task,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        if matches!(
            task.state,
            State::Queued { .. } | State::Assigned { .. } | State::Running { .. }
        ) && let Err(rejected) = self.stop(db, task, moment, effects)?
        {
            return Ok(Err(conflict(rejected)));
        }
        let mut swept = Swept::default();
        swept.remove_task(db, task.id.0.as_bytes())?;
        effects.push(Effect::Remove(swept));
        Ok(Ok(Answer::Done))
    }

    fn watch(
        db: &Connection,
        id: propeller_model::TaskId,
        settled: &std::sync::Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        let found = match Self::task(db, id)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let waiter = settled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(waiter) = waiter {
            effects.push(Effect::Watch(id, waiter));
            if matches!(found.state, State::Done { .. }) {
                effects.push(Effect::Settled(id));
            }
        }
        Ok(Ok(Answer::Done))
    }

    fn forget_proplet(&mut self, db: &Connection, id: &PropletId) -> Result<Reply, StoreError> {
        if !self.fleet.find(id).is_some_and(Member::is_known) {
            return Ok(Err(Refusal::NoProplet(id.clone())));
        }
        let busy = self.leases.busy(id);
        if busy > 0 {
            let why = format!("proplet {id} has {busy} active tasks");
            return Ok(Err(Refusal::Conflict(why)));
        }
        match self.fleet.retire(id) {
            Some(member) if member.ever_sealed => member.save(db)?,
            _ => proplet_delete(db, id)?,
        }
        self.desk.forget(id);
        Ok(Ok(Answer::Done))
    }

    pub(super) fn is_plain(&self, proplet: &PropletId) -> bool {
        let member = self.fleet.find(proplet);
        member.is_some_and(|member| member.link == Some(Link::Plain))
    }
}

fn no_module() -> Refusal {
    let why = "the task has no module: upload one with `propeller-cli tasks upload`";
    Refusal::Conflict(why.to_owned())
}

fn conflict(rejected: propeller_model::task::Rejected) -> Refusal {
    Refusal::Conflict(rejected.to_string())
}
