//! Removes objects that no task has any more.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use propeller_depot::{Depot, DepotError, Name, Tasks, Unread};
use propeller_model::TaskId;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::clock::before_now;
use crate::store::task::task_exists;
use crate::store::{Reader, StoreError};

/// What waits to be removed. What finds no room is found by the next sweep, once it is old.
pub const DISCARDS_MAX: usize = 4096;
/// Removals under way at the same time: each is a few requests to a store.
const REMOVALS_MAX: usize = 8;
/// How often it is looked for what crashes and full queues have left.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Younger objects are left alone. That is caution, for whoever restores a database: a task is there
/// before any object of it is, so that no right removal hangs on a clock.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// Tasks whose objects cannot be removed and that the log names, in one sweep.
const TOLD_MAX: usize = 10;
/// Tasks that are looked at in one go.
const SWEEP_PAGE: usize = 1000;

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

/// Every hour, and at the start, removes the objects of tasks that are gone.
pub async fn sweep_hourly(depot: Depot, reader: Reader) {
    let mut interval = tokio::time::interval(SWEEP_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        match sweep(&depot, &reader, ORPHAN_AGE).await {
            Ok(Tidied { gone: 0, failed: 0 }) => {}
            Ok(Tidied { gone, failed }) => {
                info!(gone, failed, "removed objects of tasks that are gone");
            }
            Err(error) => {
                warn!(error = %error, cause = ?error, "cannot look for objects of tasks that are gone");
            }
        }
    }
}

/// What a sweep came to, in tasks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tidied {
    /// Whose objects are removed.
    gone: usize,
    /// Whose objects could not be looked at or removed: the next sweep tries again.
    failed: usize,
}

impl Tidied {
    /// Tells of a task that is passed over.
    fn fail(&mut self, task: Uuid, why: &dyn std::error::Error) {
        self.failed += 1;
        if self.failed <= TOLD_MAX {
            warn!(%task, error = %why, cause = ?why, "objects of a task cannot be tidied up");
        }
    }
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("the object store failed")]
    Depot(#[from] DepotError),
    #[error("the manager's database failed")]
    Store(#[from] StoreError),
    #[error("the manager is shutting down")]
    Ended,
}

/// Removes the objects of tasks that are gone and have nothing younger than `age`. What cannot be
/// looked at or removed is passed over.
async fn sweep(depot: &Depot, reader: &Reader, age: Duration) -> Result<Tidied, SweepError> {
    let older_than = before_now(age);
    let (mut after, mut tidied) = (None, Tidied::default());
    loop {
        let Tasks { old, unread, next } = depot.tasks(older_than, after, SWEEP_PAGE).await?;
        for task in unknown(reader, old).await? {
            match depot.remove_task(task).await {
                Ok(_) => tidied.gone += 1,
                Err(error) => tidied.fail(task, &error),
            }
        }
        for Unread { task, why } in unread {
            tidied.fail(task, &std::io::Error::other(why));
        }
        if next.is_none() {
            return Ok(tidied);
        }
        after = next;
    }
}

/// Those that the database does not have.
async fn unknown(reader: &Reader, mut tasks: Vec<Uuid>) -> Result<Vec<Uuid>, SweepError> {
    let reader = reader.clone();
    let look = move || {
        reader.with(|db| {
            let mut unknown = Vec::new();
            for task in tasks.drain(..) {
                if !task_exists(db, TaskId(task))? {
                    unknown.push(task);
                }
            }
            Ok(unknown)
        })
    };
    let unknown = tokio::task::spawn_blocking(look).await;
    Ok(unknown.map_err(|_| SweepError::Ended)??)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use propeller_depot::Part;
    use propeller_model::Trace;
    use propeller_model::task::State;

    use super::*;
    use crate::store::Store;
    use crate::store::task::{Task, task_insert};

    const NO_VARIABLES: [(String, String); 0] = [];

    fn task(id: u128) -> Task {
        let id = TaskId(Uuid::from_u128(id));
        Task {
            id,
            name: "x".to_owned(),
            app_name: "x".to_owned(),
            priority: 50,
            pinned: None,
            metadata: None,
            module: None,
            image: None,
            daemon: false,
            input: None,
            stored: true,
            state: State::NEW,
            last_proplet: None,
            excluded: Vec::new(),
            protection: String::new(),
            error: String::new(),
            trace: Trace::of(id),
            created_ms: 0,
            updated_ms: 0,
            started_ms: None,
            finished_ms: None,
        }
    }

    /// Says that this test could not run, and why.
    fn skipped(reason: &str) {
        if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
            let name = std::thread::current().name().unwrap_or("?").to_owned();
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.append(true).create(true).open(path).unwrap();
            // In one piece: other tests write at the same time.
            let line = format!("SKIPPED {name}: {reason}\n");
            file.write_all(line.as_bytes()).unwrap();
        }
    }

    async fn depot(folder: &std::path::Path) -> Depot {
        let location = folder.to_str().unwrap().parse().unwrap();
        let depot = Depot::open(&location, NO_VARIABLES).await.unwrap();
        depot.claim().await.unwrap();
        depot
    }

    async fn put(depot: &Depot, task: Uuid, part: Part) -> Name {
        let name = Name { task, part };
        let mut writer = depot.writer(name);
        writer.write(b"x").await.unwrap();
        writer.finish().await.unwrap();
        name
    }

    #[tokio::test]
    async fn a_sweep_removes_what_no_task_has_and_nothing_that_is_young() {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let depot = depot(folder.path()).await;
        let mut store = Store::open(data.path()).unwrap();
        let known = task(1);
        let db = store.begin().unwrap();
        task_insert(&db, &known).unwrap();
        db.commit().unwrap();
        let kept = put(&depot, known.id.0, Part::Stdin(1)).await;
        let orphan = put(&depot, Uuid::from_u128(2), Part::Stdout(1)).await;
        let reader = store.reader();
        let nothing = Tidied::default();
        assert_eq!(sweep(&depot, &reader, ORPHAN_AGE).await.unwrap(), nothing);
        assert_eq!(depot.len(orphan).await.unwrap(), Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let one = Tidied { gone: 1, failed: 0 };
        assert_eq!(sweep(&depot, &reader, Duration::ZERO).await.unwrap(), one);
        assert_eq!(depot.len(orphan).await.unwrap(), None);
        assert_eq!(depot.len(kept).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn what_cannot_be_removed_keeps_nothing_else_from_being_removed() {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let depot = depot(folder.path()).await;
        let store = Store::open(data.path()).unwrap();
        let stuck = put(&depot, Uuid::from_u128(1), Part::Stdout(1)).await;
        let other = put(&depot, Uuid::from_u128(2), Part::Stdout(1)).await;
        let closed = folder.path().join(stuck.task.to_string());
        std::fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
        if std::fs::write(closed.join("x"), "").is_ok() {
            skipped(
                "whoever may write everywhere, as root may, has no folder that nothing goes from",
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let tidied = sweep(&depot, &store.reader(), Duration::ZERO).await;
        assert_eq!(tidied.unwrap(), Tidied { gone: 1, failed: 1 });
        assert_eq!(depot.len(other).await.unwrap(), None);
        assert_eq!(depot.len(stuck).await.unwrap(), Some(1));
        std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    }

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
