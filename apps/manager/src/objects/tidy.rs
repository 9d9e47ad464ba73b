//! Removes objects that no task has any more.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use propeller_depot::{Depot, DepotError, Name, Part, Tasks, Unread};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};
use uuid::Uuid;

use super::owners::Owners;
use crate::clock::before_now;
use crate::store::StoreError;

/// How often it is looked for what crashes and full queues have left.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Younger objects are left alone. That is caution, for whoever restores a database: a task is there
/// before any object of it is, an attempt never comes back, and an input is looked at twice, so that
/// no right removal hangs on a clock. What is not whole may go too early if a clock jumps by a day:
/// then whoever writes it is told, and begins again.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// Inputs that are remembered from one sweep to the next. What finds no room is found later.
const SUSPECTS_MAX: usize = 4096;
/// Tasks whose objects cannot be removed and that the log names, in one sweep.
const TOLD_MAX: usize = 10;
/// Tasks that are looked at in one go.
const SWEEP_PAGE: usize = 1000;

/// Every hour, and at the start, removes the objects of tasks that are gone, and what is no other
/// task's own.
pub async fn sweep_hourly(depot: Depot, owners: Owners) {
    let mut sweeper = Sweeper::new(depot, owners);
    let mut interval = tokio::time::interval(SWEEP_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        match sweeper.sweep(ORPHAN_AGE).await {
            Ok(tidied) if tidied == Tidied::default() => {}
            Ok(Tidied { gone, left, failed }) => {
                info!(gone, left, failed, "removed objects that no task has");
            }
            Err(error) => {
                warn!(error = %error, cause = ?error, "cannot look for objects that no task has");
            }
        }
    }
}

/// What a sweep came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tidied {
    /// Tasks that are gone, and their objects with them.
    gone: usize,
    /// What is removed of others: objects, and files that are not whole.
    left: usize,
    /// Tasks whose objects could not be looked at or removed: the next sweep tries again.
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

/// Looks for what no task has, again and again.
#[derive(Debug)]
struct Sweeper {
    depot: Depot,
    owners: Owners,
    /// Inputs that were no task's own at the last sweep. One that has just come is its task's own
    /// in a moment, whatever a clock says of its age.
    suspects: HashSet<Name>,
}

impl Sweeper {
    fn new(depot: Depot, owners: Owners) -> Self {
        Self {
            depot,
            owners,
            suspects: HashSet::new(),
        }
    }

    /// Removes the objects of tasks that are gone and have nothing younger than `age`, and of others
    /// what is older than that and not their own. What cannot be looked at or removed is passed over.
    async fn sweep(&mut self, age: Duration) -> Result<Tidied, SweepError> {
        let older_than = before_now(age);
        let (mut after, mut tidied) = (None, Tidied::default());
        let mut suspects = HashSet::new();
        loop {
            let page = self.depot.tasks(older_than, after, SWEEP_PAGE).await?;
            after = page.next;
            let judged = self.judge(page).await?;
            self.remove_gone(judged.gone, &mut tidied).await;
            for name in judged.superseded {
                let is_input = matches!(name.part, Part::Stdin(_));
                match is_input && !self.suspects.contains(&name) {
                    true if suspects.len() < SUSPECTS_MAX => _ = suspects.insert(name),
                    true => {}
                    false => self.remove(name, &mut tidied).await,
                }
            }
            self.remove_unfinished(judged.unfinished, older_than, &mut tidied)
                .await;
            for Unread { task, why } in judged.unread {
                tidied.fail(task, &std::io::Error::other(why));
            }
            if after.is_none() {
                self.suspects = suspects;
                return Ok(tidied);
            }
        }
    }

    /// Asks the database about what is old.
    async fn judge(&self, page: Tasks) -> Result<Judged, SweepError> {
        let owners = self.owners.clone();
        let look = move || {
            Ok::<_, StoreError>(Judged {
                gone: owners.gone(page.old)?,
                superseded: owners.superseded(&page.aged)?,
                unfinished: page.unfinished,
                unread: page.unread,
            })
        };
        let judged = tokio::task::spawn_blocking(look).await;
        Ok(judged.map_err(|_| SweepError::Ended)??)
    }

    async fn remove_gone(&self, gone: Vec<Uuid>, tidied: &mut Tidied) {
        for task in gone {
            match self.depot.remove_task(task).await {
                Ok(_) => tidied.gone += 1,
                Err(error) => tidied.fail(task, &error),
            }
        }
    }

    async fn remove(&self, name: Name, tidied: &mut Tidied) {
        match self.depot.remove(name).await {
            Ok(()) => tidied.left += 1,
            Err(error) => tidied.fail(name.task, &error),
        }
    }

    async fn remove_unfinished(
        &self,
        tasks: Vec<Uuid>,
        older_than: SystemTime,
        tidied: &mut Tidied,
    ) {
        for task in tasks {
            match self.depot.remove_unfinished(task, older_than).await {
                Ok(removed) => tidied.left += removed,
                Err(error) => tidied.fail(task, &error),
            }
        }
    }
}

/// What is to go, of the tasks that were looked at in one go.
#[derive(Debug)]
struct Judged {
    gone: Vec<Uuid>,
    superseded: Vec<Name>,
    unfinished: Vec<Uuid>,
    unread: Vec<Unread>,
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::Permissions;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use propeller_envelope::{Context, Keyring, WorkloadKey, seal};
    use propeller_model::task::State;
    use propeller_wire::message::{Input, InputObjects, ObjectKey, StoredObject};
    use tokio::sync::watch;

    use super::*;
    use crate::store::task::{Task, task_insert};
    use crate::store::{Blob, Store};

    const NO_VARIABLES: [(String, String); 0] = [];

    fn task(id: u128) -> Task {
        Task {
            stored: true,
            ..Task::sample(id)
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

    pub(in crate::objects) async fn depot(folder: &std::path::Path) -> Depot {
        let location = folder.to_str().unwrap().parse().unwrap();
        let depot = Depot::open(&location, NO_VARIABLES).await.unwrap();
        depot.claim().await.unwrap();
        depot
    }

    pub(in crate::objects) async fn put(depot: &Depot, task: Uuid, part: Part) -> Name {
        let name = Name { task, part };
        let mut writer = depot.writer(name);
        writer.write(b"x").await.unwrap();
        writer.finish().await.unwrap();
        name
    }

    const TENANT: &str = "tenant";

    fn keys() -> Keyring {
        Keyring::new(WorkloadKey::from_bytes([7; 32]))
    }

    /// What knows the tasks of a store.
    fn owners(store: &Store) -> Owners {
        let (_, keys) = watch::channel(keys());
        Owners::new(store.reader(), keys, TENANT.to_owned())
    }

    /// A task whose standard input is this object, after so many attempts.
    fn task_with(id: u128, stdin: u64, attempts: u32) -> Task {
        let objects = InputObjects {
            key: ObjectKey([1; 32]),
            stdin: Some(StoredObject {
                name: stdin,
                digest: [2; 32],
                plain_len: 1,
            }),
        };
        let input = Input {
            objects: Some(objects),
            ..Input::default()
        };
        let context = Context::Input {
            tenant: TENANT,
            task: *Uuid::from_u128(id).as_bytes(),
        };
        let sealed = seal(&keys(), &context, &input.to_bytes()).unwrap();
        Task {
            input: Some(Blob::Inline(sealed)),
            state: State::Created { attempts },
            ..task(id)
        }
    }

    fn remember(store: &mut Store, task: &Task) {
        let db = store.begin().unwrap();
        task_insert(&db, task).unwrap();
        db.commit().unwrap();
    }

    #[tokio::test]
    async fn a_sweep_removes_what_no_task_has_and_nothing_that_is_young() {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let depot = depot(folder.path()).await;
        let mut store = Store::open(data.path()).unwrap();
        let known = task_with(1, 1, 0);
        remember(&mut store, &known);
        let kept = put(&depot, known.id.0, Part::Stdin(1)).await;
        let orphan = put(&depot, Uuid::from_u128(2), Part::Stdout(1)).await;
        let mut sweeper = Sweeper::new(depot.clone(), owners(&store));
        let nothing = Tidied::default();
        assert_eq!(sweeper.sweep(ORPHAN_AGE).await.unwrap(), nothing);
        assert_eq!(depot.len(orphan).await.unwrap(), Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let one = Tidied { gone: 1, ..nothing };
        assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), one);
        assert_eq!(depot.len(orphan).await.unwrap(), None);
        assert_eq!(depot.len(kept).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn a_sweep_removes_what_a_task_that_is_there_has_no_more() {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let depot = depot(folder.path()).await;
        let mut store = Store::open(data.path()).unwrap();
        let known = task_with(1, 7, 3);
        remember(&mut store, &known);
        let id = known.id.0;
        let own = [
            put(&depot, id, Part::Stdin(7)).await,
            put(&depot, id, Part::Stdout(3)).await,
        ];
        let output = put(&depot, id, Part::Stdout(2)).await;
        let input = put(&depot, id, Part::Stdin(6)).await;
        // What a killed manager was writing.
        let half = folder.path().join(id.to_string());
        let half = half.join(".stdin-0000000000000005.0123456789abcdef.part");
        std::fs::write(&half, "half").unwrap();
        let mut sweeper = Sweeper::new(depot.clone(), owners(&store));
        let left = |left| Tidied {
            left,
            ..Tidied::default()
        };
        assert_eq!(sweeper.sweep(ORPHAN_AGE).await.unwrap(), left(0));
        assert!(half.exists());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), left(2));
        assert!(!half.exists());
        assert_eq!(depot.len(output).await.unwrap(), None);
        // It may be the task's own in a moment.
        assert_eq!(depot.len(input).await.unwrap(), Some(1));
        assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), left(1));
        assert_eq!(depot.len(input).await.unwrap(), None);
        for name in own {
            assert_eq!(depot.len(name).await.unwrap(), Some(1), "{name}");
        }
        assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), left(0));
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
        let mut sweeper = Sweeper::new(depot.clone(), owners(&store));
        let tidied = sweeper.sweep(Duration::ZERO).await;
        let expected = Tidied {
            gone: 1,
            left: 0,
            failed: 1,
        };
        assert_eq!(tidied.unwrap(), expected);
        assert_eq!(depot.len(other).await.unwrap(), None);
        assert_eq!(depot.len(stuck).await.unwrap(), Some(1));
        std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    }
}
