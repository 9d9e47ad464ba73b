//! Resources at rest: each a file, sealed, whose name is a hash and says nothing.
//!
//! The bytes are specified in `docs/formats/keybroker.md`. Paths, sizes and times are kept in memory
//! besides, so that what there is can be listed without opening anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use propeller_attest::rcar::ResourcePath;
use propeller_envelope::Keyring;
use zeroize::Zeroizing;

use crate::sealed::{Folder, SealedError};

/// A broker for one machine has a key for each of its images, not millions of them: all are opened
/// at the start.
const RESOURCES_MAX: usize = 10_000;
/// The first byte of a record.
const VERSION: u8 = 1;
const TIME_BYTES: usize = 8;
const LEN_BYTES: usize = 2;

/// Why a resource is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Its file.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A file that is no record, or one of another resource than its name says.
    #[error("the file {name} of the data directory's resources is none of ours: move it away")]
    Foreign {
        /// Its name.
        name: String,
    },
    /// As many as there may be.
    #[error("there are {RESOURCES_MAX} resources already: delete those that nobody needs")]
    Full,
}

/// What is known about a resource without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) bytes: usize,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
}

/// All resources.
#[derive(Debug)]
pub(crate) struct Vault {
    folder: Folder,
    /// Held while a file changes, so that the two agree.
    entries: Mutex<BTreeMap<ResourcePath, Entry>>,
}

impl Vault {
    /// Opens all of them, and seals anew what an older key has sealed. Says how many those were.
    pub(crate) fn open(data_dir: &Path, keys: &Keyring) -> Result<(Self, usize), VaultError> {
        let folder = Folder::open(data_dir.join("resources"), keys.clone())?;
        let (mut entries, mut renewed) = (BTreeMap::new(), 0);
        for name in folder.names()? {
            let Some(opened) = folder.read(&name)? else {
                continue;
            };
            let record = Record::read(&opened.plain).filter(|one| file_name(&one.path) == name);
            let Some(Record { path, entry, .. }) = record else {
                return Err(VaultError::Foreign { name });
            };
            if opened.is_stale {
                folder.write(&name, &opened.plain)?;
                renewed += 1;
            }
            entries.insert(path, entry);
        }
        let entries = Mutex::new(entries);
        Ok((Self { folder, entries }, renewed))
    }

    /// The bytes of a resource, if there is such a one. Blocks.
    pub(crate) fn read(
        &self,
        path: &ResourcePath,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let name = file_name(path);
        let Some(opened) = self.folder.read(&name)? else {
            return Ok(None);
        };
        match Record::read(&opened.plain).filter(|record| record.path == *path) {
            Some(Record { secret, .. }) => Ok(Some(Zeroizing::new(secret.to_vec()))),
            None => Err(VaultError::Foreign { name }),
        }
    }

    /// Writes a resource in place of what has its path. Says whether there was one. Blocks.
    pub(crate) fn write(
        &self,
        path: &ResourcePath,
        secret: &[u8],
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        self.write_held(&mut self.entries(), path, secret, now)
    }

    /// Writes a resource unless its path has one. Says whether it is there: also if it was there
    /// before, with the same bytes. Blocks.
    pub(crate) fn add(
        &self,
        path: &ResourcePath,
        secret: &[u8],
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        // Held from the look to the write, so that of two who add at once one learns of the other.
        let mut entries = self.entries();
        match self.read(path)? {
            Some(there) => Ok(verify_slices_are_equal(&there, secret).is_ok()),
            None => {
                self.write_held(&mut entries, path, secret, now)?;
                Ok(true)
            }
        }
    }

    fn write_held(
        &self,
        entries: &mut BTreeMap<ResourcePath, Entry>,
        path: &ResourcePath,
        secret: &[u8],
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let before = entries.get(path).copied();
        if before.is_none() && entries.len() >= RESOURCES_MAX {
            return Err(VaultError::Full);
        }
        let entry = Entry {
            bytes: secret.len(),
            created: before.map_or(now, |before| before.created),
            changed: now,
        };
        let record = encode(path, &entry, secret);
        self.folder.write(&file_name(path), &record)?;
        entries.insert(path.clone(), entry);
        Ok(before.is_some())
    }

    /// Removes a resource. Says whether there was one. Blocks.
    pub(crate) fn remove(&self, path: &ResourcePath) -> Result<bool, VaultError> {
        let mut entries = self.entries();
        if !entries.contains_key(path) {
            return Ok(false);
        }
        self.folder.remove(&file_name(path))?;
        entries.remove(path);
        Ok(true)
    }

    pub(crate) fn has(&self, path: &ResourcePath) -> bool {
        self.entries().contains_key(path)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    pub(crate) fn list(&self) -> Vec<(ResourcePath, Entry)> {
        let entries = self.entries();
        entries
            .iter()
            .map(|(path, entry)| (path.clone(), *entry))
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ResourcePath, Entry>> {
        // Whoever panicked with it had changed nothing yet, or everything.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash, so that no path of a resource is ever one of the disk.
fn file_name(path: &ResourcePath) -> String {
    let text = format!("propeller keybroker resource v1\n{path}");
    HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref())
}

/// `u8(1) ‖ i64(created, ms) ‖ i64(changed, ms) ‖ u16(len) ‖ path ‖ secret`
struct Record<'a> {
    path: ResourcePath,
    entry: Entry,
    secret: &'a [u8],
}

fn encode(path: &ResourcePath, entry: &Entry, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let path = path.as_str().as_bytes();
    let len = u16::try_from(path.len()).expect("paths are far shorter than 64 KiB");
    let reserve = 1 + 2 * TIME_BYTES + LEN_BYTES + path.len() + secret.len();
    let mut record = Zeroizing::new(Vec::with_capacity(reserve));
    record.push(VERSION);
    record.extend_from_slice(&entry.created.as_millisecond().to_be_bytes());
    record.extend_from_slice(&entry.changed.as_millisecond().to_be_bytes());
    record.extend_from_slice(&len.to_be_bytes());
    record.extend_from_slice(path);
    record.extend_from_slice(secret);
    record
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (created, rest) = rest.split_first_chunk()?;
        let (changed, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (path, secret) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        let time =
            |bytes: &[u8; TIME_BYTES]| Timestamp::from_millisecond(i64::from_be_bytes(*bytes)).ok();
        (*version == VERSION).then_some(())?;
        Some(Self {
            path: std::str::from_utf8(path).ok()?.parse().ok()?,
            entry: Entry {
                bytes: secret.len(),
                created: time(created)?,
                changed: time(changed)?,
            },
            secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use propeller_envelope::WorkloadKey;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn resources_outlive_the_process_and_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = [0; 2].map(|_| WorkloadKey::generate().unwrap());
        let path: ResourcePath = "tenant-a/key/1".parse().unwrap();
        let open = |keys: &Keyring| Vault::open(folder.path(), keys);
        let (vault, renewed) = open(&Keyring::new(old.clone())).unwrap();
        assert_eq!((vault.len(), renewed), (0, 0));
        assert!(!vault.write(&path, b"one", at(1)).unwrap());
        assert!(vault.write(&path, b"three", at(3)).unwrap());
        drop(vault);

        let wrong = open(&Keyring::new(new.clone())).unwrap_err().to_string();
        assert!(wrong.contains(&old.id().to_string()), "{wrong}");
        let both = Keyring::with_opening(new.clone(), [old]).unwrap();
        let (_, renewed) = open(&both).unwrap();
        assert_eq!(renewed, 1);
        let (vault, renewed) = open(&Keyring::new(new)).unwrap();
        assert_eq!(renewed, 0);
        assert_eq!(vault.read(&path).unwrap().unwrap().as_slice(), b"three");
        let entry = Entry {
            bytes: 5,
            created: at(1),
            changed: at(3),
        };
        assert_eq!(vault.list(), [(path.clone(), entry)]);
        assert!(vault.remove(&path).unwrap());
        assert!(!vault.remove(&path).unwrap());
        assert!(vault.read(&path).unwrap().is_none());
    }

    #[test]
    fn a_file_under_the_name_of_another_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::new(WorkloadKey::generate().unwrap());
        let (vault, _) = Vault::open(folder.path(), &keys).unwrap();
        let [mine, yours]: [ResourcePath; 2] = ["a/key/1", "b/key/1"].map(|p| p.parse().unwrap());
        for path in [&mine, &yours] {
            vault.write(path, path.as_str().as_bytes(), at(1)).unwrap();
        }
        let file = |path| folder.path().join("resources").join(file_name(path));
        std::fs::copy(file(&mine), file(&yours)).unwrap();
        assert!(vault.read(&yours).is_err());
        assert!(Vault::open(folder.path(), &keys).is_err());
    }
}
