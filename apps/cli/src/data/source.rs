//! Shards to be read.
//!
//! A store answers a request after milliseconds, whether for 97 bytes or a mebibyte, so shards in
//! stores are read ahead: both ends at once when the shard is opened, for header and trailer, and
//! then a chunk beyond the one that is read. All shards have a request under way at the same time.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use propeller_ces::ReadAt;
use tokio::task::JoinHandle;

use super::bridge::Interrupt;
use super::files::open_shard;
use super::place::{Bucket, Place, io_error};

/// What is read of each end of a shard when it is opened, in bytes.
const END_LEN: u64 = 64 * 1024;
/// What is read at once of a shard that is read in order, in bytes: two of these are held.
pub(crate) const CHUNK_LEN: u64 = 1024 * 1024;

/// A shard to be read.
#[derive(Debug)]
pub(crate) struct Source {
    kind: Kind,
    interrupt: Interrupt,
}

#[derive(Debug)]
enum Kind {
    File(File),
    Stored(Box<Stored>),
    /// It cannot be opened: it counts as a shard that cannot be read, and the command goes on.
    Broken(io::ErrorKind, String),
}

impl Source {
    pub(crate) fn open(place: &Place, file: &str, size: u64, interrupt: Interrupt) -> Self {
        let kind = match place {
            Place::Folder(folder) => match open_shard(&folder.join(file), false) {
                Ok(file) => Kind::File(file),
                Err(error) => Kind::Broken(error.kind(), error.to_string()),
            },
            Place::Bucket(bucket) => Kind::Stored(Box::new(Stored::open(bucket, file, size))),
        };
        Self { kind, interrupt }
    }
}

impl ReadAt for Source {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.interrupt.check()?;
        match &self.kind {
            Kind::File(file) => file.read_at(buf, offset),
            Kind::Stored(stored) => stored.read_at(buf, offset),
            Kind::Broken(kind, message) => Err(io::Error::new(*kind, message.clone())),
        }
    }

    fn size(&self) -> io::Result<u64> {
        match &self.kind {
            Kind::File(file) => file.size(),
            Kind::Stored(stored) => Ok(stored.size),
            Kind::Broken(kind, message) => Err(io::Error::new(*kind, message.clone())),
        }
    }
}

/// A shard in a store.
struct Stored {
    bucket: Bucket,
    path: Path,
    size: u64,
    held: RefCell<Held>,
}

/// What was read of a shard, or is being read.
#[derive(Default)]
struct Held {
    head: Option<Part>,
    tail: Option<Part>,
    /// Where the shard is being read.
    chunk: Option<Part>,
    /// What stands behind that.
    ahead: Option<Part>,
    /// Where the last read ended.
    position: u64,
}

/// A part of a shard, there or under way.
struct Part {
    range: Range<u64>,
    bytes: Arrival,
}

enum Arrival {
    Due(JoinHandle<object_store::Result<Bytes>>),
    There(Bytes),
}

impl Stored {
    fn open(bucket: &Bucket, file: &str, size: u64) -> Self {
        let stored = Self {
            bucket: bucket.clone(),
            path: bucket.path(file),
            size,
            held: RefCell::default(),
        };
        let end = END_LEN.min(size);
        let head = stored.order(0..end);
        let tail = stored.order(size.saturating_sub(END_LEN).max(end)..size);
        {
            let mut held = stored.held.borrow_mut();
            (held.head, held.tail) = (head, tail);
        }
        stored
    }

    /// Asks the store for a part, and does not wait for it.
    fn order(&self, range: Range<u64>) -> Option<Part> {
        if range.is_empty() {
            return None;
        }
        let (store, path) = (self.bucket.store.clone(), self.path.clone());
        let wanted = range.clone();
        let due = self
            .bucket
            .runtime
            .spawn(async move { store.get_range(&path, wanted).await });
        Some(Part {
            range,
            bytes: Arrival::Due(due),
        })
    }

    /// Waits for a part that has `offset`, and gives what it has from there on.
    fn take(&self, part: &mut Option<Part>, offset: u64) -> io::Result<Option<Bytes>> {
        let Some(held) = part.as_mut().filter(|part| part.range.contains(&offset)) else {
            return Ok(None);
        };
        if let Arrival::Due(due) = &mut held.bytes {
            let arrived = self.bucket.runtime.block_on(due);
            let arrived = arrived.map_err(io::Error::other);
            match arrived.and_then(|arrived| arrived.map_err(io_error)) {
                Ok(bytes) => held.bytes = Arrival::There(bytes),
                Err(error) => {
                    *part = None;
                    return Err(error);
                }
            }
        }
        let Arrival::There(bytes) = &held.bytes else {
            return Ok(None);
        };
        let from = usize::try_from(offset - held.range.start).map_err(io::Error::other)?;
        // A store that sends less than it was asked for ends the shard there.
        match bytes.len() > from {
            true => Ok(Some(bytes.slice(from..))),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Bytes from `offset` on, at least one.
    fn bytes_at(&self, held: &mut Held, offset: u64, wanted: u64) -> io::Result<Bytes> {
        for part in [&mut held.chunk, &mut held.head, &mut held.tail] {
            if let Some(bytes) = self.take(part, offset)? {
                return Ok(bytes);
            }
        }
        if let Some(bytes) = self.take(&mut held.ahead, offset)? {
            held.chunk = held.ahead.take();
            let end = held.chunk.as_ref().map_or(self.size, |part| part.range.end);
            held.ahead = self.order(end..self.size.min(end + CHUNK_LEN.max(wanted)));
            return Ok(bytes);
        }
        // Forward, and not far: whoever reads records alone goes from one to the next.
        let is_in_order = (held.position..=held.position + CHUNK_LEN).contains(&offset);
        let len = match is_in_order {
            true => CHUNK_LEN,
            false => END_LEN,
        };
        let end = self.size.min(offset + len.max(wanted));
        held.chunk = self.order(offset..end);
        held.ahead = match is_in_order {
            true => self.order(end..self.size.min(end + len.max(wanted))),
            false => None,
        };
        self.take(&mut held.chunk, offset)?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl ReadAt for Stored {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut held = self.held.borrow_mut();
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let bytes = self.bytes_at(&mut held, at, rest.len() as u64)?;
            let len = bytes.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&bytes[..len]);
            at += len as u64;
            rest = later;
        }
        held.position = at;
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for part in [&self.head, &self.tail, &self.chunk, &self.ahead] {
            if let Some(Arrival::Due(due)) = part.as_ref().map(|part| &part.bytes) {
                due.abort();
            }
        }
    }
}
