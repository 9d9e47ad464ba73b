//! Proplets that were ever heard from.

use propeller_model::PropletId;
use rusqlite::{Connection, params};

use super::StoreError;

/// What is remembered of a proplet across restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub id: PropletId,
    /// What it told about itself, as JSON.
    pub about: String,
    /// Whether it ever had a session: then it is never served in plain again.
    pub sealed: bool,
    /// Attempts it takes at a time.
    pub slots: u32,
    /// When it was last heard from.
    pub heard_ms: i64,
}

/// Remembers a proplet. That it was sealed once is never forgotten.
///
/// # Errors
/// See [`StoreError`].
pub fn proplet_upsert(db: &Connection, known: &Known) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO proplets (id, about, sealed, slots, heard_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET about = ?2, sealed = max(sealed, ?3), slots = ?4,
         heard_ms = ?5",
    )?
    .execute(params![
        known.id.as_str(),
        known.about,
        known.sealed,
        known.slots,
        known.heard_ms
    ])?;
    Ok(())
}

/// Everything that is remembered.
///
/// # Errors
/// See [`StoreError`].
pub fn proplet_list(db: &Connection) -> Result<Vec<Known>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, about, sealed, slots, heard_ms FROM proplets ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    })?;
    rows.map(|row| {
        let (id, about, sealed, slots, heard_ms) = row?;
        Ok(Known {
            id: id
                .parse()
                .map_err(|_| StoreError::Row("a proplet id that is none"))?,
            about,
            sealed,
            slots,
            heard_ms,
        })
    })
    .collect()
}

/// Forgets a proplet.
///
/// # Errors
/// See [`StoreError`].
pub fn proplet_delete(db: &Connection, id: &PropletId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM proplets WHERE id = ?1")?
        .execute([id.as_str()])?;
    Ok(())
}
