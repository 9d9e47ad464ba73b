//! Modules: sealed once, by digest, for all tasks that run them.

use propeller_model::Digest;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Blob, StoreError};

/// A sealed module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// SHA-256 of the plain module.
    pub digest: Digest,
    /// Length of the plain module, in bytes.
    pub plain_len: u64,
    /// Its envelope.
    pub sealed: Blob,
    /// Length of the envelope, in bytes.
    pub sealed_len: u64,
    /// What upstream shows of `file`.
    pub excerpt: String,
}

/// Remembers a module. One that is known gets its new envelope: it was sealed with a newer key.
///
/// # Errors
/// See [`StoreError`].
pub fn module_insert(db: &Connection, module: &Module, now_ms: i64) -> Result<(), StoreError> {
    let (sealed, file) = module.sealed.columns();
    db.prepare_cached(
        "INSERT INTO modules
         (digest, plain_len, sealed, sealed_file, sealed_len, excerpt, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (digest) DO UPDATE SET sealed = ?3, sealed_file = ?4, sealed_len = ?5",
    )?
    .execute(params![
        module.digest.0,
        module.plain_len,
        sealed,
        file,
        module.sealed_len,
        module.excerpt,
        now_ms
    ])?;
    Ok(())
}

/// A module by its digest.
///
/// # Errors
/// See [`StoreError`].
pub fn module_find(db: &Connection, digest: Digest) -> Result<Option<Module>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT plain_len, sealed, sealed_file, sealed_len, excerpt FROM modules WHERE digest = ?1",
    )?;
    let module = statement
        .query_row([digest.0], |row| module(digest, row))
        .optional()?;
    module
        .map(|(module, sealed)| {
            let sealed = sealed.ok_or(StoreError::Row("a module without its envelope"))?;
            Ok(Module { sealed, ..module })
        })
        .transpose()
}

fn module(digest: Digest, row: &Row<'_>) -> rusqlite::Result<(Module, Option<Blob>)> {
    let sealed = Blob::from_columns(row.get(1)?, row.get(2)?);
    let module = Module {
        digest,
        plain_len: row.get(0)?,
        sealed: Blob::Inline(Vec::new()),
        sealed_len: row.get(3)?,
        excerpt: row.get(4)?,
    };
    Ok((module, sealed))
}

/// Whether a module is known.
///
/// # Errors
/// See [`StoreError`].
pub fn module_exists(db: &Connection, digest: Digest) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM modules WHERE digest = ?1")?;
    Ok(statement.exists([digest.0])?)
}
