//! What is to be removed soon, and whoever removes it.

use futures_util::{StreamExt as _, stream};
use propeller_depot::{Depot, Name};
use propeller_model::TaskId;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// What waits to be removed. What finds no room is found by the next sweep, once it is old.
pub const DISCARDS_MAX: usize = 4096;
/// Removals under way at the same time: each is a few requests to a store.
const REMOVALS_MAX: usize = 8;

/// Something to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// All objects of a task that is gone.
    Task(TaskId),
    /// One object that its task has no more.
    Object(Name),
}

/// Takes what is to go. Clones share a queue.
#[derive(Debug, Clone)]
pub struct Discards(mpsc::Sender<Discard>);

impl Discards {
    /// The queue, and its end for [`remove_discarded`].
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Discard>) {
        let (discards, queue) = mpsc::channel(DISCARDS_MAX);
        (Self(discards), queue)
    }

    /// Has something removed soon. Never waits.
    pub fn add(&self, discard: Discard) {
        if self.0.try_send(discard).is_err() {
            debug!(?discard, "removed later: much is being removed");
        }
    }
}

/// Removes what is put into the queue, until nobody can put anything there.
pub async fn remove_discarded(depot: Depot, queue: mpsc::Receiver<Discard>) {
    let discards = stream::unfold(queue, async |mut queue| Some((queue.recv().await?, queue)));
    let depot = &depot;
    let remove = async |discard| {
        let removed = match discard {
            Discard::Task(task) => depot.remove_task(task.0).await.map(|_| ()),
            Discard::Object(name) => depot.remove(name).await,
        };
        if let Err(error) = removed {
            warn!(?discard, error = %error, cause = ?error, "cannot remove from the object store");
        }
    };
    discards.for_each_concurrent(REMOVALS_MAX, remove).await;
}

#[cfg(test)]
mod tests {
    use propeller_depot::Part;
    use uuid::Uuid;

    use super::super::tidy::tests::{depot, put};
    use super::*;

    #[tokio::test]
    async fn what_is_discarded_is_removed_and_a_full_queue_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let depot = depot(folder.path()).await;
        let task = Uuid::from_u128(3);
        let one = put(&depot, task, Part::Stdin(1)).await;
        let other = put(&depot, task, Part::Stdin(2)).await;
        let last = put(&depot, Uuid::from_u128(4), Part::Stdout(1)).await;
        let (discards, queue) = Discards::new();
        discards.add(Discard::Object(one));
        discards.add(Discard::Task(TaskId(last.task)));
        for number in 0..DISCARDS_MAX as u64 {
            let part = Part::Stdin(1000 + number);
            discards.add(Discard::Object(Name { task, part }));
        }
        drop(discards);
        remove_discarded(depot.clone(), queue).await;
        assert_eq!(depot.len(one).await.unwrap(), None);
        assert_eq!(depot.len(last).await.unwrap(), None);
        assert_eq!(depot.len(other).await.unwrap(), Some(1));
    }
}
