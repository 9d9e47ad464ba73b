//! Tasks.

use propeller_model::task::State;
use propeller_model::{Digest, PropletId, TaskId, Trace};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use super::image::Image;
use super::row::{self, Columns};
use super::{Blob, StoreError};

/// A task as it is remembered.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What its owner calls it.
    pub name: String,
    /// What its module is called.
    pub app_name: String,
    /// 0 to 100.
    pub priority: u8,
    /// The only proplet that may have it.
    pub pinned: Option<PropletId>,
    /// Labels, as JSON.
    pub metadata: Option<String>,
    /// Its module, if that is in the store.
    pub module: Option<Digest>,
    /// The image that its module is in, if that is in a registry.
    pub image: Option<Image>,
    /// Whether it runs until it is stopped or fails.
    pub daemon: bool,
    /// Its sealed input.
    pub input: Option<Blob>,
    /// Whether it needs the object store.
    pub stored: bool,
    /// Where it stands.
    pub state: State,
    /// Who had the last attempt, once the task is settled.
    pub last_proplet: Option<PropletId>,
    /// Proplets that have refused this run.
    pub excluded: Vec<PropletId>,
    /// What was guaranteed for the last attempt.
    pub protection: String,
    /// Why the last run failed, in the manager's words.
    pub error: String,
    /// Where it belongs.
    pub trace: Trace,
    /// When it was created.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// When the last run started.
    pub started_ms: Option<i64>,
    /// When the last run ended.
    pub finished_ms: Option<i64>,
}

#[cfg(test)]
impl Task {
    /// A new one without anything to run, for tests that change what they are about.
    pub(crate) fn sample(id: u128) -> Self {
        let id = TaskId(Uuid::from_u128(id));
        Self {
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
            stored: false,
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
}

const COLUMNS: &str = "id, name, app_name, priority, pinned, metadata, module, input, input_file,
     state, attempts, tries, proplet, excluded, protection, error, created_ms, updated_ms,
     started_ms, finished_ms, trace, daemon, image, image_encrypted, image_key, stored,
     image_signed";

/// Remembers a new task.
///
/// # Errors
/// See [`StoreError`].
pub fn task_insert(db: &Connection, task: &Task) -> Result<(), StoreError> {
    let (input, file) = task.input.as_ref().map_or((None, None), Blob::columns);
    let columns = row::columns(&task.state);
    let (image, encrypted, key, signed) = Image::columns(task.image.as_ref());
    db.prepare_cached(
        "INSERT INTO tasks (id, name, app_name, priority, pinned, metadata, module, input,
         input_file, state, attempts, tries, proplet, not_before_ms, excluded, protection, error,
         created_ms, updated_ms, started_ms, trace, daemon, image, image_encrypted, image_key, stored,
         image_signed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, '', '', '', ?14, ?14,
         ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    )?
    .execute(params![
        task.id.0.as_bytes(),
        task.name,
        task.app_name,
        task.priority,
        task.pinned.as_ref().map(PropletId::as_str),
        task.metadata,
        task.module.map(|digest| digest.0),
        input,
        file,
        columns.state,
        columns.attempts,
        columns.tries,
        columns.proplet,
        task.created_ms,
        task.started_ms,
        given(task.id, task.trace),
        task.daemon,
        image,
        encrypted,
        key,
        task.stored,
        signed,
    ])?;
    Ok(())
}

/// A trace that the store has to remember: any but the task's own.
fn given(id: TaskId, trace: Trace) -> Option<String> {
    (trace != Trace::of(id)).then(|| trace.to_string())
}

/// Replaces what its owner may change.
///
/// # Errors
/// See [`StoreError`].
pub fn task_update(db: &Connection, task: &Task) -> Result<(), StoreError> {
    let (input, file) = task.input.as_ref().map_or((None, None), Blob::columns);
    let (image, encrypted, key, signed) = Image::columns(task.image.as_ref());
    db.prepare_cached(
        "UPDATE tasks SET name = ?2, app_name = ?3, priority = ?4, pinned = ?5, metadata = ?6,
         module = ?7, input = ?8, input_file = ?9, updated_ms = ?10, daemon = ?11, image = ?12,
         image_encrypted = ?13, image_key = ?14, stored = ?15, image_signed = ?16 WHERE id = ?1",
    )?
    .execute(params![
        task.id.0.as_bytes(),
        task.name,
        task.app_name,
        task.priority,
        task.pinned.as_ref().map(PropletId::as_str),
        task.metadata,
        task.module.map(|digest| digest.0),
        input,
        file,
        task.updated_ms,
        task.daemon,
        image,
        encrypted,
        key,
        task.stored,
        signed,
    ])?;
    Ok(())
}

/// Moves a task to its next state. A new run forgets how the last one failed.
///
/// # Errors
/// See [`StoreError`].
pub fn task_state_set(
    db: &Connection,
    id: TaskId,
    state: &State,
    now_ms: i64,
    not_before_ms: i64,
) -> Result<(), StoreError> {
    let columns = row::columns(state);
    let finished = matches!(state, State::Done { .. }).then_some(now_ms);
    db.prepare_cached(
        "UPDATE tasks SET state = ?2, attempts = ?3, tries = ?4,
         proplet = CASE WHEN ?2 IN (4, 5, 6) THEN proplet ELSE ?5 END, updated_ms = ?6,
         not_before_ms = ?7, finished_ms = ?8 WHERE id = ?1",
    )?
    .execute(params![
        id.0.as_bytes(),
        columns.state,
        columns.attempts,
        columns.tries,
        columns.proplet,
        now_ms,
        not_before_ms,
        finished,
    ])?;
    Ok(())
}

/// Marks the start of a run, in its own trace if whoever starts it named one.
///
/// # Errors
/// See [`StoreError`].
pub fn task_run_begin(
    db: &Connection,
    id: TaskId,
    trace: Option<Trace>,
    now_ms: i64,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE tasks SET started_ms = ?2, error = '', excluded = '', protection = '',
         store_away = 0, trace = coalesce(?3, trace) WHERE id = ?1",
    )?
    .execute(params![
        id.0.as_bytes(),
        now_ms,
        trace.map(|trace| trace.to_string())
    ])?;
    Ok(())
}

/// Counts that the object store did not answer an attempt, or that something else came in between, and
/// says how often in a row it did not.
///
/// # Errors
/// See [`StoreError`].
pub fn task_store_away(db: &Connection, id: TaskId, is_away: bool) -> Result<u32, StoreError> {
    let mut statement = db.prepare_cached(
        "UPDATE tasks SET store_away = CASE WHEN ?2 THEN min(store_away + 1, 1000) ELSE 0 END
         WHERE id = ?1 RETURNING store_away",
    )?;
    let times = statement.query_row(params![id.0.as_bytes(), is_away], |row| row.get(0));
    Ok(times.optional()?.unwrap_or_default())
}

/// Adds a reason to why the run fails, and perhaps a proplet that should not get it again.
///
/// # Errors
/// See [`StoreError`].
pub fn task_setback(
    db: &Connection,
    id: TaskId,
    error: &str,
    exclude: Option<&PropletId>,
) -> Result<(), StoreError> {
    // A run that is refused for long must not grow its row for long.
    db.prepare_cached(
        "UPDATE tasks SET error = CASE WHEN error = '' THEN ?2 WHEN length(error) > 8000 THEN error
         ELSE error || char(10) || ?2 END,
         excluded = CASE WHEN length(excluded) > 8000 THEN ?3 ELSE excluded || ?3 END
         WHERE id = ?1",
    )?
    .execute(params![
        id.0.as_bytes(),
        error,
        exclude.map_or_else(String::new, |proplet| format!("{proplet},")),
    ])?;
    Ok(())
}

/// Says what was guaranteed for the current attempt.
///
/// # Errors
/// See [`StoreError`].
pub fn task_protection_set(db: &Connection, id: TaskId, label: &str) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE tasks SET protection = ?2 WHERE id = ?1")?
        .execute(params![id.0.as_bytes(), label])?;
    Ok(())
}

/// A task by its id.
///
/// # Errors
/// See [`StoreError`].
pub fn task_find(db: &Connection, id: TaskId) -> Result<Option<Task>, StoreError> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1"))?;
    let mut rows = statement.query([id.0.as_bytes()])?;
    rows.next()?.map(task).transpose()
}

/// Whether there is a task with this id.
///
/// # Errors
/// See [`StoreError`].
pub fn task_exists(db: &Connection, id: TaskId) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?;
    Ok(statement.exists([id.0.as_bytes()])?)
}

/// A page of tasks, newest first, with the number of all that match.
///
/// # Errors
/// See [`StoreError`].
pub fn task_list(
    db: &Connection,
    offset: u64,
    limit: u64,
    labels: &[(String, Value)],
) -> Result<(Vec<Task>, u64), StoreError> {
    // Keys travel as JSON paths in parameters, so that no label is ever part of the statement.
    let filter: String = labels
        .iter()
        .enumerate()
        .map(|(i, _)| {
            format!(
                " AND json_extract(metadata, ?{}) = ?{}",
                2 * i + 1,
                2 * i + 2
            )
        })
        .collect();
    let parameters: Vec<Value> = labels
        .iter()
        .flat_map(|(key, value)| [Value::Text(json_path(key)), value.clone()])
        .collect();
    let total = db.query_row(
        &format!("SELECT count(*) FROM tasks WHERE 1{filter}"),
        params_from_iter(&parameters),
        |row| row.get(0),
    )?;
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM tasks WHERE 1{filter} ORDER BY id DESC LIMIT {limit} OFFSET {offset}"
    ))?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(task(row)?);
    }
    Ok((tasks, total))
}

fn task(row: &Row<'_>) -> Result<Task, StoreError> {
    let columns = Columns {
        state: row.get(9)?,
        attempts: row.get(10)?,
        tries: row.get(11)?,
        proplet: row.get(12)?,
    };
    let id = TaskId(Uuid::from_bytes(row.get(0)?));
    Ok(Task {
        id,
        name: row.get(1)?,
        app_name: row.get(2)?,
        priority: row.get(3)?,
        pinned: pinned(row.get(4)?)?,
        metadata: row.get(5)?,
        module: row.get::<_, Option<[u8; 32]>>(6)?.map(Digest),
        image: Image::from_columns(row.get(22)?, row.get(23)?, row.get(24)?, row.get(26)?),
        input: Blob::from_columns(row.get(7)?, row.get(8)?),
        stored: row.get(25)?,
        last_proplet: pinned(columns.proplet.clone())?,
        state: row::state(columns)?,
        excluded: proplet_ids(&row.get::<_, String>(13)?)?,
        protection: row.get(14)?,
        error: row.get(15)?,
        trace: trace(id, row.get(20)?)?,
        daemon: row.get(21)?,
        created_ms: row.get(16)?,
        updated_ms: row.get(17)?,
        started_ms: row.get(18)?,
        finished_ms: row.get(19)?,
    })
}

fn trace(id: TaskId, text: Option<String>) -> Result<Trace, StoreError> {
    match text {
        Some(text) => text
            .parse()
            .map_err(|_| StoreError::Row("a traceparent that is none")),
        None => Ok(Trace::of(id)),
    }
}

pub(super) fn pinned(text: Option<String>) -> Result<Option<PropletId>, StoreError> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|_| StoreError::Row("a proplet id that is none"))
}

pub(super) fn proplet_ids(text: &str) -> Result<Vec<PropletId>, StoreError> {
    text.split(',')
        .filter(|id| !id.is_empty())
        .map(|id| id.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| StoreError::Row("a proplet id that is none"))
}

/// The JSON path of a key, whatever characters it has.
fn json_path(key: &str) -> String {
    let quoted = serde_json::Value::from(key).to_string();
    format!("$.{quoted}")
}
