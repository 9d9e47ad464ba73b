//! Shards to be written, which are there when all of them are whole, and otherwise not at all.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path as FilePath, PathBuf};
use std::thread;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinHandle;

use super::bridge::Interrupt;
use super::place::{Bucket, Place, io_error};

/// Writes to files are gathered to so many bytes.
const FILE_BUFFER_LEN: usize = 64 * 1024;
/// What is sent to a store at once, in bytes: one part is gathered while another is under way.
pub(crate) const PART_LEN: u64 = 8 * 1024 * 1024;
/// The most parts that S3 makes an object of.
const PARTS_MAX: u64 = 10_000;

/// A shard to be written.
#[derive(Debug)]
pub(crate) struct Sink {
    kind: Kind,
    state: State,
    pub(crate) location: String,
    interrupt: Interrupt,
}

#[derive(Debug)]
enum Kind {
    File(FileSink),
    Stored(Box<StoredSink>),
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
        len: Option<u64>,
        interrupt: Interrupt,
    ) -> io::Result<Self> {
        let kind = match place {
            Place::Folder(folder) => Kind::File(FileSink::open(folder, file)?),
            Place::Bucket(bucket) => Kind::Stored(Box::new(StoredSink::new(bucket, file, len))),
        };
        Ok(Self {
            kind,
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
            Kind::File(file) => fs::rename(&file.part, &file.target)?,
            Kind::Stored(stored) => stored.place()?,
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

    /// Puts each shard in its place, in place of the one that is there; what is there stays.
    pub(crate) fn replace_all(mut self) -> Result<(), SinkError> {
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

/// A file that is written under another name first.
#[derive(Debug)]
struct FileSink {
    file: BufWriter<File>,
    part: PathBuf,
    target: PathBuf,
}

impl FileSink {
    fn open(folder: &FilePath, file: &str) -> io::Result<Self> {
        let part = folder.join(part_name(file));
        remove_stale(&part)?;
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part)?;
        // Where files cannot be locked, two runs at once are not told apart from one after another.
        new.try_lock().ok();
        Ok(Self {
            file: BufWriter::with_capacity(FILE_BUFFER_LEN, new),
            part,
            target: folder.join(file),
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    /// The new name has to survive a power failure as well.
    fn sync_name(&self) -> io::Result<()> {
        match self.target.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The name of a shard's file while it is written.
pub(crate) fn part_name(file: &str) -> String {
    format!(".{file}.part")
}

/// Removes what an interrupted run left, if nobody is writing it.
pub(crate) fn remove_stale(part: &FilePath) -> io::Result<()> {
    let old = match OpenOptions::new().write(true).open(part) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Err(TryLockError::WouldBlock) = old.try_lock() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another command is writing it",
        ));
    }
    match fs::remove_file(part) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// An object of a store, sent in parts, or at once if it is small.
struct StoredSink {
    bucket: Bucket,
    path: Path,
    part_len: usize,
    buf: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: Option<JoinHandle<object_store::Result<()>>>,
}

impl StoredSink {
    fn new(bucket: &Bucket, file: &str, len: Option<u64>) -> Self {
        Self {
            bucket: bucket.clone(),
            path: bucket.path(file),
            part_len: part_len(len),
            buf: Vec::new(),
            upload: None,
            under_way: None,
        }
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.buf.len() == self.part_len {
            self.send()?;
        }
        let len = buf.len().min(self.part_len - self.buf.len());
        self.buf.extend_from_slice(&buf[..len]);
        Ok(len)
    }

    /// Sends what is gathered, when what was sent before has arrived.
    fn send(&mut self) -> io::Result<()> {
        self.wait()?;
        let payload = PutPayload::from(std::mem::take(&mut self.buf));
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let begun = self.bucket.store.put_multipart(&self.path);
                let begun = self.bucket.runtime.block_on(begun).map_err(io_error)?;
                none.insert(begun)
            }
        };
        let part = upload.put_part(payload);
        self.under_way = Some(self.bucket.runtime.spawn(part));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.under_way.take() {
            Some(part) => {
                let sent = self.bucket.runtime.block_on(part);
                sent.map_err(io::Error::other)?.map_err(io_error)
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.upload.is_some() && !self.buf.is_empty() {
            self.send()?;
        }
        self.wait()
    }

    fn place(&mut self) -> io::Result<()> {
        let runtime = &self.bucket.runtime;
        let placed = match &mut self.upload {
            Some(upload) => runtime.block_on(upload.complete()),
            None => {
                let payload = PutPayload::from(std::mem::take(&mut self.buf));
                runtime.block_on(self.bucket.store.put(&self.path, payload))
            }
        };
        placed.map(|_| ()).map_err(io_error)
    }

    fn abort(&mut self) -> io::Result<()> {
        if let Some(part) = self.under_way.take() {
            part.abort();
            // Cancelled, or done: in either case nothing of it arrives later.
            self.bucket.runtime.block_on(part).ok();
        }
        match &mut self.upload {
            Some(upload) => {
                let aborted = self.bucket.runtime.block_on(upload.abort());
                aborted.map_err(io_error)
            }
            None => Ok(()),
        }
    }

    fn delete(&mut self) -> io::Result<()> {
        let deleted = self.bucket.store.delete(&self.path);
        self.bucket.runtime.block_on(deleted).map_err(io_error)
    }
}

impl fmt::Debug for StoredSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSink")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Parts that are large enough for as many of them as there may be.
fn part_len(len: Option<u64>) -> usize {
    // A shard is longer than the share of the input that it was estimated from.
    let enough = len.unwrap_or(0).div_ceil(PARTS_MAX - PARTS_MAX / 10);
    let len = PART_LEN.max(enough);
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_their_number_needs() {
        let mib = 1024 * 1024;
        assert_eq!(part_len(None), 8 * mib);
        assert_eq!(part_len(Some(0)), 8 * mib);
        // A tebibyte in one shard.
        let tebibyte = 1 << 40;
        let parts = tebibyte / part_len(Some(tebibyte)) as u64;
        assert!(parts < PARTS_MAX, "{parts}");
    }
}
