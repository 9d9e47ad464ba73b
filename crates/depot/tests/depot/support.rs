//! Depots to try things with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use propeller_depot::{Depot, DepotError, Location, Name, OpenError, Part};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const MIB: usize = 1024 * 1024;

/// The id of a task.
pub(crate) fn task(number: u128) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(crate) fn stdin(task: Uuid) -> Name {
    let part = Part::Stdin(0xabc);
    Name { task, part }
}

pub(crate) fn stdout(task: Uuid, attempt: u32) -> Name {
    let part = Part::Stdout(attempt);
    Name { task, part }
}

/// A depot in a folder of its own.
pub(crate) struct Desk {
    pub(crate) depot: Depot,
    folder: TempDir,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let depot = open(folder.path()).await.unwrap();
        Self { depot, folder }
    }

    /// The same, in use by a manager.
    pub(crate) async fn claimed() -> Self {
        let desk = Self::new().await;
        desk.depot.claim().await.unwrap();
        desk
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, file: impl ToString) -> PathBuf {
        self.root().join(file.to_string())
    }

    /// All files below the folder but the mark, and folders that are empty.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        gather(self.root(), self.root(), &mut files);
        files.retain(|file| file != "propeller-depot");
        files.sort();
        files
    }
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let before = files.len();
        if path.is_dir() && !path.is_symlink() {
            gather(root, &path, files);
        }
        if files.len() == before {
            let name = path.strip_prefix(root).unwrap().display();
            files.push(name.to_string());
        }
    }
}

pub(crate) async fn open(folder: &Path) -> Result<Depot, OpenError> {
    let location: Location = folder.to_str().unwrap().parse().unwrap();
    Depot::open(&location, no_variables()).await
}

pub(crate) fn no_variables() -> [(String, String); 0] {
    []
}

/// Writes an object in uneven pieces.
pub(crate) async fn put(depot: &Depot, name: Name, bytes: &[u8]) -> Result<u64, DepotError> {
    let mut writer = depot.writer(name);
    for some in bytes.chunks(700_001) {
        writer.write(some).await?;
    }
    writer.finish().await
}

/// Reads a range of an object.
pub(crate) async fn get(
    depot: &Depot,
    name: Name,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, DepotError> {
    let blocks: Vec<Bytes> = depot.read(name, range).await?.try_collect().await?;
    Ok(blocks.concat())
}

/// Reads all of an object.
pub(crate) async fn get_all(depot: &Depot, name: Name) -> Vec<u8> {
    let len = depot.len(name).await.unwrap().unwrap();
    get(depot, name, 0..len).await.unwrap()
}

/// Incompressible bytes.
pub(crate) fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    // xorshift64*, which is enough for a compressor.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in bytes.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    bytes
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        // In one piece: other tests write at the same time.
        let line = format!("SKIPPED {name}: {reason}\n");
        file.write_all(line.as_bytes()).unwrap();
    }
}
