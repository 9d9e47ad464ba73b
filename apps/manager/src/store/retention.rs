//! What the manager forgets: finished tasks after a while, and everything only they needed.

use std::time::Duration;

use propeller_model::TaskId;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{Blobs, StoreError};

/// Tasks removed in one go, so that a sweep never holds up the dispatcher for long.
const SWEEP_MAX: u32 = 500;
/// A file is written before its row is committed; only an older one can be an orphan.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// What a sweep removed. Its files go once the removal is committed.
#[derive(Debug, Default)]
pub struct Swept {
    /// Tasks removed.
    pub tasks: Vec<TaskId>,
    files: Vec<String>,
}

impl Swept {
    /// Removes finished tasks older than `before_ms` and modules that no task names.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sweep(db: &Connection, before_ms: i64) -> Result<Self, StoreError> {
        let mut swept = Self::default();
        let old: Vec<TaskId> = db
            .prepare_cached(
                "SELECT id FROM tasks WHERE state IN (4, 5, 6) AND finished_ms < ?1
                 ORDER BY finished_ms LIMIT ?2",
            )?
            .query_map(params![before_ms, SWEEP_MAX], |row| {
                Ok(TaskId(Uuid::from_bytes(row.get(0)?)))
            })?
            .collect::<Result<_, _>>()?;
        for task in old {
            swept.remove_task(db, task)?;
        }
        swept.remove_modules(db, before_ms)?;
        Ok(swept)
    }

    /// Whether there was more than one go can remove.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tasks.len() >= SWEEP_MAX as usize
    }

    /// Removes one task with its attempts.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn remove_task(&mut self, db: &Connection, task: TaskId) -> Result<(), StoreError> {
        let files: Vec<String> = db
            .prepare_cached(
                "SELECT input_file FROM tasks WHERE id = ?1 AND input_file IS NOT NULL UNION ALL
                 SELECT output_file FROM attempts WHERE task = ?1 AND output_file IS NOT NULL",
            )?
            .query_map([task.0.as_bytes()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        db.prepare_cached("DELETE FROM tasks WHERE id = ?1")?
            .execute([task.0.as_bytes()])?;
        self.tasks.push(task);
        self.files.extend(files);
        Ok(())
    }

    /// Adds the file of an envelope that another one replaces.
    pub fn replace(&mut self, blob: Option<&super::Blob>) {
        if let Some(super::Blob::File(name)) = blob {
            self.files.push(name.clone());
        }
    }

    /// A module stays for a while after its last task, because clients name it by digest.
    fn remove_modules(&mut self, db: &Connection, before_ms: i64) -> Result<(), StoreError> {
        const UNUSED: &str = "created_ms < ?1 AND NOT EXISTS
                              (SELECT 1 FROM tasks WHERE tasks.module = modules.digest)";
        let files: Vec<String> = db
            .prepare_cached(&format!(
                "SELECT sealed_file FROM modules WHERE sealed_file IS NOT NULL AND {UNUSED}"
            ))?
            .query_map([before_ms], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        db.prepare_cached(&format!("DELETE FROM modules WHERE {UNUSED}"))?
            .execute([before_ms])?;
        self.files.extend(files);
        Ok(())
    }

    /// Removes the files, and says which tasks are gone. Call it after the commit.
    #[must_use]
    pub fn finish(self, blobs: &Blobs) -> Vec<TaskId> {
        blobs.remove(&self.files);
        self.tasks
    }
}

/// Removes files that no row names: what a crash left behind.
///
/// # Errors
/// See [`StoreError`].
pub fn remove_orphans(db: &Connection, blobs: &Blobs) -> Result<usize, StoreError> {
    let mut named = db.prepare(
        "SELECT 1 FROM tasks WHERE input_file = ?1 UNION ALL
         SELECT 1 FROM attempts WHERE output_file = ?1 UNION ALL
         SELECT 1 FROM modules WHERE sealed_file = ?1",
    )?;
    let mut orphans = Vec::new();
    for name in blobs.older_than(ORPHAN_AGE) {
        if !named.exists([&name])? {
            orphans.push(name);
        }
    }
    blobs.remove(&orphans);
    Ok(orphans.len())
}

#[cfg(test)]
mod tests {
    use propeller_model::task::Event;
    use propeller_model::{Digest, retry::Policy};

    use super::*;
    use crate::store::module::{Module, module_exists, module_insert};
    use crate::store::task::{Task, task_find, task_insert, task_state_set};
    use crate::store::{Blob, Store};

    const DIGEST: Digest = Digest([7; 32]);

    fn task(id: u128, input: Blob) -> Task {
        Task {
            module: Some(DIGEST),
            input: Some(input),
            ..Task::sample(id)
        }
    }

    /// A task that was stopped at `ms`.
    fn settle(db: &Connection, task: &Task, ms: i64) {
        let policy = Policy {
            attempts_max: 1,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
        };
        let (queued, _) = task.state.on(Event::Start, &policy).unwrap();
        let (done, _) = queued.on(Event::Stop, &policy).unwrap();
        task_state_set(db, task.id, &done, ms, 0).unwrap();
    }

    #[test]
    fn old_tasks_go_with_their_files_and_then_the_modules_that_nobody_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let blobs = store.blobs().clone();
        let large = blobs.keep(vec![1; 100_000]).unwrap();
        let Blob::File(name) = large.clone() else {
            panic!("it is too large for a row");
        };
        let file = folder.path().join("blobs").join(name);
        let (old, new) = (task(1, large), task(2, Blob::Inline(vec![2])));
        let db = store.begin().unwrap();
        let module = Module {
            digest: DIGEST,
            plain_len: 1,
            sealed: Blob::Inline(vec![3]),
            sealed_len: 1,
            excerpt: String::new(),
        };
        module_insert(&db, &module, 0).unwrap();
        for (task, ms) in [(&old, 1_000), (&new, 5_000)] {
            task_insert(&db, task).unwrap();
            settle(&db, task, ms);
        }
        let swept = Swept::sweep(&db, 3_000).unwrap();
        assert_eq!(swept.tasks, [old.id]);
        assert!(file.exists(), "files go after the commit");
        db.commit().unwrap();
        assert_eq!(swept.finish(&blobs), [old.id]);
        assert!(!file.exists());
        let db = store.begin().unwrap();
        assert!(task_find(&db, old.id).unwrap().is_none());
        assert!(task_find(&db, new.id).unwrap().is_some());
        assert!(module_exists(&db, DIGEST).unwrap(), "somebody runs it");
        Swept::sweep(&db, 9_000).unwrap();
        assert!(!module_exists(&db, DIGEST).unwrap());
    }
}
