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

/// Tasks that wait for a TEE, and the only proplet that may have each.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting_attested(
    db: &Connection,
    limit: usize,
) -> Result<Vec<(TaskId, Option<PropletId>)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, pinned FROM tasks WHERE state = 1 AND image_key IS NOT NULL
         ORDER BY priority DESC, id LIMIT ?1",
    )?;
    let mut rows = statement.query([limit])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let id = TaskId(Uuid::from_bytes(row.get(0)?));
        waiting.push((id, pinned(row.get(1)?)?));
    }
    Ok(waiting)
}

/// How many tasks wait, and when the next pause ends, if all that wait are pausing.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting_count(db: &Connection) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM tasks WHERE state = 1")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}
