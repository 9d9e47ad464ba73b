//! Files that are envelopes, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use propeller_envelope::{Context, KeyId, Keyring, OpenError, SealError, open, seal, sealed_with};
use zeroize::Zeroizing;

/// What is bound into every envelope.
const OWNER: &str = "keybroker";
/// How a file is called that is not whole.
const PART: &str = "part";

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The disk.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The key is not there.
    #[error(
        "{path} was sealed with the key {key}, which is not among KEYBROKER_KEY and KEYBROKER_KEYS_OPEN: add it, or move the file away"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Name of the key.
        key: KeyId,
    },
    /// The key is there, and the file is not what was written.
    #[error("{path} is damaged: move it away, and write again what was in it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: OpenError,
    },
    /// There is no randomness.
    #[error("cannot seal")]
    Seal(#[source] SealError),
}

/// A folder of envelopes. What they are is bound to their file's name.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keys: Keyring,
}

/// What was in a file.
pub(crate) struct Opened {
    pub(crate) plain: Zeroizing<Vec<u8>>,
    /// Whether it is sealed with another key than new ones are.
    pub(crate) is_stale: bool,
}

impl Folder {
    /// Makes the folder if need be, and removes what was not written whole.
    pub(crate) fn open(path: PathBuf, keys: Keyring) -> Result<Self, SealedError> {
        let folder = Self { path, keys };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&folder.path);
        made.map_err(|cause| folder.failed(&folder.path, cause))?;
        for name in folder.names()? {
            if Path::new(&name).extension().is_some_and(|end| end == PART) {
                folder.remove(&name)?;
            }
        }
        Ok(folder)
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Result<Vec<String>, SealedError> {
        let failed = |cause| self.failed(&self.path, cause);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_file = entry.file_type().map_err(failed)?.is_file();
            let name = entry.file_name().into_string().ok();
            names.extend(name.filter(|_| is_file));
        }
        Ok(names)
    }

    /// What is in a file, if there is one.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Opened>, SealedError> {
        let path = self.path.join(name);
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(SealedError::File { path, cause }),
        };
        let key = sealed_with(&sealed);
        if let Some(key) = key.filter(|key| self.keys.find(*key).is_none()) {
            return Err(SealedError::Key { path, key });
        }
        let plain = open(&self.keys, &context(name), &sealed);
        let plain = plain.map_err(|cause| SealedError::Damaged { path, cause })?;
        let is_stale = key != Some(self.keys.sealing().id());
        Ok(Some(Opened { plain, is_stale }))
    }

    /// Writes a file in place of what has its name. When it returns, it is on the disk.
    pub(crate) fn write(&self, name: &str, plain: &[u8]) -> Result<(), SealedError> {
        let sealed = seal(&self.keys, &context(name), plain).map_err(SealedError::Seal)?;
        let part = self.path.join(format!("{name}.{PART}"));
        let written = self.write_part(&part, &sealed).and_then(|()| {
            fs::rename(&part, self.path.join(name))?;
            self.sync()
        });
        written.map_err(|cause| self.failed(&part, cause))
    }

    fn write_part(&self, part: &Path, sealed: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(part)?;
        file.write_all(sealed)?;
        file.sync_all()
    }

    /// Removes a file. When it returns, it is gone from the disk.
    pub(crate) fn remove(&self, name: &str) -> Result<(), SealedError> {
        let path = self.path.join(name);
        let removed = fs::remove_file(&path).and_then(|()| self.sync());
        removed.map_err(|cause| SealedError::File { path, cause })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn failed(&self, path: &Path, cause: io::Error) -> SealedError {
        let path = path.to_owned();
        SealedError::File { path, cause }
    }
}

fn context(name: &str) -> Context<'_> {
    Context::Record { owner: OWNER, name }
}
