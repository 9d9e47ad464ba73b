//! Gives up tasks that wait for what nobody has who may have them.

use propeller_model::PropletId;
use propeller_scheduler::Needs;
use rusqlite::Connection;

use super::{Effect, Mind, Moment};
use crate::store::StoreError;
use crate::store::waiting::{task_waiting_for, task_waits_for};

/// Tasks that are given up in one transaction, because nobody can run them.
const GIVEN_UP_MAX: usize = 64;

// What is shown as the reason.
const NO_TEE: &str = "no proplet that is connected is in a TEE, which this task needs because it is \
                      encrypted: start a proplet inside one, and see `propeller attest detect` there";
const NOT_REACHED: &str = "no proplet that is connected reaches the object store, which this task \
                           needs for its input or its output: set PROPLET_OBJECT_STORE to the store \
                           of the manager";
const NOT_BOTH: &str = "no proplet that is connected both is in a TEE and reaches the object store: this \
                        task needs the one because it is encrypted, and the other for its input or \
                        its output: set PROPLET_OBJECT_STORE to the store of the manager for a \
                        proplet inside a TEE";
const NO_STORE: &str = "this task has its input or its output in an object store, and the manager has \
                        none: set MANAGER_OBJECT_STORE, and PROPLET_OBJECT_STORE to the same store";

impl Mind {
    /// Gives up tasks that wait for a TEE, for the object store or for both, while nobody who may have
    /// them is all of that.
    ///
    /// Whoever was connected before a restart may come back: for a lease, that is waited for.
    pub(super) fn give_up(
        &mut self,
        db: &Connection,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let (now, term) = (moment.now, self.rules.lease);
        let starting = now.saturating_duration_since(self.begun) < term;
        let expected = starting && self.fleet.is_missing_some(now, term);
        if expected || !self.fleet.has_sealed(now, term) {
            return Ok(());
        }
        let has_store = self.objects.is_some();
        for needs in Needs::ALL {
            let Some(why) = why(needs, has_store) else {
                continue;
            };
            let why = match needs.tee {
                true => told_of_refused(why, self.fleet.refused_tees(now, term)),
                false => why.to_owned(),
            };
            if !task_waits_for(db, needs)? {
                continue;
            }
            // Who is away may come back, and with what is needed.
            let without = self.fleet.without(needs, now, term);
            let without: Vec<&PropletId> = without.iter().collect();
            let nobody = !self.fleet.has(needs, now, term);
            for id in task_waiting_for(db, needs, &without, nobody, GIVEN_UP_MAX)? {
                self.abandon_because(db, id, &why, moment, effects)?;
            }
        }
        Ok(())
    }
}

/// Why nobody who is connected suits a task with these needs; nothing if anybody does.
fn why(needs: Needs, has_store: bool) -> Option<&'static str> {
    match (needs.tee, needs.store) {
        (false, false) => None,
        (_, true) if !has_store => Some(NO_STORE),
        (true, false) => Some(NO_TEE),
        (false, true) => Some(NOT_REACHED),
        (true, true) => Some(NOT_BOTH),
    }
}

/// The same, after those who show evidence of a TEE and are not believed.
fn told_of_refused<'a>(
    why: &str,
    mut refused: impl Iterator<Item = (&'a PropletId, &'a str)>,
) -> String {
    let Some((proplet, reason)) = refused.next() else {
        return why.to_owned();
    };
    let more = match refused.count() {
        0 => String::new(),
        more => format!(", and that of {more} more"),
    };
    format!(
        "the evidence that {proplet} shows of its TEE is refused by this manager \
         (MANAGER_ATTESTATION_POLICY): {reason}{more}; otherwise {why}"
    )
}
