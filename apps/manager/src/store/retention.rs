//! What the manager forgets: finished tasks after a while, and everything only they needed.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{Blobs, StoreError};

/// Tasks removed in one go, so that a sweep never holds up the dispatcher for long.
const SWEEP_MAX: u32 = 500;
/// A file is written before its row is committed; only an older one can be an orphan.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// What a sweep removed. Its files go once the removal is committed.
#[derive(Debug, Default)]
pub struct Swept {
    /// Tasks removed.
    pub tasks: usize,
    files: Vec<String>,
}

impl Swept {
    /// Removes finished tasks older than `before_ms` and modules that no task names.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sweep(db: &Connection, before_ms: i64) -> Result<Self, StoreError> {
        let mut swept = Self::default();
        let old: Vec<[u8; 16]> = db
            .prepare_cached(
                "SELECT id FROM tasks WHERE state IN (4, 5, 6) AND finished_ms < ?1
                 ORDER BY finished_ms LIMIT ?2",
            )?
            .query_map(params![before_ms, SWEEP_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for task in old {
            swept.remove_task(db, &task)?;
        }
        swept.remove_modules(db, before_ms)?;
        Ok(swept)
    }

    /// Whether there was more than one go can remove.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tasks >= SWEEP_MAX as usize
    }

    /// Removes one task with its attempts.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn remove_task(&mut self, db: &Connection, task: &[u8; 16]) -> Result<(), StoreError> {
        let files: Vec<String> = db
            .prepare_cached(
                "SELECT input_file FROM tasks WHERE id = ?1 AND input_file IS NOT NULL UNION ALL
                 SELECT output_file FROM attempts WHERE task = ?1 AND output_file IS NOT NULL",
            )?
            .query_map([task], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.tasks += db
            .prepare_cached("DELETE FROM tasks WHERE id = ?1")?
            .execute([task])?;
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

    /// Removes the files. Call it after the commit.
    pub fn finish(self, blobs: &Blobs) {
        blobs.remove(&self.files);
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
