//! Who has which attempt, and for how long without a sign of life.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use propeller_model::{AttemptId, Lease, PropletId, TaskId};

/// All attempts under way. A task has at most one.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_task: HashMap<TaskId, Held>,
    busy: HashMap<PropletId, u32>,
}

#[derive(Debug)]
struct Held {
    number: u32,
    proplet: PropletId,
    lease: Lease,
    since: Instant,
}

impl Leases {
    pub(super) fn grant(
        &mut self,
        attempt: AttemptId,
        proplet: PropletId,
        now: Instant,
        term: Duration,
    ) {
        self.end(attempt.task);
        *self.busy.entry(proplet.clone()).or_default() += 1;
        let held = Held {
            number: attempt.number,
            proplet,
            lease: Lease::grant(now, term),
            since: now,
        };
        self.by_task.insert(attempt.task, held);
    }

    /// Renews the lease of an attempt. False if that proplet does not have it.
    pub(super) fn renew(
        &mut self,
        attempt: AttemptId,
        proplet: &PropletId,
        now: Instant,
        term: Duration,
    ) -> bool {
        match self.by_task.get_mut(&attempt.task) {
            Some(held) if held.number == attempt.number && held.proplet == *proplet => {
                held.lease = Lease::grant(now, term);
                true
            }
            _ => false,
        }
    }

    pub(super) fn end(&mut self, task: TaskId) {
        if let Some(held) = self.by_task.remove(&task)
            && let Some(busy) = self.busy.get_mut(&held.proplet)
        {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&held.proplet);
            }
        }
    }

    /// How many attempts a proplet has.
    pub(super) fn busy(&self, proplet: &PropletId) -> u32 {
        self.busy.get(proplet).copied().unwrap_or(0)
    }

    /// The attempts of one proplet.
    pub(super) fn of(&self, proplet: &PropletId) -> Vec<AttemptId> {
        self.select(|held| held.proplet == *proplet)
    }

    /// The attempts of one proplet that were granted less than `age` ago.
    pub(super) fn younger_than(
        &self,
        proplet: &PropletId,
        now: Instant,
        age: Duration,
    ) -> Vec<AttemptId> {
        self.select(|held| {
            held.proplet == *proplet && now.saturating_duration_since(held.since) < age
        })
    }

    /// The attempts whose lease has run out.
    pub(super) fn over(&self, now: Instant) -> Vec<AttemptId> {
        self.select(|held| held.lease.is_over(now))
    }

    /// All attempts under way.
    pub(super) fn len(&self) -> usize {
        self.by_task.len()
    }

    /// Who has an attempt, if it is under way.
    pub(super) fn holder(&self, attempt: AttemptId) -> Option<&PropletId> {
        let held = self.by_task.get(&attempt.task)?;
        (held.number == attempt.number).then_some(&held.proplet)
    }

    /// The attempt at a task that is under way, and who makes it.
    pub(super) fn current(&self, task: TaskId) -> Option<(AttemptId, &PropletId)> {
        let held = self.by_task.get(&task)?;
        let attempt = AttemptId {
            task,
            number: held.number,
        };
        Some((attempt, &held.proplet))
    }

    /// The attempt of a proplet that `is` says yes to.
    pub(super) fn find(
        &self,
        proplet: &PropletId,
        is: impl Fn(AttemptId) -> bool,
    ) -> Option<AttemptId> {
        self.of(proplet).into_iter().find(|attempt| is(*attempt))
    }

    /// Makes the leases match what the store says is under way: what is new to us gets a full
    /// lease, what the store does not know ends.
    pub(super) fn resync(
        &mut self,
        active: Vec<(AttemptId, PropletId)>,
        now: Instant,
        term: Duration,
    ) {
        let mut before = std::mem::take(self);
        for (attempt, proplet) in active {
            let kept = before
                .by_task
                .remove(&attempt.task)
                .filter(|held| held.number == attempt.number && held.proplet == proplet);
            self.grant(attempt, proplet, now, term);
            if let (Some(kept), Some(held)) = (kept, self.by_task.get_mut(&attempt.task)) {
                held.lease = kept.lease;
                held.since = kept.since;
            }
        }
    }

    fn select(&self, wanted: impl Fn(&Held) -> bool) -> Vec<AttemptId> {
        self.by_task
            .iter()
            .filter(|(_, held)| wanted(held))
            .map(|(task, held)| AttemptId {
                task: *task,
                number: held.number,
            })
            .collect()
    }
}
