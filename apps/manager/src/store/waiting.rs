//! Tasks that wait for a proplet.

use propeller_model::{PropletId, TaskId};
use propeller_scheduler::{Needs, Waiting};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::StoreError;
use super::task::{pinned, proplet_ids};

/// Tasks that wait for a proplet and may have one of `proplets`, in the order of their turn, and
/// need this and nothing else.
///
/// A pause is at most five minutes: one that ends later was begun before the clock was set back.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting(
    db: &Connection,
    now_ms: i64,
    proplets: &[&PropletId],
    limit: usize,
    needs: Needs,
) -> Result<Vec<Waiting>, StoreError> {
    let alive = names(proplets);
    let mut statement = db.prepare_cached(
        "SELECT id, priority, pinned, excluded FROM tasks
         WHERE state = 1 AND (image_key IS NULL) = ?4 AND stored = ?5
         AND (not_before_ms <= ?1 OR not_before_ms > ?1 + 600000)
         AND (pinned IS NULL OR pinned IN (SELECT value FROM json_each(?2)))
         ORDER BY priority DESC, id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![now_ms, alive, limit, !needs.tee, needs.store])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push(Waiting {
            task: TaskId(Uuid::from_bytes(row.get(0)?)),
            priority: row.get(1)?,
            pinned: pinned(row.get(2)?)?,
            excluded: proplet_ids(&row.get::<_, String>(3)?)?,
            needs,
        });
    }
    Ok(waiting)
}

/// Whether any task that waits needs this and nothing else.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waits_for(db: &Connection, needs: Needs) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tasks
         WHERE state = 1 AND (image_key IS NULL) = ?1 AND stored = ?2)",
    )?;
    Ok(statement.query_row(params![!needs.tee, needs.store], |row| row.get(0))?)
}

/// Tasks that wait, need this and nothing else, and may have only one of `proplets`, and with
/// `unpinned` those that may have anybody.
///
/// # Errors
/// See [`StoreError`].
pub fn task_waiting_for(
    db: &Connection,
    needs: Needs,
    proplets: &[&PropletId],
    unpinned: bool,
    limit: usize,
) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id FROM tasks
         WHERE state = 1 AND (image_key IS NULL) = ?4 AND stored = ?5
         AND CASE WHEN pinned IS NULL THEN ?2 ELSE pinned IN (SELECT value FROM json_each(?1)) END
         ORDER BY priority DESC, id LIMIT ?3",
    )?;
    let parameters = params![names(proplets), unpinned, limit, !needs.tee, needs.store];
    let ids = statement.query_map(parameters, |row| Ok(TaskId(Uuid::from_bytes(row.get(0)?))))?;
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

fn names(proplets: &[&PropletId]) -> String {
    let names: Vec<&str> = proplets.iter().map(|proplet| proplet.as_str()).collect();
    serde_json::to_string(&names).expect("texts are JSON")
}

#[cfg(test)]
mod tests {
    use propeller_model::task::{Run, State};

    use super::*;
    use crate::store::image::Image;
    use crate::store::task::{
        Task, task_find, task_insert, task_run_begin, task_state_set, task_store_away, task_update,
    };
    use crate::store::{Blob, Store};

    /// A task that waits.
    fn task(id: u128, needs: Needs) -> Task {
        let image = Image {
            reference: "example.com/a@sha256:0".to_owned(),
            encrypted: true,
            key: Some(String::new()),
            signed: None,
        };
        Task {
            image: needs.tee.then_some(image),
            input: Some(Blob::Inline(vec![1])),
            stored: needs.store,
            state: State::Queued {
                run: Run {
                    attempts: 0,
                    tries: 0,
                },
            },
            ..Task::sample(id)
        }
    }

    fn numbers(ids: impl IntoIterator<Item = TaskId>) -> Vec<u128> {
        ids.into_iter().map(|id| id.0.as_u128()).collect()
    }

    #[test]
    fn how_often_the_store_was_away_outlives_a_restart_and_so_does_the_pause() {
        let folder = tempfile::tempdir().unwrap();
        let needs = Needs::ALL[0];
        let (id, state) = (task(1, needs).id, task(1, needs).state);
        let pause = 5 * 60 * 1000;
        for (times, is_first) in [([1, 2], true), ([3, 4], false)] {
            let mut store = Store::open(folder.path()).unwrap();
            let db = store.begin().unwrap();
            if is_first {
                task_insert(&db, &task(1, needs)).unwrap();
                task_state_set(&db, id, &state, 0, pause).unwrap();
            }
            for times in times {
                assert_eq!(task_store_away(&db, id, true).unwrap(), times);
            }
            let p: PropletId = "p".parse().unwrap();
            for (now, waits) in [(0, false), (pause - 1, false), (pause, true)] {
                let turns = task_waiting(&db, now, &[&p], 9, needs).unwrap();
                assert_eq!(!turns.is_empty(), waits, "{now}");
            }
            db.commit().unwrap();
        }
        let mut store = Store::open(folder.path()).unwrap();
        let db = store.begin().unwrap();
        assert_eq!(task_store_away(&db, id, false).unwrap(), 0);
        assert_eq!(task_store_away(&db, id, true).unwrap(), 1);
        task_run_begin(&db, id, None, 0).unwrap();
        assert_eq!(task_store_away(&db, id, true).unwrap(), 1);
        let gone = TaskId(Uuid::from_u128(9));
        assert_eq!(task_store_away(&db, gone, true).unwrap(), 0);
    }

    #[test]
    fn each_kind_is_found_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let db = store.begin().unwrap();
        for (id, needs) in (1..).zip(Needs::ALL) {
            assert!(!task_waits_for(&db, needs).unwrap());
            task_insert(&db, &task(id, needs)).unwrap();
        }
        for (id, needs) in (1..).zip(Needs::ALL) {
            let found = task_waiting(&db, 0, &[], 9, needs).unwrap();
            assert!(found.iter().all(|waiting| waiting.needs == needs));
            assert_eq!(numbers(found.into_iter().map(|w| w.task)), [id]);
            assert!(task_waits_for(&db, needs).unwrap());
            let found = task_waiting_for(&db, needs, &[], true, 9).unwrap();
            assert_eq!(numbers(found), [id]);
            let found = task_waiting_for(&db, needs, &[], false, 9).unwrap();
            assert_eq!(numbers(found), []);
        }
        assert_eq!(task_waiting_count(&db).unwrap(), 4);
    }

    #[test]
    fn that_a_task_needs_the_store_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let db = store.begin().unwrap();
        let mut changed = task(1, Needs::default());
        task_insert(&db, &changed).unwrap();
        for stored in [true, false] {
            changed.stored = stored;
            task_update(&db, &changed).unwrap();
            let found = task_find(&db, changed.id).unwrap().unwrap();
            assert_eq!(found.stored, stored);
            let needs = Needs {
                store: true,
                ..Needs::default()
            };
            assert_eq!(task_waits_for(&db, needs).unwrap(), stored);
        }
    }

    #[test]
    fn who_waits_is_found_without_looking_at_anybody_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let db = store.begin().unwrap();
        for condition in [
            "(image_key IS NULL) = ?1 AND stored = ?2 ORDER BY priority DESC, id",
            "(image_key IS NULL) = ?1 AND stored = ?2",
        ] {
            let explain =
                format!("EXPLAIN QUERY PLAN SELECT id FROM tasks WHERE state = 1 AND {condition}");
            let mut statement = db.prepare(&explain).unwrap();
            let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3));
            let plan: Vec<String> = lines.map(Result::unwrap).collect();
            assert_eq!(plan.len(), 1, "{plan:?}");
            assert!(plan[0].starts_with("SEARCH tasks USING"), "{plan:?}");
            assert!(plan[0].contains("tasks_turn"), "{plan:?}");
        }
    }
}
