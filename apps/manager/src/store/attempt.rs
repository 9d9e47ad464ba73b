//! Attempts: who had a task when, and how that ended.

use propeller_model::{AttemptId, ExitKind, PropletId, TaskId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::task::pinned;
use super::{Blob, StoreError};

/// An attempt as it is remembered.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which one.
    pub number: u32,
    /// Who makes it.
    pub proplet: String,
    /// Why that proplet.
    pub reason: String,
    /// When it was assigned.
    pub assigned_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Its sealed output.
    pub output: Option<Blob>,
    /// What it cost, as JSON.
    pub usage: Option<String>,
    /// How it ended, in a word.
    pub exit: Option<ExitKind>,
    /// What proves where it ran, as JSON.
    pub proof: Option<String>,
}

/// The end of an attempt.
#[derive(Debug)]
pub struct Ended<'a> {
    /// How, in a few words.
    pub outcome: &'a str,
    /// Its sealed output, if there is one.
    pub output: Option<&'a Blob>,
    /// What it cost, as JSON.
    pub usage: Option<&'a str>,
    /// How, in a word; proplets in plain mode do not say.
    pub exit: Option<ExitKind>,
    /// What proves where it ran, as JSON.
    pub proof: Option<&'a str>,
    /// When.
    pub now_ms: i64,
}

/// Attempts that are under way.
///
/// # Errors
/// See [`StoreError`].
pub fn attempts_active(db: &Connection) -> Result<Vec<(AttemptId, PropletId)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, attempts, proplet FROM tasks WHERE state IN (2, 3)")?;
    let mut rows = statement.query([])?;
    let mut active = Vec::new();
    while let Some(row) = rows.next()? {
        let attempt = AttemptId {
            task: TaskId(Uuid::from_bytes(row.get(0)?)),
            number: row.get(1)?,
        };
        let proplet =
            pinned(row.get(2)?)?.ok_or(StoreError::Row("a task under way without a proplet"))?;
        active.push((attempt, proplet));
    }
    Ok(active)
}

/// Remembers that an attempt was assigned.
///
/// # Errors
/// See [`StoreError`].
pub fn attempt_insert(
    db: &Connection,
    attempt: AttemptId,
    proplet: &PropletId,
    reason: &str,
    session: Option<[u8; 32]>,
    now_ms: i64,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO attempts (task, number, proplet, reason, assigned_ms, session)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        attempt.task.0.as_bytes(),
        attempt.number,
        proplet.as_str(),
        reason,
        now_ms,
        session
    ])?;
    Ok(())
}

/// The binding of the session in which an attempt was given, if its evidence has to be about one.
///
/// # Errors
/// See [`StoreError`].
pub fn attempt_session(db: &Connection, id: AttemptId) -> Result<Option<[u8; 32]>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT session FROM attempts WHERE task = ?1 AND number = ?2")?;
    let session = statement
        .query_row(params![id.task.0.as_bytes(), id.number], |row| row.get(0))
        .optional()?;
    Ok(session.flatten())
}

/// Remembers how an attempt ended.
///
/// # Errors
/// See [`StoreError`].
pub fn attempt_end(
    db: &Connection,
    attempt: AttemptId,
    ended: &Ended<'_>,
) -> Result<(), StoreError> {
    let (output, file) = ended.output.map_or((None, None), Blob::columns);
    db.prepare_cached(
        "UPDATE attempts SET ended_ms = ?3, outcome = ?4, output = ?5, output_file = ?6, usage = ?7,
                exit = ?8, proof = ?9
         WHERE task = ?1 AND number = ?2",
    )?
    .execute(params![
        attempt.task.0.as_bytes(),
        attempt.number,
        ended.now_ms,
        ended.outcome,
        output,
        file,
        ended.usage,
        ended.exit.map(ExitKind::word),
        ended.proof,
    ])?;
    Ok(())
}

/// Every attempt at a task, oldest first.
///
/// # Errors
/// See [`StoreError`].
pub fn attempt_list(db: &Connection, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT number, proplet, reason, assigned_ms, ended_ms, outcome, output, output_file, usage,
                exit, proof
         FROM attempts WHERE task = ?1 ORDER BY number",
    )?;
    let rows = statement.query_map([task.0.as_bytes()], attempt)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One attempt at a task.
///
/// # Errors
/// See [`StoreError`].
pub fn attempt_find(db: &Connection, id: AttemptId) -> Result<Option<Attempt>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT number, proplet, reason, assigned_ms, ended_ms, outcome, output, output_file, usage,
                exit, proof
         FROM attempts WHERE task = ?1 AND number = ?2",
    )?;
    Ok(statement
        .query_row(params![id.task.0.as_bytes(), id.number], attempt)
        .optional()?)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get(0)?,
        proplet: row.get(1)?,
        reason: row.get(2)?,
        assigned_ms: row.get(3)?,
        ended_ms: row.get(4)?,
        outcome: row.get(5)?,
        output: Blob::from_columns(row.get(6)?, row.get(7)?),
        usage: row.get(8)?,
        // A word of a later version says nothing here.
        exit: row
            .get::<_, Option<String>>(9)?
            .and_then(|word| word.parse().ok()),
        proof: row.get(10)?,
    })
}
