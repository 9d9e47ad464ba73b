//! A large standard output, opened here.
//!
//! ```text
//! ranges of the shard, read ahead ─▶ Object, on a thread of its own ─▶ pipe ─▶ where it goes
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::thread;

use bytes::Bytes;
use propeller_api::SealedObject;
use propeller_ces::{
    Audit, Digest, Key, KeyError, KeyRing, Object, ObjectError, ReadAt, ReadError, Threads, Wanted,
};
use propeller_sdk::{Client, ClientError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::pipe::{Chunk, PipeWriter, pipe};

/// What is asked for at once, in bytes: about a piece.
const BLOCK_LEN: u64 = 1024 * 1024;
/// Blocks that are asked for beyond the one that is read, so that the next one is there in time.
const AHEAD: usize = 2;
/// Blocks that are held: the one that is read, those ahead of it, and two that were needed before: a
/// piece begins in one block and ends in the next.
const HELD_MAX: usize = 5;

/// Why an output cannot be opened, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFailure {
    #[error("the manager sent no key that could be one")]
    Key(#[source] KeyError),
    #[error("the manager sent {0:?} for a digest")]
    Digest(String),
    #[error("cannot start a thread that opens it")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Client(ClientError),
    #[error("it cannot be opened")]
    Object(#[source] Box<ObjectError>),
    #[error("it cannot be read to its end")]
    Read(#[source] Box<ReadError>),
}

/// An output that is being opened. Nothing of it comes before its key and its digest are found
/// right, and no byte before it is authenticated.
#[derive(Debug)]
pub(super) struct Opening {
    chunks: mpsc::Receiver<Chunk>,
    done: oneshot::Receiver<Result<(), OpenFailure>>,
}

impl Opening {
    pub(super) async fn begin(
        id: &str,
        sealed: &SealedObject,
        client: &Client,
    ) -> Result<Self, OpenFailure> {
        let key = Key::from_hex(&sealed.key.0).map_err(OpenFailure::Key)?;
        let digest = sealed.digest.parse::<Digest>();
        let digest = digest.map_err(|_| OpenFailure::Digest(sealed.digest.clone()))?;
        let size = client.task_stdout_len(id).await;
        let shard = Shard {
            client: client.clone(),
            id: id.to_owned(),
            size: size.map_err(OpenFailure::Client)?,
            runtime: Handle::current(),
            state: RefCell::default(),
        };
        let (writer, chunks) = pipe();
        let (tell, done) = oneshot::channel();
        // Nobody waits for the thread: it ends when nobody reads what it writes.
        thread::Builder::new()
            .name("open".to_owned())
            .spawn(move || tell.send(open(&shard, key, digest, writer)).ok())
            .map_err(OpenFailure::Thread)?;
        Ok(Self { chunks, done })
    }

    /// The next bytes; `None` when that was all, and it was all right. Whoever gets an error throws
    /// away what came before it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, OpenFailure> {
        match self.chunks.recv().await {
            Some(Chunk::Bytes(bytes)) => return Ok(Some(bytes)),
            Some(Chunk::End) | None => {}
        }
        match (&mut self.done).await {
            Ok(done) => done.map(|()| None),
            Err(gone) => Err(OpenFailure::Thread(io::Error::other(gone))),
        }
    }
}

/// One for each processor.
pub(super) fn threads() -> Threads {
    Threads::new(thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// What the thread does.
fn open(
    shard: &Shard,
    key: Key,
    digest: Digest,
    mut writer: PipeWriter,
) -> Result<(), OpenFailure> {
    let wanted = Wanted {
        digest: Some(digest),
        ..Wanted::default()
    };
    // The core sees a shard that cannot be read. Why it cannot be read says more.
    let cause = |error| shard.failure().map_or(error, OpenFailure::Client);
    let object = Object::open(vec![shard], &KeyRing::new(key), wanted, Audit::none());
    let mut object = object.map_err(|error| cause(OpenFailure::Object(error.into())))?;
    let read = object.read_to(&mut writer, threads(), &mut |_| ());
    let flushed = read.and_then(|()| writer.flush().map_err(ReadError::Output));
    flushed.map_err(|error| cause(OpenFailure::Read(error.into())))
}

/// The only shard of an output, which the manager has.
struct Shard {
    client: Client,
    id: String,
    size: u64,
    /// Where requests run, while the thread waits for their answers.
    runtime: Handle,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The one that was needed last is the last.
    held: VecDeque<Block>,
    /// The block that was read last.
    position: u64,
    /// Why nothing more can be had.
    failure: Option<ClientError>,
}

/// Bytes from `number` times [`BLOCK_LEN`] on, there or under way.
struct Block {
    number: u64,
    bytes: Arrival,
}

enum Arrival {
    Due(JoinHandle<Result<Bytes, ClientError>>),
    There(Bytes),
}

impl Shard {
    /// Why reading failed, if it was not for the shard itself.
    fn failure(&self) -> Option<ClientError> {
        self.state.borrow_mut().failure.take()
    }

    /// Asks for a block, and does not wait for it.
    fn order(&self, number: u64) -> Block {
        let (client, id) = (self.client.clone(), self.id.clone());
        let begin = number * BLOCK_LEN;
        let range = begin..self.size.min(begin + BLOCK_LEN);
        let due = async move { client.task_stdout_range(&id, range).await };
        Block {
            number,
            bytes: Arrival::Due(self.runtime.spawn(due)),
        }
    }

    /// Waits for a block, and asks for those behind it where the shard is read in order.
    fn block(&self, state: &mut State, number: u64) -> io::Result<Bytes> {
        let place = state.held.iter().position(|block| block.number == number);
        let mut block = match place.and_then(|place| state.held.remove(place)) {
            Some(block) => block,
            None => self.order(number),
        };
        let is_in_order = (state.position..=state.position + 1).contains(&number);
        let blocks = self.size.div_ceil(BLOCK_LEN);
        if is_in_order {
            for ahead in (number + 1..blocks).take(AHEAD) {
                if state.held.iter().all(|block| block.number != ahead) {
                    state.held.push_back(self.order(ahead));
                }
            }
        }
        state.position = number;
        let bytes = match &mut block.bytes {
            Arrival::There(bytes) => bytes.clone(),
            Arrival::Due(due) => match self.runtime.block_on(due) {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => {
                    state.failure = Some(error);
                    return Err(broken());
                }
                Err(error) => return Err(io::Error::other(error)),
            },
        };
        block.bytes = Arrival::There(bytes.clone());
        state.held.push_back(block);
        while state.held.len() > HELD_MAX {
            state.held.pop_front();
        }
        Ok(bytes)
    }
}

impl ReadAt for Shard {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut state = self.state.borrow_mut();
        if state.failure.is_some() {
            return Err(broken());
        }
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let bytes = self.block(&mut state, at / BLOCK_LEN)?;
            let from = usize::try_from(at % BLOCK_LEN).map_err(io::Error::other)?;
            let len = (bytes.len() - from).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&bytes[from..from + len]);
            at += len as u64;
            rest = later;
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

fn broken() -> io::Error {
    io::Error::other("the manager does not give it")
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Arrival::Due(due) = &self.bytes {
            due.abort();
        }
    }
}
