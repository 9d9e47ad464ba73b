//! What the manager remembers: SQLite in WAL mode with full sync, one writer, many readers.
//!
//! The dispatcher owns the only writing connection and commits a whole batch of events at once, so
//! that one fsync serves many tasks. Readers see the last commit. One process owns a data
//! directory; a lock file says who.

pub mod attempt;
mod blob;
pub mod image;
mod migrate;
pub mod module;
pub mod object_store;
pub mod proplet;
mod retention;
pub mod row;
pub mod task;
pub mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use propeller_settings::{DirectoryLock, LockError};
use rusqlite::{Connection, OpenFlags, Transaction};

pub use blob::{Blob, Blobs, INLINE_LEN_MAX};
pub use retention::{Swept, remove_orphans};

/// Read connections that are kept open: more would only wait for two cores.
const READERS_MAX: usize = 4;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite says no.
    #[error("the store failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A file of the data directory.
    #[error("cannot use {path}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another manager has the directory.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The database was written by a later version.
    #[error(
        "the database has schema {found}, this version knows up to {known}: use a newer manager"
    )]
    Newer {
        /// The schema of the database.
        found: u32,
        /// The latest schema of this build.
        known: u32,
    },
    /// A row that this version did not write.
    #[error("a row of the database cannot be read: {0}")]
    Row(&'static str),
}

impl StoreError {
    /// Whether the disk is full, which an operator can mend.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                error.code == rusqlite::ErrorCode::DiskFull
            }
            Self::File { cause, .. } => {
                matches!(
                    cause.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::FileTooLarge
                )
            }
            _ => false,
        }
    }
}

/// The data directory: where everything is, and the proof that it is ours.
#[derive(Debug)]
pub struct Store {
    writer: Connection,
    reader: Reader,
    blobs: Blobs,
    _lock: DirectoryLock,
}

/// Reads the last committed state. Clones share a few connections.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    blobs: Blobs,
}

impl Store {
    /// Opens a data directory, makes it if it is new, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory, "manager")?;
        let path = directory.join("manager.db");
        let mut writer = Connection::open(&path)?;
        restrict(&path)?;
        // Full sync: what was acknowledged is on the disk. 8 MiB of log before a checkpoint.
        writer.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -16384;
             PRAGMA temp_store = MEMORY;",
        )?;
        writer.set_prepared_statement_cache_capacity(64);
        migrate::up(&mut writer)?;
        let blobs = Blobs::open(directory)?;
        let reader = Reader {
            path,
            idle: Arc::default(),
            blobs: blobs.clone(),
        };
        Ok(Self {
            writer,
            reader,
            blobs,
            _lock: lock,
        })
    }

    /// Begins a batch of changes. Dropping it undoes them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.writer.transaction()?)
    }

    /// A reader of the same directory.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The files of the same directory.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

impl Reader {
    /// Runs `read` on a connection. Blocks: call it from a thread that may.
    ///
    /// # Errors
    /// What `read` returns, or that there is no connection.
    pub fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle().pop();
        let connection = match reused {
            Some(connection) => connection,
            None => Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let result = read(&connection);
        let mut idle = idle();
        if idle.len() < READERS_MAX {
            idle.push(connection);
        }
        result
    }

    /// The files of the same directory.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

/// Only the owner may read what the store writes.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|cause| {
        StoreError::File {
            path: path.to_owned(),
            cause,
        }
    })
}
