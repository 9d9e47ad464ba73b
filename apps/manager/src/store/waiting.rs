//! Tasks that wait for a proplet.

use propeller_model::{PropletId, TaskId};
use propeller_scheduler::Waiting;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::StoreError;
use super::task::{pinned, proplet_ids};

/// Tasks that wait for a proplet and may have one of `proplets`, in the order of their turn:
/// those that only a TEE may have, or all others.
///
/// A pause is at most a minute: one that ends later was begun before the clock was set back.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting(
    db: &Connection,
    now_ms: i64,
    proplets: &[&PropletId],
    limit: usize,
    attested: bool,
) -> Result<Vec<Waiting>, StoreError> {
    let alive: Vec<&str> = proplets.iter().map(|proplet| proplet.as_str()).collect();
    let alive = serde_json::to_string(&alive).expect("texts are JSON");
    let kind = if attested { "IS NOT NULL" } else { "IS NULL" };
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, priority, pinned, excluded FROM tasks
         WHERE state = 1 AND image_key {kind}
         AND (not_before_ms <= ?1 OR not_before_ms > ?1 + 120000)
         AND (pinned IS NULL OR pinned IN (SELECT value FROM json_each(?2)))
         ORDER BY priority DESC, id LIMIT ?3"
    ))?;
    let mut rows = statement.query(params![now_ms, alive, limit])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push(Waiting {
            task: TaskId(Uuid::from_bytes(row.get(0)?)),
            priority: row.get(1)?,
            pinned: pinned(row.get(2)?)?,
            excluded: proplet_ids(&row.get::<_, String>(3)?)?,
            attested,
        });
    }
    Ok(waiting)
}

/// Whether any task waits for a TEE.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waits_attested(db: &Connection) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE state = 1 AND image_key IS NOT NULL)",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Tasks that wait for a TEE and may have only one of `proplets`, and with `unpinned` those that may
/// have anybody.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting_attested(
    db: &Connection,
    proplets: &[&PropletId],
    unpinned: bool,
    limit: usize,
) -> Result<Vec<TaskId>, StoreError> {
    let named: Vec<&str> = proplets.iter().map(|proplet| proplet.as_str()).collect();
    let named = serde_json::to_string(&named).expect("texts are JSON");
    let mut statement = db.prepare_cached(
        "SELECT id FROM tasks WHERE state = 1 AND image_key IS NOT NULL
         AND CASE WHEN pinned IS NULL THEN ?2 ELSE pinned IN (SELECT value FROM json_each(?1)) END
         ORDER BY priority DESC, id LIMIT ?3",
    )?;
    let ids = statement.query_map(params![named, unpinned, limit], |row| {
        Ok(TaskId(Uuid::from_bytes(row.get(0)?)))
    })?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// How many tasks wait, and when the next pause ends, if all that wait are pausing.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting_count(db: &Connection) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM tasks WHERE state = 1")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}
