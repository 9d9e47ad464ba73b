//! An input on its way out of the store to a guest.

use std::io::{self, ErrorKind, PipeWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use propeller_ces::{
    Audit, Digest, Key, KeyRing, Object, ObjectError, ReadAt, ReadError, Threads, Wanted,
};
use propeller_depot::Reader;
use propeller_sandbox::Stdin;
use propeller_wire::message::{ObjectKey, Refusal, StoredObject};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Declined, told};
use crate::work::chain;

/// An input that a guest reads.
#[derive(Debug)]
pub(crate) struct Feed {
    store: Arc<Look>,
    ends: oneshot::Receiver<Result<(), Declined>>,
    /// Whether it has ended well.
    is_over: bool,
}

/// What the store does at the moment.
#[derive(Debug, Default)]
struct Look {
    /// Something was asked for, and is not there yet.
    is_waited_for: AtomicBool,
    /// It did not give something, and that was not the object's end.
    has_failed: AtomicBool,
    /// Bytes that the guest was given.
    fed: AtomicU64,
}

/// The shard of an object, and what the store does while it is read.
#[derive(Debug)]
pub(super) struct Shard {
    reader: Reader,
    store: Arc<Look>,
}

impl Shard {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            store: Arc::default(),
        }
    }
}

/// An object that is the one it should be.
#[derive(Debug)]
pub(super) struct Opened {
    object: Object<Shard>,
    store: Arc<Look>,
}

impl ReadAt for Shard {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.store.is_waited_for.store(true, Ordering::Relaxed);
        let read = self.reader.read_at(buf, offset);
        self.store.is_waited_for.store(false, Ordering::Relaxed);
        if let Err(error) = &read
            && error.kind() != ErrorKind::UnexpectedEof
        {
            self.store.has_failed.store(true, Ordering::Relaxed);
        }
        read
    }

    fn size(&self) -> io::Result<u64> {
        self.reader.size()
    }
}

impl Look {
    /// Whose fault it is that something cannot be read.
    fn blame(&self, why: String) -> Declined {
        match self.has_failed.load(Ordering::Relaxed) {
            true => (Refusal::Store, why),
            false => (Refusal::NoInput, why),
        }
    }
}

/// Where a guest's input goes, and how much of it went there.
struct Counted {
    pipe: PipeWriter,
    store: Arc<Look>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.pipe.write(bytes)?;
        self.store.fed.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

/// Opens the object that a task names, and no other.
pub(super) fn open(shard: Shard, key: &ObjectKey, stdin: StoredObject) -> Result<Opened, Declined> {
    let store = Arc::clone(&shard.store);
    let keys = KeyRing::reading([Key::from_bytes(key.0)]);
    let keys = keys.map_err(|error| (Refusal::NoInput, chain(&error)))?;
    let wanted = Wanted {
        digest: Some(Digest(stdin.digest)),
        ..Wanted::default()
    };
    let object = Object::open(vec![shard], &keys, wanted, Audit::to(&told));
    let object = object.map_err(|error: ObjectError| {
        store.blame(format!("the input cannot be opened: {}", chain(&error)))
    })?;
    match object.plain_len() == stdin.plain_len {
        true => Ok(Opened { object, store }),
        false => {
            let why = "the input has another length than the task says";
            Err((Refusal::NoInput, why.to_owned()))
        }
    }
}

impl Feed {
    /// Begins to feed whoever reads the pipe, on a thread that waits for its guest most of the time
    /// and holds `place` until it ends.
    pub(super) fn begin(
        opened: Opened,
        place: OwnedSemaphorePermit,
    ) -> Result<(Stdin, Self), Declined> {
        let Opened { mut object, store } = opened;
        let none = |what: &str, error: io::Error| (Refusal::Busy, format!("no {what}: {error}"));
        let (read, pipe) = io::pipe().map_err(|error| none("pipe", error))?;
        let (end, ends) = oneshot::channel();
        let looked = Arc::clone(&store);
        let feed = move || {
            let mut guest = Counted {
                pipe,
                store: Arc::clone(&looked),
            };
            let read = object.read_to(&mut guest, Threads::ONE, &mut |_| ());
            let ended = match read {
                Ok(()) => Ok(()),
                // Guests need not read all that they are given.
                Err(ReadError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(looked.blame(format!("the input is cut off: {}", chain(&error)))),
            };
            // Before the pipe is closed, so that whoever has seen its end knows what kind it was.
            end.send(ended).ok();
            drop((guest, place));
        };
        let thread = thread::Builder::new().name("stdin".to_owned()).spawn(feed);
        thread.map_err(|error| none("thread", error))?;
        let feed = Self {
            store,
            ends,
            is_over: false,
        };
        Ok((Stdin::from(read), feed))
    }

    /// Whether the guest has to wait for the store.
    pub(super) fn is_held_up(&self) -> bool {
        self.store.is_waited_for.load(Ordering::Relaxed)
    }

    /// How many bytes the guest was given, or why not all that it wanted, as far as it can have seen.
    pub(super) fn so_far(&mut self) -> Result<u64, Declined> {
        let fed = self.store.fed.load(Ordering::Relaxed);
        if self.is_over {
            return Ok(fed);
        }
        match self.ends.try_recv() {
            // The pipe is open: nobody has seen its end.
            Err(TryRecvError::Empty) => Ok(fed),
            Ok(ended) => ended.map(|()| fed),
            Err(TryRecvError::Closed) => Err(crashed()),
        }
    }

    /// Waits until it fails, which may be never.
    pub(super) async fn failed(&mut self) -> Declined {
        if !self.is_over {
            match (&mut self.ends).await {
                Ok(Ok(())) => self.is_over = true,
                Ok(Err(why)) => return why,
                Err(_) => return crashed(),
            }
        }
        std::future::pending().await
    }
}

fn crashed() -> Declined {
    (Refusal::LeaseLost, "feeding the input crashed".to_owned())
}
