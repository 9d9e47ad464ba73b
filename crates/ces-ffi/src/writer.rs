//! An object whose plaintext is pushed: for callers who have no stream to read from.
//!
//! Encoding pulls. It runs on a thread of its own, which stands still while the caller's works: it
//! asks for plaintext and hands over what goes to shards, so that callbacks run on the caller's.

#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::{self, JoinHandle};

use zeroize::Zeroizing;

use crate::failure::{Failure, Status, caught};

/// How much plaintext is handed over at once, in bytes.
const CHUNK: usize = 1024 * 1024;

/// What the thread wants.
enum Wish<T> {
    /// More plaintext.
    Plain,
    /// That this is written to a shard.
    Shard(u32, Vec<u8>),
    /// Nothing any more.
    Ended(Result<T, Failure>),
}

/// What it gets.
enum Answer {
    Plain(Zeroizing<Vec<u8>>),
    /// There is no more plaintext.
    End,
    Written(io::Result<()>),
}

/// The thread's side.
struct Pipe<T> {
    wishes: SyncSender<Wish<T>>,
    answers: Receiver<Answer>,
}

impl<T> Pipe<T> {
    fn ask(&self, wish: Wish<T>) -> io::Result<Answer> {
        let gone = || io::Error::other("the writer was freed");
        self.wishes.send(wish).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())
    }
}

/// Plaintext as the thread reads it.
pub(crate) struct Pushed<T> {
    pipe: Rc<Pipe<T>>,
    chunk: Zeroizing<Vec<u8>>,
    read: usize,
    is_over: bool,
}

impl<T> Read for Pushed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() && !self.is_over {
            match self.pipe.ask(Wish::Plain)? {
                Answer::Plain(chunk) => (self.chunk, self.read) = (chunk, 0),
                Answer::End | Answer::Written(_) => self.is_over = true,
            }
        }
        let len = (self.chunk.len() - self.read).min(buffer.len());
        buffer[..len].copy_from_slice(&self.chunk[self.read..self.read + len]);
        self.read += len;
        Ok(len)
    }
}

/// A shard as the thread writes it.
pub(crate) struct Handed<T> {
    pipe: Rc<Pipe<T>>,
    shard: u32,
}

impl<T> Write for Handed<T> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.pipe.ask(Wish::Shard(self.shard, data.to_vec()))? {
            Answer::Written(written) => written.map(|()| data.len()),
            Answer::Plain(_) | Answer::End => Err(io::Error::other("nobody wrote it")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The caller's side.
pub(crate) struct Writer<T> {
    /// Locked while it is used, so that a callback that comes back and another thread are told so.
    /// None when it is over.
    running: Mutex<Option<Running<T>>>,
}

/// The thread waits for one of the channels, and ends when both are gone: they are dropped first.
struct Running<T> {
    wishes: Receiver<Wish<T>>,
    answers: SyncSender<Answer>,
    /// The first wish, until it is granted.
    first: Option<Wish<T>>,
    /// Whether the thread waits for plaintext.
    is_waiting: bool,
    /// Waits for the thread's end when it is dropped.
    _thread: Joined,
}

/// A thread that ends no later than this.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic of it was caught and told already.
            drop(thread.join());
        }
    }
}

impl<T: Send + 'static> Writer<T> {
    /// Starts `encode`, which reads its plaintext and writes its `shards` shards.
    ///
    /// What it does before it reads or writes is done when this returns.
    pub(crate) fn start(
        shards: u32,
        encode: impl FnOnce(Pushed<T>, Vec<Handed<T>>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        // One side always waits for the other.
        let (wishes, wished) = sync_channel(1);
        let (answers, answered) = sync_channel(1);
        let run = move || {
            let pipe = Rc::new(Pipe {
                wishes: wishes.clone(),
                answers: answered,
            });
            let handed = |shard| Handed {
                pipe: Rc::clone(&pipe),
                shard,
            };
            let sinks = (0..shards).map(handed).collect();
            let pushed = Pushed {
                pipe: Rc::clone(&pipe),
                chunk: Zeroizing::default(),
                read: 0,
                is_over: false,
            };
            let ended = caught(|| encode(pushed, sinks));
            // Nobody is told where the writer was freed.
            drop(wishes.send(Wish::Ended(ended)));
        };
        let builder = thread::Builder::new().name("ces-writer".to_owned());
        let thread = builder.spawn(run).map_err(|error| {
            Failure::new(
                Status::System,
                format!("there is no thread for the writer: {error}"),
            )
        })?;
        let thread = Joined(Some(thread));
        let first = wished.recv().map_err(|_| gone())?;
        let running = Running {
            wishes: wished,
            answers,
            first: Some(first),
            is_waiting: false,
            _thread: thread,
        };
        Ok(Self {
            running: Mutex::new(Some(running)),
        })
    }

    /// What runs, for one user at a time. It was left as it is by a user who panicked: taken.
    fn using(&self) -> Result<MutexGuard<'_, Option<Running<T>>>, Failure> {
        match self.running.try_lock() {
            Ok(running) => Ok(running),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Status::Spent,
                "the writer is in use: by another thread, or by the call that called back",
            )),
        }
    }

    /// Takes plaintext; returns when it is with the thread, and all that came of it is written.
    pub(crate) fn push(
        &self,
        data: &[u8],
        mut write: impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> Result<(), Failure> {
        // Whatever happens here ends the writer, unless it is put back.
        let mut place = self.using()?;
        let mut running = place.take().ok_or_else(spent)?;
        let mut chunks = data.chunks(CHUNK);
        loop {
            if let Some(ended) = running.until_it_waits(&mut write)? {
                return match ended {
                    Err(failure) => Err(failure),
                    Ok(_) => Err(Failure::new(Status::Panic, "the object ended by itself")),
                };
            }
            let Some(chunk) = chunks.next() else {
                *place = Some(running);
                return Ok(());
            };
            running.answer(Answer::Plain(Zeroizing::new(chunk.to_vec())))?;
        }
    }

    /// Writes what is left.
    pub(crate) fn finish(
        &self,
        mut write: impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> Result<T, Failure> {
        let mut place = self.using()?;
        let mut running = place.take().ok_or_else(spent)?;
        loop {
            match running.until_it_waits(&mut write)? {
                Some(ended) => return ended,
                None => running.answer(Answer::End)?,
            }
        }
    }
}

impl<T> Running<T> {
    /// What came of it, if it ended.
    fn until_it_waits(
        &mut self,
        write: &mut impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> Result<Option<Result<T, Failure>>, Failure> {
        while !self.is_waiting {
            let wish = match self.first.take() {
                Some(wish) => wish,
                None => self.wishes.recv().map_err(|_| gone())?,
            };
            match wish {
                Wish::Plain => self.is_waiting = true,
                Wish::Shard(shard, data) => {
                    let written = write(shard, &data);
                    self.answers
                        .send(Answer::Written(written))
                        .map_err(|_| gone())?;
                }
                Wish::Ended(ended) => return Ok(Some(ended)),
            }
        }
        Ok(None)
    }

    fn answer(&mut self, answer: Answer) -> Result<(), Failure> {
        self.is_waiting = false;
        self.answers.send(answer).map_err(|_| gone())
    }
}

fn spent() -> Failure {
    Failure::new(
        Status::Spent,
        "the writer is finished or failed before: free it",
    )
}

fn gone() -> Failure {
    Failure::new(
        Status::Panic,
        "the writer's thread is gone, which is a bug: please report it",
    )
}
