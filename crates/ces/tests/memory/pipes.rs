//! Shards that nobody keeps: what one thread writes, another one reads a moment later.
//!
//! Everything stands at the same place in all shards of an object, so that one place tells how far
//! its reader is, whichever of the shards it asks.

use std::io;
use std::sync::{Condvar, Mutex};
use std::thread;

use propeller_ces::ReadAt;

/// What a pipe holds, in bytes: a few segments' pieces.
pub(crate) const PIPE_LEN: usize = 1 << 20;
/// How far a writer may be before the reader: what the reader may still ask for lies in the other
/// half.
const AHEAD_MAX: u64 = PIPE_LEN as u64 / 2;

/// How far the reader of all pipes is.
#[derive(Debug, Default)]
pub(crate) struct Front {
    read: Mutex<Progress>,
    moved: Condvar,
}

/// The last bytes of one shard.
#[derive(Debug)]
pub(crate) struct Pipe {
    ring: Mutex<Ring>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    to: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Ring {
    bytes: Vec<u8>,
    written: Progress,
}

impl Front {
    /// Waits until `to` is near enough to be written.
    fn wait_for(&self, to: u64) -> io::Result<()> {
        let read = self.read.lock().unwrap();
        let is_far = |read: &mut Progress| !read.is_over && to.saturating_sub(read.to) > AHEAD_MAX;
        let read = self.moved.wait_while(read, is_far).unwrap();
        match read.is_over {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }

    fn advance(&self, to: u64) {
        let mut read = self.read.lock().unwrap();
        if to > read.to {
            read.to = to;
            self.moved.notify_all();
        }
    }

    /// As long as this is there, something is read.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading(self)
    }
}

/// Nobody waits for a reader that is gone. When it has read all that it wanted, whoever writes may
/// finish; when it failed, so does whoever writes.
#[derive(Debug)]
pub(crate) struct Reading<'a>(&'a Front);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut read = self.0.read.lock().unwrap();
        match thread::panicking() {
            true => read.is_over = true,
            false => read.to = u64::MAX,
        }
        self.0.moved.notify_all();
    }
}

impl Pipe {
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::new(Ring {
                bytes: vec![0; PIPE_LEN],
                written: Progress::default(),
            }),
            written: Condvar::new(),
        }
    }

    /// Adds bytes, when whoever reads is near enough.
    pub(crate) fn write(&self, bytes: &[u8], front: &Front) -> io::Result<()> {
        // Nothing in an object is longer than half of a pipe: neither pieces of segments nor blocks.
        let at = self.ring.lock().unwrap().written.to;
        front.wait_for(at + bytes.len() as u64)?;
        let mut ring = self.ring.lock().unwrap();
        let from = place(at);
        let first = bytes.len().min(PIPE_LEN - from);
        ring.bytes[from..from + first].copy_from_slice(&bytes[..first]);
        ring.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        ring.written.to += bytes.len() as u64;
        self.written.notify_all();
        Ok(())
    }

    /// Nothing more is written: whoever waits for more fails.
    pub(crate) fn close(&self) {
        self.ring.lock().unwrap().written.is_over = true;
        self.written.notify_all();
    }

    /// Gives bytes, as soon as they are written.
    pub(crate) fn read(&self, buf: &mut [u8], at: u64, front: &Front) -> io::Result<()> {
        let end = at + buf.len() as u64;
        // So that what is waited for may be written.
        front.advance(at);
        let ring = self.ring.lock().unwrap();
        let is_missing = |ring: &mut Ring| !ring.written.is_over && ring.written.to < end;
        let ring = self.written.wait_while(ring, is_missing).unwrap();
        if ring.written.to < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if ring.written.to > at + PIPE_LEN as u64 {
            return Err(io::Error::other("these bytes went by already"));
        }
        let from = place(at);
        let first = buf.len().min(PIPE_LEN - from);
        let (one, other) = buf.split_at_mut(first);
        one.copy_from_slice(&ring.bytes[from..from + first]);
        other.copy_from_slice(&ring.bytes[..other.len()]);
        Ok(())
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at % PIPE_LEN as u64).unwrap()
}

/// A shard of which the trailer is there before anything else is.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) pipe: &'a Pipe,
    pub(crate) front: &'a Front,
    pub(crate) trailer: &'a [u8],
    /// Where it stands: no nearer than what comes through the pipe can be.
    pub(crate) trailer_at: u64,
}

impl ReadAt for Source<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_sub(self.trailer_at) {
            Some(inside) => self.trailer.read_at(buf, inside),
            None => self.pipe.read(buf, offset, self.front),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.trailer_at + self.trailer.len() as u64)
    }
}
