//! Moves tasks from one state to the next and remembers how attempts ended.

use std::time::Duration;

use propeller_depot::{Name, Part};
use propeller_model::task::{Effect as Next, Event, Rejected, Retry, State};
use propeller_model::{AttemptId, ExitKind, PropletId, TaskId, Trace};
use propeller_wire::Channel;
use propeller_wire::message::{Report, ToProplet, Usage};
use rusqlite::Connection;

use super::signed::Startable;
use super::{Effect, Mind, Moment};
use crate::store::attempt::{Ended, attempt_end};
use crate::store::task::{
    Task, task_find, task_run_begin, task_setback, task_state_set, task_store_away,
};
use crate::store::{Blob, Blobs, StoreError};

/// Outputs that are removed when another attempt takes their place: of more attempts than that, each
/// is tried to be removed once, and what is left goes with the task.
const OUTPUTS_DISCARDED_MAX: u32 = 8;

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) struct Setback {
    /// For the task's error, in words.
    pub(super) why: String,
    /// The same in a word.
    pub(super) exit: ExitKind,
    /// Whether another attempt may help.
    pub(super) retry: Retry,
    /// Whether the same proplet should not get it again in this run.
    pub(super) exclude: bool,
    /// Whether the object store did not answer: then the task waits the longer, the more often in a
    /// row that is so.
    pub(super) store_away: bool,
}

impl Mind {
    /// Settles a finished attempt. Whatever comes of it, the proplet may forget the report.
    #[allow(clippy::too_many_arguments, reason = "as `settle`, which it leads to")]
    pub(super) fn finished(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        proplet: &PropletId,
        report: &Report,
        proof: Option<&str>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let attempt = report.attempt;
        effects.push(Effect::Say(proplet.clone(), ToProplet::Settled(attempt)));
        if self.leases.holder(attempt) != Some(proplet) {
            self.metrics.stale_reports.inc();
            return Ok(());
        }
        let output = blobs.keep(report.output.to_vec())?;
        let usage = usage_json(&report.usage);
        let ended = Ended {
            outcome: if report.success {
                "completed"
            } else {
                "failed"
            },
            output: Some(&output),
            usage: Some(&usage),
            exit: Some(report.exit),
            proof,
            now_ms: moment.ms,
        };
        self.settle(
            db,
            proplet,
            attempt,
            report.success,
            &ended,
            moment,
            effects,
        )
    }

    /// The common end of sealed and plain attempts.
    #[allow(
        clippy::too_many_arguments,
        reason = "it is the one place where all of it meets"
    )]
    pub(super) fn settle(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        attempt: AttemptId,
        success: bool,
        ended: &Ended<'_>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let event = Event::Finished {
            number: attempt.number,
            success,
        };
        let Some(task) = task_find(db, attempt.task)? else {
            return Ok(());
        };
        let attested = task.image.as_ref().is_some_and(|image| image.key.is_some());
        if attested && ended.proof.is_none() {
            let setback = Setback {
                why: "its result is not taken: it came without evidence".to_owned(),
                exit: ExitKind::Refused,
                retry: Retry::MayHelp,
                exclude: true,
                store_away: false,
            };
            return self.undone(db, attempt, &setback, moment, effects);
        }
        match task.state.on(event, &self.rules.retry) {
            Ok((state, _)) => {
                task_state_set(db, attempt.task, &state, moment.ms, 0)?;
                attempt_end(db, attempt, ended)?;
                self.discard_outputs(&task, attempt.number, effects);
                self.leases.end(attempt.task);
                self.metrics.settled(state.word());
                effects.push(Effect::Leg(attempt, proplet.clone(), task.trace, "done"));
                effects.push(Effect::Settled(attempt.task));
            }
            Err(Rejected::Stale { .. } | Rejected::Impossible { .. } | _) => {
                self.metrics.stale_reports.inc();
            }
        }
        Ok(())
    }

    /// An attempt came to nothing: the task goes back to the queue, or fails.
    pub(super) fn undone(
        &mut self,
        db: &Connection,
        attempt: AttemptId,
        setback: &Setback,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Some(task) = task_find(db, attempt.task)? else {
            self.leases.end(attempt.task);
            return Ok(());
        };
        let event = Event::Undone {
            number: attempt.number,
            retry: match setback.retry {
                // A daemon that ran has not failed: its proplet has.
                Retry::MayHelp if task.daemon && matches!(task.state, State::Running { .. }) => {
                    Retry::IsFree
                }
                retry => retry,
            },
        };
        let Ok((state, next)) = task.state.on(event, &self.rules.retry) else {
            self.leases.end(attempt.task);
            return Ok(());
        };
        let proplet = task.state.proplet();
        let why = match proplet {
            Some(proplet) => format!("attempt {} on {proplet}: {}", attempt.number, setback.why),
            None => setback.why.clone(),
        };
        let exclude = proplet.filter(|_| setback.exclude);
        let away = task_store_away(db, attempt.task, setback.store_away)?;
        task_setback(db, attempt.task, &why, exclude)?;
        let ended = Ended {
            outcome: &setback.why,
            output: None,
            usage: None,
            exit: Some(setback.exit),
            proof: None,
            now_ms: moment.ms,
        };
        attempt_end(db, attempt, &ended)?;
        self.leases.end(attempt.task);
        tracing::warn!(task = %attempt.task, attempt = attempt.number, trace = %task.trace.id(), why = %setback.why, next = state.word(), "attempt came to nothing");
        let pause = match &state {
            State::Queued { run } => self.rules.retry.pause(run.tries).max(store_pause(away)),
            _ => Duration::ZERO,
        };
        let not_before = moment.ms + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX / 2);
        task_state_set(db, attempt.task, &state, moment.ms, not_before)?;
        match next {
            Next::Queue => self.waiting += 1,
            _ => {
                self.metrics.settled(state.word());
                effects.push(Effect::Settled(attempt.task));
            }
        }
        Ok(())
    }

    /// Puts a task into the queue, as the beginning of a run.
    pub(super) fn begin_run(
        &mut self,
        db: &Connection,
        startable: Startable<'_>,
        trace: Option<Trace>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), Rejected>, StoreError> {
        let task = startable.task();
        let state = match task.state.on(Event::Start, &self.rules.retry) {
            Ok((state, _)) => state,
            Err(rejected) => return Ok(Err(rejected)),
        };
        task_state_set(db, task.id, &state, moment.ms, 0)?;
        task_run_begin(db, task.id, trace, moment.ms)?;
        // Also that of the last run: nobody is told of it any more.
        self.discard_outputs(task, state.attempts().saturating_add(1), effects);
        self.waiting += 1;
        Ok(Ok(()))
    }

    /// Has what the last few attempts before this one wrote removed from the object store.
    fn discard_outputs(&self, task: &Task, number: u32, effects: &mut Vec<Effect>) {
        if !task.stored || self.objects.is_none() {
            return;
        }
        let earlier = number.saturating_sub(OUTPUTS_DISCARDED_MAX).max(1)..number;
        effects.extend(earlier.map(|number| {
            Effect::Discard(Name {
                task: task.id.0,
                part: Part::Stdout(number),
            })
        }));
    }

    /// Ends a run because its owner wants it.
    pub(super) fn stop(
        &mut self,
        db: &Connection,
        task: &Task,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), Rejected>, StoreError> {
        let (state, next) = match task.state.on(Event::Stop, &self.rules.retry) {
            Ok(next) => next,
            Err(rejected) => return Ok(Err(rejected)),
        };
        task_state_set(db, task.id, &state, moment.ms, 0)?;
        if let Next::SendStop { number, proplet } = next {
            let attempt = AttemptId {
                task: task.id,
                number,
            };
            let ended = Ended {
                outcome: "stopped",
                output: None,
                usage: None,
                exit: Some(ExitKind::Stopped),
                proof: None,
                now_ms: moment.ms,
            };
            attempt_end(db, attempt, &ended)?;
            effects.extend(self.stop_effects(attempt, &proplet));
            self.leases.end(task.id);
        } else {
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.metrics.settled(state.word());
        effects.push(Effect::Settled(task.id));
        Ok(Ok(()))
    }

    /// How a proplet is told to stop: in its session, or in upstream's JSON.
    fn stop_effects(&self, attempt: AttemptId, proplet: &PropletId) -> Vec<Effect> {
        if self.is_plain(proplet) {
            let frame = super::plain::stop(attempt, proplet);
            vec![Effect::Publish(Channel::Stop, frame)]
        } else {
            vec![Effect::Say(proplet.clone(), ToProplet::Stop(attempt))]
        }
    }

    /// Makes memory match the store.
    pub(super) fn resync(
        &mut self,
        db: &Connection,
        now: std::time::Instant,
    ) -> Result<(), StoreError> {
        let active = crate::store::attempt::attempts_active(db)?;
        self.leases.resync(active, now, self.rules.lease);
        self.waiting = crate::store::waiting::task_waiting_count(db)?;
        Ok(())
    }

    /// The task, or why there is none.
    pub(super) fn task(
        db: &Connection,
        id: TaskId,
    ) -> Result<Result<Task, super::Refusal>, StoreError> {
        Ok(task_find(db, id)?.ok_or(super::Refusal::NoTask(id)))
    }
}

/// How long a task waits when the store did not answer so often in a row: each attempt is a row in
/// the database, and a store may be away for a night.
fn store_pause(times: u32) -> Duration {
    /// The first pause; it doubles with every further one.
    const FIRST: Duration = Duration::from_secs(5);
    /// The longest pause: so long may a task wait after the store is back.
    const LONGEST: Duration = Duration::from_secs(5 * 60);
    match times.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST),
    }
}

/// An output that stands in a row or a file.
pub(super) fn usage_json(usage: &Usage) -> String {
    let Usage {
        prepare_us,
        compile_us,
        run_us,
        fuel,
        memory_peak_bytes,
        cpu_us,
        input_bytes,
        output_bytes,
    } = *usage;
    serde_json::json!({
        "prepare_us": prepare_us, "compile_us": compile_us, "run_us": run_us,
        "fuel": fuel, "memory_peak_bytes": memory_peak_bytes,
        "cpu_us": cpu_us, "input_bytes": input_bytes, "output_bytes": output_bytes,
    })
    .to_string()
}

/// What the store keeps of an output.
pub(super) fn kept(blobs: &Blobs, sealed: Vec<u8>) -> Result<Blob, StoreError> {
    blobs.keep(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_stays_away_is_asked_less_and_less_often() {
        let pauses: Vec<_> = (0..=9).map(|times| store_pause(times).as_secs()).collect();
        assert_eq!(pauses, [0, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(store_pause(u32::MAX).as_secs(), 300);
    }
}
