//! Who waits for which task.

use std::collections::HashMap;

use propeller_model::TaskId;
use tokio::sync::oneshot;

/// Requests that may wait at the same time. A waiting client costs a connection and little else.
const WAITERS_MAX: usize = 16_384;

/// Requests that wait for a task to be settled.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_task: HashMap<TaskId, Vec<oneshot::Sender<()>>>,
    count: usize,
}

impl Waiters {
    /// Remembers a waiter. False if there are too many.
    pub(super) fn add(&mut self, task: TaskId, waiter: oneshot::Sender<()>) -> bool {
        if self.count >= WAITERS_MAX {
            return false;
        }
        self.by_task.entry(task).or_default().push(waiter);
        self.count += 1;
        true
    }

    pub(super) fn wake(&mut self, task: TaskId) {
        for waiter in self.by_task.remove(&task).unwrap_or_default() {
            self.count -= 1;
            // A client that has left needs no answer.
            let _gone = waiter.send(());
        }
    }

    /// Forgets those who have left.
    pub(super) fn tidy(&mut self) {
        self.by_task.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        self.count = self.by_task.values().map(Vec::len).sum();
    }
}
