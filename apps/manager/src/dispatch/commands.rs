//! Carries out what people and programs ask for.

use propeller_model::PropletId;
use propeller_model::task::State;
use propeller_model::{AttemptId, TaskId, Trace};
use rusqlite::Connection;

use super::logs::Holder;
use super::{
    Answer, Change, Command, Effect, Follower, Member, Mind, Moment, NewInput, NewModule, Place,
    Refusal, Reply,
};
use crate::store::module::{Module, module_exists, module_insert};
use crate::store::object_store::object_store_take;
use crate::store::proplet::proplet_delete;
use crate::store::task::{Task, task_insert, task_update};
use crate::store::{StoreError, Swept};

impl Mind {
    pub(super) fn command(
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
            Command::Start { task, trace } => {
                let found = match Self::task(db, *task)? {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                self.start_task(db, &found, *trace, moment, effects)
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
            Command::Follow {
                task,
                place,
                events,
            } => self.follow_task(db, *task, *place, events, effects),
            Command::Fleet => {
                let list = self.fleet.list(moment.now, self.rules.lease, &self.leases);
                Ok(Ok(Answer::Fleet(list)))
            }
            Command::ForgetProplet(id) => self.forget_proplet(db, id),
            Command::SettleStore(ours) => {
                object_store_take(db, ours.settled())?;
                Ok(Ok(Answer::Done))
            }
        }
    }

    fn create(
        &mut self,
        db: &Connection,
        task: &Task,
        module: Option<&Module>,
        start: bool,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        if start && let Err(why) = self.rules.startable(task) {
            return Ok(Err(why.into()));
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
            return self.start_task(db, task, None, moment, effects);
        }
        Ok(Ok(Answer::Done))
    }

    fn start_task(
        &mut self,
        db: &Connection,
        task: &Task,
        trace: Option<Trace>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        let startable = match self.rules.startable(task) {
            Ok(startable) => startable,
            Err(why) => return Ok(Err(why.into())),
        };
        let begun = self.begin_run(db, startable, trace, moment, effects)?;
        if begun.is_ok() {
            let attempt = AttemptId {
                task: task.id,
                number: task.state.attempts(),
            };
            effects.push(Effect::Submitted(attempt, trace.unwrap_or(task.trace)));
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
        let encrypted = task.image.as_ref().is_some_and(|image| image.key.is_some());
        let to_encrypted = match &change.module {
            Some(NewModule::Image(image)) => image.key.is_some(),
            Some(NewModule::Sealed(_) | NewModule::Known(_)) => false,
            None => encrypted,
        };
        if encrypted && !to_encrypted {
            let why = "the task is encrypted, and would not be with this module: name an encrypted \
                       image with `encrypted`, or make another task";
            return Ok(Err(Refusal::Conflict(why.to_owned())));
        }
        match &change.module {
            Some(NewModule::Sealed(module)) => {
                module_insert(db, module, moment.ms)?;
                (task.module, task.image) = (Some(module.digest), None);
            }
            Some(NewModule::Known(digest)) if !module_exists(db, *digest)? => {
                return Ok(Err(Refusal::NoModule(*digest)));
            }
            Some(NewModule::Known(digest)) => (task.module, task.image) = (Some(*digest), None),
            Some(NewModule::Image(image)) => {
                (task.module, task.image) = (None, Some(image.clone()));
            }
            None => {}
        }
        if let Some(input) = &change.input
            && let Err(refusal) = give(&mut task, input, effects)
        {
            return Ok(Err(refusal));
        }
        task.name = change.name.clone().unwrap_or(task.name);
        task.app_name = change.app_name.clone().unwrap_or(task.app_name);
        task.priority = change.priority.unwrap_or(task.priority);
        task.pinned = change.pinned.clone().unwrap_or(task.pinned);
        task.metadata = change.metadata.clone().or(task.metadata);
        task.daemon = change.daemon.unwrap_or(task.daemon);
        task.updated_ms = moment.ms;
        task_update(db, &task)?;
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
        swept.remove_task(db, task.id)?;
        effects.push(Effect::Remove(swept));
        Ok(Ok(Answer::Done))
    }

    fn watch(
        db: &Connection,
        id: TaskId,
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

    fn follow_task(
        &self,
        db: &Connection,
        id: TaskId,
        place: Option<Place>,
        events: &Follower,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, StoreError> {
        let found = match Self::task(db, id)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match found.state {
            State::Created { .. } => {
                let why = "the task has not been started, so it has printed nothing";
                return Ok(Err(Refusal::Conflict(why.to_owned())));
            }
            State::Done { .. } => return Ok(Ok(Answer::Settled)),
            State::Queued { .. } | State::Assigned { .. } | State::Running { .. } => {}
        }
        let holder = self.holder(id);
        if let Some(Holder { proplet, .. }) = holder.as_ref().filter(|holder| holder.plain) {
            let why = format!(
                "proplet {proplet} speaks plain Propeller, which has no logs of running tasks:                  what the task prints comes with its result"
            );
            return Ok(Err(Refusal::Conflict(why)));
        }
        let coming = |effect: &&Effect| matches!(effect, Effect::Follow(..));
        if self.logs.is_full(effects.iter().filter(coming).count()) {
            let why = "64 clients follow logs already, which is the most:                        end one of them, or look at the results when the task has ended";
            return Ok(Err(Refusal::Busy(why)));
        }
        let events = events
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(events) = events {
            effects.push(Effect::Follow(id, place, events));
        }
        Ok(Ok(Answer::Following(holder.is_some())))
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
}

/// Gives a task its input.
fn give(task: &mut Task, new: &NewInput, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
    let refused = |why: &str| Err(Refusal::Conflict(why.to_owned()));
    if task.input != new.before {
        return refused("the task was changed by somebody else meanwhile: try again");
    }
    let under_way = matches!(task.state, State::Assigned { .. } | State::Running { .. });
    // What it gets now would be another one than what it reads.
    if under_way && new.restocked {
        return refused("the task is under way: stop it before changing its standard input");
    }
    if new.rekeyed && !matches!(task.state, State::Created { attempts: 0 }) {
        return refused(
            "the task has been started, and what it printed may be sealed with its key: make \
             another task for another object_key",
        );
    }
    let mut replaced = Swept::default();
    replaced.replace(task.input.as_ref());
    effects.push(Effect::Remove(replaced));
    effects.extend(new.dropped.map(Effect::Discard));
    task.input = Some(new.sealed.clone());
    task.stored = new.stored;
    Ok(())
}

fn conflict(rejected: propeller_model::task::Rejected) -> Refusal {
    Refusal::Conflict(rejected.to_string())
}

#[cfg(test)]
mod tests {
    use propeller_model::task::Run;

    use super::*;
    use crate::store::Blob;

    fn task(state: State) -> Task {
        Task {
            state,
            ..Task::sample(1)
        }
    }

    #[test]
    fn a_task_that_is_under_way_gets_no_other_object_to_read_not_even_its_first() {
        let run = Run {
            attempts: 1,
            tries: 1,
        };
        let proplet: PropletId = "p".parse().unwrap();
        let running = State::Running { run, proplet };
        for (state, restocked, is_given) in [
            (running.clone(), true, false),
            (running, false, true),
            (State::Queued { run }, true, true),
        ] {
            let mut task = task(state);
            let new = NewInput {
                sealed: Blob::Inline(vec![1]),
                before: None,
                stored: restocked,
                restocked,
                dropped: None,
                rekeyed: false,
            };
            let given = give(&mut task, &new, &mut Vec::new());
            assert_eq!(given.is_ok(), is_given, "{given:?}");
            assert_eq!(task.stored, restocked && is_given);
        }
    }
}
