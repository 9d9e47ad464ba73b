//! Objects for threads that decode them.
//!
//! Whoever decodes reads 97 bytes here, a piece of a mebibyte there, and mostly in order. A store
//! answers after milliseconds, whether for 97 bytes or for 2 MiB: it is asked for whole blocks, and
//! for the next ones before they are needed. A file is simply read.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use propeller_ces::ReadAt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::bounds::{READER_BLOCK_LEN, READER_BLOCKS, READER_BLOCKS_AHEAD};
use crate::bucket::{Bucket, Found};
use crate::error::DepotError;

/// An object to be read by a thread that may wait, which is none of the runtime's own: from
/// asynchronous code, reading from a store panics.
#[derive(Debug)]
pub struct Reader {
    kind: Kind,
    len: u64,
}

#[derive(Debug)]
enum Kind {
    File(File),
    Object(Mutex<Blocks>),
}

impl Reader {
    pub(crate) fn of_file(file: File, len: u64) -> Self {
        let kind = Kind::File(file);
        Self { kind, len }
    }

    pub(crate) fn of_object(bucket: Bucket, object: Found, runtime: Handle) -> Self {
        let len = object.len;
        let blocks = Blocks {
            bucket,
            object,
            runtime,
            held: VecDeque::with_capacity(READER_BLOCKS),
            last: None,
        };
        let kind = Kind::Object(Mutex::new(blocks));
        Self { kind, len }
    }
}

impl ReadAt for Reader {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.kind {
            Kind::File(file) => file.read_exact_at(buf, offset),
            Kind::Object(blocks) => {
                // What a panic leaves are blocks that are asked for again.
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.read(buf, offset)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// Blocks of an object in a store, that which was used last behind the others.
#[derive(Debug)]
struct Blocks {
    bucket: Bucket,
    object: Found,
    runtime: Handle,
    held: VecDeque<Block>,
    /// The one that was read last.
    last: Option<u64>,
}

#[derive(Debug)]
struct Block {
    number: u64,
    arrival: Arrival,
}

#[derive(Debug)]
enum Arrival {
    Due(JoinHandle<Result<Bytes, DepotError>>),
    There(Bytes),
}

impl Blocks {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let (number, from) = (at / READER_BLOCK_LEN, at % READER_BLOCK_LEN);
            let bytes = self.block(number)?;
            let from = usize::try_from(from).map_err(io::Error::other)?;
            let bytes = bytes.slice(from..bytes.len().min(from + rest.len()));
            let (now, later) = rest.split_at_mut(bytes.len());
            now.copy_from_slice(&bytes);
            at += bytes.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Waits for a block, which the object has.
    fn block(&mut self, number: u64) -> io::Result<Bytes> {
        let last = self.last.replace(number);
        let is_in_order = last.is_some_and(|last| number == last || number == last + 1);
        self.order(number);
        if is_in_order {
            for ahead in 1..=READER_BLOCKS_AHEAD {
                self.order(number + ahead);
            }
        }
        let at = self.held.iter().position(|block| block.number == number);
        let at = at.expect("it is among those that were used last");
        let due = match &mut self.held[at].arrival {
            Arrival::There(bytes) => return Ok(bytes.clone()),
            Arrival::Due(due) => due,
        };
        let arrived = self.runtime.block_on(due);
        match arrived.unwrap_or(Err(DepotError::Ended)) {
            Ok(bytes) => {
                self.held[at].arrival = Arrival::There(bytes.clone());
                Ok(bytes)
            }
            Err(error) => {
                // Whoever reads on asks for it again.
                self.held.remove(at);
                Err(error.into_io())
            }
        }
    }

    /// Asks for a block, unless it is there, and does not wait for it.
    fn order(&mut self, number: u64) {
        let start = number.checked_mul(READER_BLOCK_LEN);
        let Some(start) = start.filter(|start| *start < self.object.len) else {
            return;
        };
        let at = self.held.iter().position(|block| block.number == number);
        if let Some(block) = at.and_then(|at| self.held.remove(at)) {
            self.held.push_back(block);
            return;
        }
        if self.held.len() == READER_BLOCKS {
            self.held.pop_front();
        }
        let range = start..self.object.len.min(start.saturating_add(READER_BLOCK_LEN));
        let (bucket, object) = (self.bucket.clone(), self.object.clone());
        let due = async move { bucket.read(object, range).await };
        let arrival = Arrival::Due(self.runtime.spawn(due));
        self.held.push_back(Block { number, arrival });
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Arrival::Due(due) = &self.arrival {
            due.abort();
        }
    }
}
