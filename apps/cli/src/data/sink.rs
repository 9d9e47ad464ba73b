//! Shards to be written, which are there when all of them are whole, and otherwise not at all.

mod file;
mod stored;

use std::fs;
use std::io::{self, Write};
use std::thread;

use super::bridge::Interrupt;
use super::place::Place;
use file::FileSink;
use stored::StoredSink;

pub(crate) use file::part_name;

/// A shard to be written.
#[derive(Debug)]
pub(crate) struct Sink {
    kind: Kind,
    takes: Takes,
    state: State,
    pub(crate) location: String,
    interrupt: Interrupt,
}

#[derive(Debug)]
enum Kind {
    File(FileSink),
    Stored(Box<StoredSink>),
}

/// What a shard takes when it is put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A name that nothing has: what came there meanwhile stays, and the shard is refused.
    FreeName,
    /// The place of what has its name.
    PlaceOfAnother,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody sees it under its name.
    Hidden,
    /// It is there under its name.
    Placed,
}

impl Sink {
    /// `len` is about how long the shard will be, if that is known.
    pub(crate) fn open(
        place: &Place,
        file: &str,
        takes: Takes,
        len: Option<u64>,
        interrupt: Interrupt,
    ) -> io::Result<Self> {
        let kind = match place {
            Place::Folder(folder) => Kind::File(FileSink::open(folder, file)?),
            Place::Bucket(bucket) => Kind::Stored(Box::new(StoredSink::new(bucket, file, len))),
        };
        Ok(Self {
            kind,
            takes,
            state: State::Hidden,
            location: place.location(file),
            interrupt,
        })
    }

    /// Has everything written down that was given.
    fn finish(&mut self) -> io::Result<()> {
        self.interrupt.check()?;
        match &mut self.kind {
            Kind::File(file) => file.finish(),
            Kind::Stored(stored) => stored.finish(),
        }
    }

    /// Puts it in its place.
    fn place(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::File(file) => file.place(self.takes)?,
            Kind::Stored(stored) => stored.place(self.takes)?,
        }
        self.state = State::Placed;
        match &self.kind {
            Kind::File(file) => file.sync_name(),
            Kind::Stored(_) => Ok(()),
        }
    }

    /// Takes away what was written.
    fn remove(&mut self) -> io::Result<()> {
        match (&mut self.kind, self.state) {
            (Kind::File(file), State::Hidden) => fs::remove_file(&file.part),
            (Kind::File(file), State::Placed) => fs::remove_file(&file.target),
            (Kind::Stored(stored), State::Hidden) => stored.abort(),
            (Kind::Stored(stored), State::Placed) => stored.delete(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        match &mut self.kind {
            Kind::File(file) => file.file.write(buf),
            Kind::Stored(stored) => stored.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::File(file) => file.file.flush(),
            Kind::Stored(_) => Ok(()),
        }
    }
}

/// Shards to be written. Those that are not in their place when this is dropped are taken away.
#[derive(Debug, Default)]
pub(crate) struct Sinks(pub(crate) Vec<Sink>);

/// Where shards cannot be written, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {location}")]
pub(crate) struct SinkError {
    pub(crate) location: String,
    #[source]
    pub(crate) source: io::Error,
}

impl Sinks {
    /// Puts all shards in their places, or none: at the first error those that are there already
    /// are taken away again.
    pub(crate) fn place_all(mut self) -> Result<(), SinkError> {
        let placed = self
            .each(Sink::finish)
            .and_then(|()| self.each(Sink::place));
        match placed {
            Ok(()) => {
                self.0.clear();
                Ok(())
            }
            Err(error) => {
                for sink in self.0.iter_mut().filter(|sink| sink.state == State::Placed) {
                    // The first error is told; what could not be taken away is found by the next.
                    sink.remove().ok();
                }
                self.0.retain(|sink| sink.state == State::Hidden);
                Err(error)
            }
        }
    }

    /// Puts each shard in its place; those that are there already stay when another fails.
    pub(crate) fn place_each(mut self) -> Result<(), SinkError> {
        self.each(Sink::finish)?;
        let placed = self.each(Sink::place);
        self.0.retain(|sink| sink.state == State::Hidden);
        placed
    }

    /// Does something with all of them at once: disks and stores take their time.
    fn each(&mut self, act: impl Fn(&mut Sink) -> io::Result<()> + Sync) -> Result<(), SinkError> {
        let act = &act;
        let results: Vec<io::Result<()>> = thread::scope(|scope| {
            let threads: Vec<_> = self
                .0
                .iter_mut()
                .map(|sink| scope.spawn(move || act(sink)))
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, io::Result<()>>| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        });
        for (sink, result) in self.0.iter().zip(results) {
            result.map_err(|source| SinkError {
                location: sink.location.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        // Whatever made this necessary is told already.
        self.each(|sink| match sink.state {
            State::Hidden => sink.remove(),
            State::Placed => Ok(()),
        })
        .ok();
    }
}
