//! One blob: a file with a slot for each piece.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use propeller_envelope::{
    CHUNK_LEN, Context, HEADER_LEN_SHARED_KEY, Keyring, OpenError, SealError, TAG_LEN, open_in,
    seal, sealed_len,
};
use propeller_model::Digest;
use zeroize::{Zeroize as _, Zeroizing};

use crate::shelf::{Blobs, Room};

/// Why a blob is not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is not that much room, whatever goes.
    #[error("a blob of {len} bytes does not fit into the {bytes_max} bytes of the cache")]
    TooLarge {
        /// How long it is.
        len: u64,
        /// How much is kept at most.
        bytes_max: u64,
    },
    /// All the room is taken by others that are being written.
    #[error("the cache is full of blobs that are on their way")]
    Full,
    /// The disk.
    #[error("the disk of the cache")]
    Disk(#[from] io::Error),
    /// What is on the disk is not what was written, or was sealed with a key that is gone.
    #[error("a blob in the cache does not open: {0}")]
    Damaged(OpenError),
    /// There is no randomness.
    #[error("cannot seal for the cache: {0}")]
    Seal(SealError),
    /// More or other pieces than were announced.
    #[error("piece {index} is not one of {count}, or is not as long as it should be")]
    Piece {
        /// Which.
        index: u32,
        /// Of how many.
        count: u32,
    },
}

/// What a blob is, and how it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) digest: Digest,
    pub(crate) len: u64,
    pub(crate) piece_len: u32,
}

impl Layout {
    /// That of a blob whose file is so long, if there can be one.
    pub(crate) fn of_file(digest: Digest, piece_len: u32, file_len: u64) -> Option<Self> {
        let slot = slot_len(piece_len as usize);
        let last = file_len.checked_sub(1)? / slot;
        let header = HEADER_LEN_SHARED_KEY as u64;
        let sealed = (file_len - last * slot).checked_sub(header)?;
        let chunk = (CHUNK_LEN + TAG_LEN) as u64;
        let tail = sealed.checked_sub(sealed.div_ceil(chunk) * TAG_LEN as u64)?;
        let layout = Self {
            digest,
            len: last * u64::from(piece_len) + tail,
            piece_len,
        };
        (layout.file_len() == file_len).then_some(layout)
    }

    /// How many pieces there are; an empty blob has one, which is empty.
    pub(crate) fn count(&self) -> u32 {
        let pieces = self.len.div_ceil(u64::from(self.piece_len)).max(1);
        u32::try_from(pieces).unwrap_or(u32::MAX)
    }

    /// How long a piece is, if there is such a one.
    fn piece(&self, index: u32) -> Option<usize> {
        let at = u64::from(index) * u64::from(self.piece_len);
        let is_one = index < self.count();
        let left = self.len.saturating_sub(at).min(u64::from(self.piece_len));
        is_one.then(|| usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn slot_len(&self) -> u64 {
        slot_len(self.piece_len as usize)
    }

    /// How long the file is when it is whole.
    pub(crate) fn file_len(&self) -> u64 {
        let last = self.count() - 1;
        let last_len = self.piece(last).map_or(0, slot_len);
        (u64::from(last) * self.slot_len()).saturating_add(last_len)
    }

    fn name(&self, index: u32) -> String {
        let Self {
            digest,
            len,
            piece_len,
        } = self;
        format!("{digest} {len} {piece_len} {index}")
    }
}

fn slot_len(plain: usize) -> u64 {
    (HEADER_LEN_SHARED_KEY + sealed_len(plain)) as u64
}

/// A blob that can be read: all of it, or as much as has been written. Its file stays readable also
/// when the shelf has let it go.
#[derive(Debug)]
pub struct Blob {
    pub(crate) layout: Layout,
    pub(crate) file: File,
    pub(crate) owner: Arc<str>,
    /// What it was sealed with, if that was just now: the keys may be others when it is read.
    pub(crate) sealed_with: Option<Keyring>,
}

impl Blob {
    /// How many pieces it has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.layout.count()
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.layout.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.len == 0
    }

    /// Reads and opens a piece, from 0. It blocks.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn piece(&self, keys: &Keyring, index: u32) -> Result<Zeroizing<Vec<u8>>, BlobError> {
        let mut plain = Zeroizing::new(Vec::new());
        self.piece_in(keys, index, &mut Vec::new(), &mut plain)?;
        Ok(plain)
    }

    /// As [`piece`](Self::piece), read to `sealed` and opened in `plain`: whoever gives the same again
    /// has their memory asked for, and zeroed, once. What was in them is gone, and after an error
    /// nothing is in `plain`.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn piece_in(
        &self,
        keys: &Keyring,
        index: u32,
        sealed: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let read = self.read(index, sealed);
        let opened = read.and_then(|()| self.open(keys, index, sealed, plain));
        opened.inspect_err(|_| plain.zeroize())
    }

    /// A piece as it lies on the disk.
    fn read(&self, index: u32, sealed: &mut Vec<u8>) -> Result<(), BlobError> {
        let count = self.count();
        let len = self.layout.piece(index);
        let len = len.ok_or(BlobError::Piece { index, count })?;
        let slot = usize::try_from(slot_len(len)).unwrap_or(usize::MAX);
        sealed.resize(slot, 0);
        let at = u64::from(index) * self.layout.slot_len();
        self.file.read_exact_at(sealed, at)?;
        Ok(())
    }

    fn open(
        &self,
        keys: &Keyring,
        index: u32,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let name = self.layout.name(index);
        let context = Context::Record {
            owner: &self.owner,
            name: &name,
        };
        let opened = open_in(keys, &context, sealed, plain);
        let opened = match (opened, &self.sealed_with) {
            (Err(_), Some(keys)) => open_in(keys, &context, sealed, plain),
            (opened, _) => opened,
        };
        opened.map_err(BlobError::Damaged)
    }

    fn write(&self, keys: &Keyring, index: u32, plain: &[u8]) -> Result<(), BlobError> {
        if self.layout.piece(index) != Some(plain.len()) {
            let count = self.count();
            return Err(BlobError::Piece { index, count });
        }
        let name = self.layout.name(index);
        let context = Context::Record {
            owner: &self.owner,
            name: &name,
        };
        let sealed = seal(keys, &context, plain).map_err(BlobError::Seal)?;
        let at = u64::from(index) * self.layout.slot_len();
        Ok(self.file.write_all_at(&sealed, at)?)
    }
}

/// A blob on its way to the shelf. One that is dropped is forgotten.
#[derive(Debug)]
pub struct Writing {
    blob: Arc<Blob>,
    keys: Keyring,
    shelf: Arc<Blobs>,
    path: PathBuf,
    /// Given to the shelf with the blob.
    room: Option<Room>,
    pushed: u32,
}

impl Writing {
    pub(crate) fn new(
        shelf: Arc<Blobs>,
        keys: Keyring,
        layout: Layout,
        room: Room,
        path: PathBuf,
    ) -> Result<Self, BlobError> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let owner = shelf.owner();
        Ok(Self {
            blob: Arc::new(Blob {
                layout,
                file,
                owner,
                sealed_with: Some(keys.clone()),
            }),
            keys,
            shelf,
            path,
            room: Some(room),
            pushed: 0,
        })
    }

    /// The blob, which can be read as far as it has been written.
    #[must_use]
    pub fn blob(&self) -> Arc<Blob> {
        Arc::clone(&self.blob)
    }

    /// Writes the next piece, and says how many there are now. It blocks.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn push(&mut self, plain: &[u8]) -> Result<u32, BlobError> {
        self.blob.write(&self.keys, self.pushed, plain)?;
        self.pushed += 1;
        Ok(self.pushed)
    }

    /// Keeps a blob whose every piece is there, and whose bytes are those of its digest.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub fn keep(mut self) -> Result<(), BlobError> {
        let count = self.blob.count();
        if self.pushed != count {
            let index = self.pushed;
            return Err(BlobError::Piece { index, count });
        }
        if let Some(room) = self.room.take() {
            let kept = self.shelf.keep(&self.blob, &self.path, room);
            return kept.inspect_err(|_| remove(&self.path));
        }
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.room.is_some() {
            remove(&self.path);
        }
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), error = %error, "cannot remove a file of the cache");
    }
}
