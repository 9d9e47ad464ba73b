//! Asks the scheduler and carries out its plan.

use propeller_model::task::Event;
use propeller_model::{AttemptId, PropletId, TaskId};
use propeller_scheduler::{Candidate, Link, Needs, Placement, Snapshot, plan};
use propeller_wire::Channel;
use propeller_wire::message::{
    INLINE_LEN_MAX, Module, Start, StartAttested, StartImage, ToProplet,
};
use rusqlite::Connection;
use serde_bytes::ByteBuf;
use tracing::error;

use super::{Effect, Mind, Moment};
use crate::store::attempt::attempt_insert;
use crate::store::module::module_find;
use crate::store::task::{Task, task_find, task_protection_set, task_setback, task_state_set};
use crate::store::waiting::{task_waiting, task_waiting_count};
use crate::store::{Blobs, StoreError};

/// Placements in one transaction: a burst is spread over several commits.
const PLACEMENTS_MAX: usize = 256;

impl Mind {
    /// Gives waiting tasks to proplets with room.
    pub(super) fn place(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.give_up(db, moment, effects)?;
        let only_checked = self.rules.judge.has_policy();
        let proplets =
            self.fleet
                .candidates(moment.now, self.rules.lease, &self.leases, only_checked);
        let mut tasks = Vec::new();
        // Looked for apart, so that those who wait for something rare stand in nobody's way.
        for needs in Needs::ALL {
            let able = |c: &&Candidate| c.free > 0 && c.suits(needs);
            let able: Vec<&Candidate> = proplets.iter().filter(able).collect();
            let room: usize = able.iter().map(|c| c.free as usize).sum();
            if room == 0 {
                continue;
            }
            let able: Vec<&PropletId> = able.into_iter().map(|c| &c.proplet).collect();
            let most = room.min(PLACEMENTS_MAX);
            tasks.extend(task_waiting(db, moment.ms, &able, most, needs)?);
        }
        tasks.sort_by_key(|waiting| waiting.task);
        let unpinned = self
            .fleet
            .unpinned(moment.now, self.rules.lease, self.begun);
        let snapshot = Snapshot {
            tasks,
            proplets,
            unpinned,
        };
        for placement in plan(&snapshot) {
            self.try_assign(db, blobs, placement, moment, effects)?;
        }
        Ok(())
    }

    /// Assigns a task, or fails it if what it needs cannot be read: it must not stand in the way
    /// of everybody behind it.
    fn try_assign(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        placement: Placement,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let task = placement.task;
        let mark = effects.len();
        // One that waited from before a signature was required, or whose attempt came to nothing since.
        if let Some(found) = task_find(db, task)?
            && let Err(why) = self.rules.startable(&found)
        {
            return self.abandon_because(db, task, &why.to_string(), moment, effects);
        }
        db.execute_batch("SAVEPOINT assign")?;
        match self.assign(db, blobs, placement, moment, effects) {
            Ok(()) => Ok(db.execute_batch("RELEASE assign")?),
            Err(cause @ (StoreError::Row(_) | StoreError::File { .. })) if !cause.is_full() => {
                db.execute_batch("ROLLBACK TO assign; RELEASE assign")?;
                effects.truncate(mark);
                self.abandon(db, task, &cause, moment, effects)
            }
            Err(cause) => Err(cause),
        }
    }

    fn abandon(
        &mut self,
        db: &Connection,
        id: TaskId,
        cause: &StoreError,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        error!(task = %id, error = %cause, "a task cannot be given to anybody");
        let why = format!("the manager cannot send it: {cause}");
        self.abandon_because(db, id, &why, moment, effects)
    }

    /// Fails a task that waits, without an attempt.
    pub(super) fn abandon_because(
        &mut self,
        db: &Connection,
        id: TaskId,
        why: &str,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Some(task) = task_find(db, id)? else {
            return Ok(());
        };
        let Ok((state, _)) = task.state.on(Event::Abandon, &self.rules.retry) else {
            return Ok(());
        };
        task_setback(db, id, why, None)?;
        task_state_set(db, id, &state, moment.ms, 0)?;
        self.leases.end(id);
        self.waiting = task_waiting_count(db)?;
        self.metrics.settled(state.word());
        effects.push(Effect::Settled(id));
        Ok(())
    }

    fn assign(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        placement: Placement,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Placement {
            task: id,
            proplet,
            reason,
        } = placement;
        let Some(task) = task_find(db, id)? else {
            return Ok(());
        };
        let Ok((state, _)) = task
            .state
            .on(Event::Assign(proplet.clone()), &self.rules.retry)
        else {
            return Ok(());
        };
        let attempt = AttemptId {
            task: id,
            number: state.attempts(),
        };
        task_state_set(db, id, &state, moment.ms, 0)?;
        let attested = task.image.as_ref().is_some_and(|image| image.key.is_some());
        let session = self.desk.binding(&proplet).filter(|_| attested);
        let why = reason.to_string();
        attempt_insert(db, attempt, &proplet, &why, session, moment.ms)?;
        let trace = task.trace;
        let link = self.fleet.find(&proplet).and_then(|member| member.link);
        let label = match (link, &task.image) {
            (Some(Link::Plain), _) => "plain",
            // Said when it has been shown.
            (_, Some(image)) if image.key.is_some() => "",
            // Whoever holds the image's key, and nobody else.
            (_, Some(image)) if image.encrypted => "image-key",
            _ => "shared-key",
        };
        if task.protection != label {
            task_protection_set(db, id, label)?;
        }
        self.waiting = self.waiting.saturating_sub(1);
        self.leases
            .grant(attempt, proplet.clone(), moment.now, self.rules.lease);
        self.metrics.assigned.inc();
        if link == Some(Link::Plain) {
            let frame = self.plain_start(db, blobs, attempt, &proplet, &task)?;
            effects.push(Effect::Publish(Channel::Start, frame));
        } else {
            let start = self.sealed_start(db, blobs, attempt, &proplet, task)?;
            effects.push(Effect::Start(proplet.clone(), attempt, Box::new(start)));
        }
        effects.push(Effect::Leg(attempt, proplet, trace, "assigned"));
        Ok(())
    }

    fn sealed_start(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        attempt: AttemptId,
        proplet: &PropletId,
        task: Task,
    ) -> Result<ToProplet, StoreError> {
        let input = task
            .input
            .ok_or(StoreError::Row("a task without its input"))?;
        let input = ByteBuf::from(blobs.read(input)?);
        let trace = task.trace.attempt(attempt);
        if let Some(image) = task.image {
            let start = StartImage {
                attempt,
                tenant: self.rules.tenant.clone(),
                app_name: task.app_name,
                image: image.reference,
                input,
                trace,
            };
            return Ok(match image.key {
                None => ToProplet::StartImage(start),
                Some(key) => ToProplet::StartAttested(Box::new(StartAttested { start, key })),
            });
        }
        let digest = task
            .module
            .ok_or(StoreError::Row("a queued task without a module"))?;
        let module =
            module_find(db, digest)?.ok_or(StoreError::Row("a task whose module is gone"))?;
        let delivered = self
            .fleet
            .find(proplet)
            .is_some_and(|member| member.delivered.contains(&digest));
        let fits = module.sealed_len <= INLINE_LEN_MAX as u64;
        let sealed = if fits && !delivered {
            if let Some(member) = self.fleet.find_mut(proplet)
                && member.link == Some(Link::Sealed)
            {
                member.remember_delivered(digest);
            }
            Some(ByteBuf::from(blobs.read(module.sealed)?))
        } else {
            None
        };
        Ok(ToProplet::Start(Start {
            attempt,
            tenant: self.rules.tenant.clone(),
            app_name: task.app_name,
            module: Module {
                digest,
                sealed_len: module.sealed_len,
                sealed,
            },
            input,
            trace,
        }))
    }
}
