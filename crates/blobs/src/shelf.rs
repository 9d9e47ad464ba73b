//! All blobs: which there are, how much room they take, who goes first.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};

use propeller_envelope::Keyring;
use propeller_model::Digest;
use zeroize::Zeroizing;

use crate::blob::{Blob, BlobError, Layout, Writing, remove};

/// What is reserved for a blob before its pieces have opened.
const RESERVED_BYTES_MAX: u64 = 64 << 20;
/// How a file is called that is not whole.
const PART: &str = "part";

/// Where blobs are kept, for whom, and how many.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder for nothing else; it is made if need be.
    pub folder: PathBuf,
    /// Whose they are: bound into every envelope.
    pub owner: String,
    /// Bytes of all files together, sealed.
    pub bytes_max: u64,
    /// Bytes in every piece but the last of a blob. Blobs in pieces of another length are forgotten.
    pub piece_len: u32,
}

/// The blobs in one folder. Whoever opens it has seen to it that nobody else does.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    owner: Arc<str>,
    bytes_max: u64,
    piece_len: u32,
    /// Tells the files of this one that are not whole from those of others.
    started: u64,
    keys: RwLock<Keyring>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<Digest, Kept>,
    /// Bytes of what is kept, and of what is on its way.
    used: u64,
    /// Of these, what is on its way.
    reserved: u64,
    /// Counts up with every use, which is the order of who goes first.
    uses: u64,
    /// Names files that are not whole.
    parts: u64,
}

#[derive(Debug)]
struct Kept {
    file_len: u64,
    used: u64,
    /// Whoever reads it shares one file.
    open: Weak<Blob>,
}

/// Room for one blob, until it is dropped or kept.
#[derive(Debug)]
pub(crate) struct Room {
    shelf: Arc<Blobs>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.shelf.lock();
        state.used = state.used.saturating_sub(self.bytes);
        state.reserved = state.reserved.saturating_sub(self.bytes);
    }
}

impl Blobs {
    /// Opens a folder, forgets what is not whole, and what there is no more room for.
    ///
    /// # Errors
    /// The disk.
    pub fn open(options: Options, keys: Keyring) -> io::Result<Arc<Self>> {
        let Options {
            folder,
            owner,
            bytes_max,
            piece_len,
        } = options;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        let blobs = Self {
            owner: owner.into(),
            bytes_max,
            piece_len: piece_len.max(1),
            started: RandomState::new().build_hasher().finish(),
            keys: RwLock::new(keys),
            state: Mutex::default(),
            folder,
        };
        blobs.look()?;
        Ok(Arc::new(blobs))
    }

    /// Takes other keys into use. What opens with none of them is forgotten when it is next wanted.
    pub fn rekey(&self, keys: Keyring) {
        *self.keys.write().expect("nothing panics with it") = keys;
    }

    /// The keys in use.
    #[must_use]
    pub fn keys(&self) -> Keyring {
        self.keys.read().expect("nothing panics with it").clone()
    }

    /// A blob that is kept, used now.
    #[must_use]
    pub fn get(&self, digest: Digest, len: u64) -> Option<Arc<Blob>> {
        self.find(digest).filter(|blob| blob.len() == len)
    }

    /// As [`get`](Self::get), of whatever length. That is no more than what the disk says.
    #[must_use]
    pub fn find(&self, digest: Digest) -> Option<Arc<Blob>> {
        let mut state = self.lock();
        state.uses += 1;
        let now = state.uses;
        let kept = state.kept.get_mut(&digest)?;
        kept.used = now;
        if let Some(blob) = kept.open.upgrade() {
            return Some(blob);
        }
        let layout = Layout::of_file(digest, self.piece_len, kept.file_len);
        let opened = File::open(self.path(digest));
        let (layout, file) = match (layout, opened) {
            (Some(layout), Ok(file)) => (layout, file),
            // Such as too many open files: it is there still.
            (Some(_), Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%digest, error = %error, "cannot open a blob of the cache");
                return None;
            }
            _ => {
                state.forget(digest);
                remove(&self.path(digest));
                return None;
            }
        };
        let blob = Arc::new(Blob {
            layout,
            file,
            owner: self.owner(),
            sealed_with: None,
        });
        kept.open = Arc::downgrade(&blob);
        Some(blob)
    }

    /// All bytes of a blob. What does not open is forgotten. It blocks.
    #[must_use]
    pub fn read(&self, blob: &Arc<Blob>) -> Option<Zeroizing<Vec<u8>>> {
        // As long as the disk says, which is not much to go by.
        let len = blob.len().min(RESERVED_BYTES_MAX);
        let mut whole = Zeroizing::new(Vec::with_capacity(usize::try_from(len).ok()?));
        self.read_to(blob, &mut *whole)?;
        Some(whole)
    }

    /// As [`read`](Self::read), to where there is room; nothing, and perhaps some bytes there, if that
    /// takes no more.
    #[must_use]
    pub fn read_to(&self, blob: &Arc<Blob>, to: &mut impl Write) -> Option<()> {
        let keys = self.keys();
        let (mut sealed, mut plain) = (Vec::new(), Zeroizing::new(Vec::new()));
        for index in 0..blob.count() {
            match blob.piece_in(&keys, index, &mut sealed, &mut plain) {
                Ok(()) => to.write_all(&plain).ok()?,
                Err(error) => {
                    let digest = blob.layout.digest;
                    tracing::warn!(%digest, error = %error, "a blob of the cache is forgotten");
                    self.remove(blob);
                    return None;
                }
            }
        }
        Some(())
    }

    /// Begins to write a blob; others go to make room for it.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn begin(self: &Arc<Self>, digest: Digest, len: u64) -> Result<Writing, BlobError> {
        let layout = self.layout(digest, len);
        let bytes = layout.file_len();
        let bytes_max = self.bytes_max;
        if bytes > bytes_max {
            return Err(BlobError::TooLarge { len, bytes_max });
        }
        let (room, number) = {
            let mut state = self.lock();
            // Nobody goes for what has no room anyway.
            if state.reserved.saturating_add(bytes) > bytes_max {
                return Err(BlobError::Full);
            }
            self.make_room(&mut state, bytes);
            state.used += bytes;
            state.reserved += bytes;
            state.parts += 1;
            let shelf = Arc::clone(self);
            (Room { shelf, bytes }, state.parts)
        };
        let name = format!("{:016x}-{number}.{PART}", self.started);
        let path = self.folder.join(name);
        Writing::new(Arc::clone(self), self.keys(), layout, room, path)
    }

    /// Writes a blob that is here as a whole. It blocks.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn put(self: &Arc<Self>, digest: Digest, bytes: &[u8]) -> Result<(), BlobError> {
        self.put_parts(digest, bytes.len() as u64, std::iter::once(bytes))
    }

    /// As [`put`](Self::put), of `len` bytes that are here in parts of any lengths.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn put_parts<'a>(
        self: &Arc<Self>,
        digest: Digest,
        len: u64,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), BlobError> {
        let piece_len = self.piece_len as usize;
        let mut writing = self.begin(digest, len)?;
        // What is left of one part goes before the next one.
        let mut left = Zeroizing::new(Vec::new());
        for mut part in parts {
            while left.len() + part.len() >= piece_len {
                let (now, later) = part.split_at(piece_len - left.len());
                part = later;
                match left.is_empty() {
                    true => writing.push(now)?,
                    false => {
                        left.extend_from_slice(now);
                        let pushed = writing.push(&left);
                        left.clear();
                        pushed?
                    }
                };
            }
            left.extend_from_slice(part);
        }
        if !left.is_empty() || len == 0 {
            writing.push(&left)?;
        }
        writing.keep()
    }

    /// Forgets a blob that was got here, unless another one has come in its place.
    pub fn remove(&self, blob: &Arc<Blob>) {
        let digest = blob.layout.digest;
        let mut state = self.lock();
        let is_this = |kept: &Kept| kept.open.ptr_eq(&Arc::downgrade(blob));
        if state.kept.get(&digest).is_some_and(is_this) {
            state.forget(digest);
            remove(&self.path(digest));
        }
    }

    /// Bytes of all files, and of those that are on their way.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().used
    }

    pub(crate) fn owner(&self) -> Arc<str> {
        Arc::clone(&self.owner)
    }

    /// Puts a whole file on the shelf, with the room that it has already.
    pub(crate) fn keep(
        &self,
        blob: &Arc<Blob>,
        part: &Path,
        mut room: Room,
    ) -> Result<(), BlobError> {
        let Layout { digest, .. } = blob.layout;
        {
            let mut state = self.lock();
            fs::rename(part, self.path(digest))?;
            // Another one may have been there first: its file is gone with the new one's name.
            state.forget(digest);
            state.uses += 1;
            let kept = Kept {
                file_len: room.bytes,
                used: state.uses,
                open: Arc::downgrade(blob),
            };
            state.kept.insert(digest, kept);
            state.reserved = state.reserved.saturating_sub(room.bytes);
            room.bytes = 0;
        }
        drop(room);
        Ok(())
    }

    fn layout(&self, digest: Digest, len: u64) -> Layout {
        Layout {
            digest,
            len,
            piece_len: self.piece_len,
        }
    }

    /// The file of a whole blob.
    fn path(&self, digest: Digest) -> PathBuf {
        let digest = digest.to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        self.folder.join(format!("{hex}.{}", self.piece_len))
    }

    /// Lets the blobs go that were not used for longest, until there is room.
    fn make_room(&self, state: &mut State, bytes: u64) {
        while state.used.saturating_add(bytes) > self.bytes_max {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(digest) = oldest.map(|(digest, _)| *digest) else {
                return;
            };
            state.forget(digest);
            remove(&self.path(digest));
        }
    }

    /// Reads what an earlier process has left: what it wrote first goes first.
    fn look(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let meta = fs::metadata(&path)?;
            match self.digest_of(&path) {
                Some(digest) => found.push((meta.modified()?, digest, meta.len())),
                None if meta.is_file() => remove(&path),
                None => {}
            }
        }
        found.sort_unstable_by_key(|(written, ..)| *written);
        let mut state = self.lock();
        for (_, digest, file_len) in found {
            state.uses += 1;
            state.used += file_len;
            let used = state.uses;
            let kept = Kept {
                file_len,
                used,
                open: Weak::new(),
            };
            state.kept.insert(digest, kept);
        }
        self.make_room(&mut state, 0);
        Ok(())
    }

    /// The digest that a file is named by, if it is one of ours and in pieces as we want them.
    fn digest_of(&self, path: &Path) -> Option<Digest> {
        let hex = path.file_stem()?.to_str()?;
        let digest: Digest = format!("sha256:{hex}").parse().ok()?;
        (self.path(digest) == path).then_some(digest)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("keeping the books does not panic")
    }
}

impl State {
    fn forget(&mut self, digest: Digest) {
        if let Some(kept) = self.kept.remove(&digest) {
            self.used = self.used.saturating_sub(kept.file_len);
        }
    }
}
