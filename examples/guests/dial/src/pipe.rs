//! Moves bytes from one stream to another without waiting for either, so that several pipes can
//! share the one thread.

use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::failure::Failure;

/// What is read at once, at most.
const READ_BYTES_MAX: u64 = 64 * 1024;

pub(crate) struct Pipe {
    from: InputStream,
    to: OutputStream,
    state: State,
}

enum State {
    /// Everything that was read has been written.
    Reading,
    /// These bytes have been read; they are never none.
    Writing(Vec<u8>),
    /// All is read and written, but the other side may not have it yet.
    Flushing,
    Done,
}

/// Waits until one of the pipes can go on, and lets it. False if all are done.
pub(crate) fn step(pipes: &mut [&mut Pipe]) -> Result<bool, Failure> {
    let mut open: Vec<&mut Pipe> = Vec::new();
    for pipe in pipes {
        if !pipe.is_done() {
            open.push(pipe);
        }
    }
    if open.is_empty() {
        return Ok(false);
    }
    let waits: Vec<Pollable> = open.iter().map(|pipe| pipe.subscribe()).collect();
    let ready = poll(&waits.iter().collect::<Vec<_>>());
    drop(waits);
    for index in ready {
        open[index as usize].advance()?;
    }
    Ok(true)
}

impl Pipe {
    pub(crate) fn new(from: InputStream, to: OutputStream) -> Self {
        let state = State::Reading;
        Self { from, to, state }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Ready when [`Pipe::advance`] has something to do.
    fn subscribe(&self) -> Pollable {
        match self.state {
            State::Reading | State::Done => self.from.subscribe(),
            State::Writing(_) | State::Flushing => self.to.subscribe(),
        }
    }

    fn advance(&mut self) -> Result<(), Failure> {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Reading => self.read()?,
            State::Writing(bytes) => self.write(bytes)?,
            State::Flushing if self.to.check_write()? == 0 => State::Flushing,
            State::Flushing | State::Done => State::Done,
        };
        Ok(())
    }

    fn read(&self) -> Result<State, Failure> {
        match self.from.read(READ_BYTES_MAX) {
            Ok(bytes) if bytes.is_empty() => Ok(State::Reading),
            Ok(bytes) => Ok(State::Writing(bytes)),
            Err(StreamError::Closed) => {
                self.to.flush()?;
                Ok(State::Flushing)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what there is room for, and has it flushed: someone may be waiting for it.
    fn write(&self, mut bytes: Vec<u8>) -> Result<State, Failure> {
        let room = usize::try_from(self.to.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            return Ok(State::Writing(bytes));
        }
        let rest = bytes.split_off(room.min(bytes.len()));
        self.to.write(&bytes)?;
        self.to.flush()?;
        Ok(if rest.is_empty() {
            State::Reading
        } else {
            State::Writing(rest)
        })
    }
}
