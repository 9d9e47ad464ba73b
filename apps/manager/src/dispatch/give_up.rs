//! Gives up tasks that wait for what nobody has who may have them.

use propeller_model::PropletId;
use rusqlite::Connection;

use super::{Effect, Mind, Moment};
use crate::store::StoreError;
use crate::store::waiting::{Need, task_waiting_for, task_waits_for};

/// Tasks that are given up in one transaction, because nobody can run them.
const GIVEN_UP_MAX: usize = 64;

// What is shown as the reason.
const NO_TEE: &str = "no proplet that is connected is in a TEE, which this task needs because it is \
                      encrypted: start a proplet inside one, and see `propeller attest detect` there";
const NOT_REACHED: &str = "no proplet that is connected reaches the object store, which this task \
                           needs for its input or its output: set PROPLET_OBJECT_STORE to the store \
                           of the manager";
const NO_STORE: &str = "this task has its input or its output in an object store, and the manager has \
                        none: set MANAGER_OBJECT_STORE, and PROPLET_OBJECT_STORE to the same store";

impl Mind {
    /// Gives up tasks that wait for a TEE or for the object store, while nobody who may have them is
    /// in the one or reaches the other.
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
        for need in Need::ALL {
            if !task_waits_for(db, need)? {
                continue;
            }
            // Who is away may come back, and with what is needed.
            let without = self.fleet.without(need, now, term);
            let without: Vec<&PropletId> = without.iter().collect();
            let nobody = !self.fleet.has(need, now, term);
            let why = match (need, &self.objects) {
                (Need::Tee, _) => NO_TEE,
                (Need::Store, Some(_)) => NOT_REACHED,
                (Need::Store, None) => NO_STORE,
            };
            for id in task_waiting_for(db, need, &without, nobody, GIVEN_UP_MAX)? {
                self.abandon_because(db, id, why, moment, effects)?;
            }
        }
        Ok(())
    }
}
