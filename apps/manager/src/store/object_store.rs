//! Which object store is this manager's.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;

/// A mark that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The mark.
    pub mark: [u8; 16],
    /// Whether no store is known to have it yet.
    pub pending: bool,
}

impl Remembered {
    /// The same, once a store has it.
    #[must_use]
    pub fn settled(self) -> Self {
        Self {
            pending: false,
            ..self
        }
    }
}

/// The mark of the object store that was taken, or is about to be.
///
/// # Errors
/// See [`StoreError`].
pub fn object_store_mark(db: &Connection) -> Result<Option<Remembered>, StoreError> {
    let mut statement = db.prepare_cached("SELECT mark, pending FROM object_store")?;
    let row = statement.query_row([], |row| {
        Ok(Remembered {
            mark: row.get(0)?,
            pending: row.get(1)?,
        })
    });
    Ok(row.optional()?)
}

/// Remembers the mark of the object store, which there is one of.
///
/// # Errors
/// See [`StoreError`].
pub fn object_store_take(db: &Connection, remembered: Remembered) -> Result<(), StoreError> {
    let Remembered { mark, pending } = remembered;
    db.prepare_cached("DELETE FROM object_store")?.execute([])?;
    db.prepare_cached("INSERT INTO object_store (mark, pending) VALUES (?1, ?2)")?
        .execute(params![mark, pending])?;
    Ok(())
}
