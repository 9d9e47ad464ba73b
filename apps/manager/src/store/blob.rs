//! Envelopes that are too large for a row: fsynced files, named by their digest.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::StoreError;

/// Envelopes up to this size stand in their row.
pub const INLINE_LEN_MAX: usize = 64 * 1024;

/// An envelope, where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// In the row.
    Inline(Vec<u8>),
    /// In a file of this name.
    File(String),
}

impl Blob {
    /// The two columns of a blob.
    #[must_use]
    pub fn columns(&self) -> (Option<&[u8]>, Option<&str>) {
        match self {
            Self::Inline(bytes) => (Some(bytes), None),
            Self::File(name) => (None, Some(name)),
        }
    }

    /// A blob from its two columns.
    #[must_use]
    pub fn from_columns(bytes: Option<Vec<u8>>, file: Option<String>) -> Option<Self> {
        bytes.map(Self::Inline).or_else(|| file.map(Self::File))
    }
}

/// The folder of large envelopes.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = directory.join("blobs");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|cause| StoreError::File {
                path: folder.clone(),
                cause,
            })?;
        Ok(Self { folder })
    }

    /// Keeps an envelope: small ones come back as they are, large ones are on the disk when this
    /// returns. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub fn keep(&self, sealed: Vec<u8>) -> Result<Blob, StoreError> {
        if sealed.len() <= INLINE_LEN_MAX {
            return Ok(Blob::Inline(sealed));
        }
        let hash = digest::digest(&digest::SHA256, &sealed);
        let name = data_encoding::HEXLOWER.encode(hash.as_ref());
        let path = self.folder.join(&name);
        self.write(&path, &sealed)
            .map_err(|cause| StoreError::File { path, cause })?;
        Ok(Blob::File(name))
    }

    /// The bytes of an envelope. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&self, blob: Blob) -> Result<Vec<u8>, StoreError> {
        match blob {
            Blob::Inline(bytes) => Ok(bytes),
            Blob::File(name) => {
                let path = self.folder.join(name);
                std::fs::read(&path).map_err(|cause| StoreError::File { path, cause })
            }
        }
    }

    /// `len` bytes of an envelope from `offset`, fewer at its end. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub fn read_range(&self, blob: &Blob, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        use std::os::unix::fs::FileExt;
        match blob {
            Blob::Inline(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(len).min(bytes.len());
                Ok(bytes[start..end].to_vec())
            }
            Blob::File(name) => {
                let path = self.folder.join(name);
                let read = || -> io::Result<Vec<u8>> {
                    let file = File::open(&path)?;
                    let left = file.metadata()?.len().saturating_sub(offset);
                    let len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
                    let mut bytes = vec![0; len];
                    file.read_exact_at(&mut bytes, offset)?;
                    Ok(bytes)
                };
                read().map_err(|cause| StoreError::File {
                    path: path.clone(),
                    cause,
                })
            }
        }
    }

    /// Removes files that no row names. A missing file is already what was wanted.
    pub(super) fn remove(&self, names: &[String]) {
        for name in names {
            match std::fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %name, error = %error, "cannot remove a blob");
                }
                _ => {}
            }
        }
    }

    /// Names of all files that are older than `age`.
    pub(super) fn older_than(&self, age: std::time::Duration) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| {
                let modified = entry.metadata().and_then(|meta| meta.modified());
                modified.is_ok_and(|time| time.elapsed().is_ok_and(|passed| passed > age))
            })
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Written aside, synced, and renamed, so that a name is never on a half-written file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let aside = path.with_extension(uuid::Uuid::now_v7().to_string());
        let written = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&aside, path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if written.is_err() {
            // Half a file is nothing anybody refers to; the sweep takes it if this fails.
            let _left = std::fs::remove_file(&aside);
        }
        written
    }
}
