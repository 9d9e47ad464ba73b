//! Which object store is this manager's.

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// The mark of the object store that was taken, if one was.
///
/// # Errors
/// See [`StoreError`].
pub fn object_store_mark(db: &Connection) -> Result<Option<[u8; 16]>, StoreError> {
    let mut statement = db.prepare_cached("SELECT mark FROM object_store")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// Remembers the mark of the object store, which there is one of.
///
/// # Errors
/// See [`StoreError`].
pub fn object_store_take(db: &Connection, mark: [u8; 16]) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM object_store")?.execute([])?;
    db.prepare_cached("INSERT INTO object_store (mark) VALUES (?1)")?
        .execute([mark])?;
    Ok(())
}
