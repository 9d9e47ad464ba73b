//! What a guest prints, on its way to the transcript or to another process.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use propeller_model::Stream;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::verdict::Exceeded;
use crate::exit::{Limit, LimitHit};
use crate::job::Job;
use crate::transcript::{Keeps, Transcript};

/// How much a guest may write at once. It bounds what the host copies in one step.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One output stream of one guest. Clones share what was written.
///
/// Writing past the limit ends the guest, unless its transcript keeps only a tail.
#[derive(Clone)]
pub(super) struct Output {
    to: To,
    stream: Stream,
    bytes_max: usize,
}

#[derive(Clone)]
enum To {
    /// Whoever has the job reads it from there, also while the guest runs. Before the number of
    /// bytes is what others have printed.
    Transcript(Transcript, u64),
    /// It is not kept here.
    Sink(Arc<Mutex<Sunk>>),
}

/// Where output goes that is not kept here.
pub(crate) type Sink = Box<dyn FnMut(&[u8]) + Send>;

struct Sunk {
    sink: Sink,
    len: usize,
    keeps: Keeps,
}

impl Sunk {
    /// Hands on what fits, and says how much that was.
    fn append(&mut self, bytes: &[u8], bytes_max: usize) -> usize {
        let fits = match self.keeps {
            Keeps::All => bytes.len().min(bytes_max.saturating_sub(self.len)),
            Keeps::Tail => bytes.len(),
        };
        self.len = self.len.saturating_add(fits);
        if fits > 0 {
            (self.sink)(&bytes[..fits]);
        }
        fits
    }
}

impl Output {
    /// Standard output and standard error, which end in the job's transcript.
    pub(super) fn both(job: &Job) -> [Self; 2] {
        let transcript = &job.transcript;
        [Stream::Stdout, Stream::Stderr].map(|stream| Self {
            to: To::Transcript(transcript.clone(), transcript.printed_before(stream)),
            stream,
            bytes_max: bytes_max(stream, job),
        })
    }

    /// An output that keeps nothing and hands on at once what is written.
    #[cfg(target_os = "linux")]
    pub(super) fn to_sink(stream: Stream, job: &Job, sink: Sink) -> Self {
        let sunk = Sunk {
            sink,
            len: 0,
            keeps: job.transcript.keeps(),
        };
        Self {
            to: To::Sink(Arc::new(Mutex::new(sunk))),
            stream,
            bytes_max: bytes_max(stream, job),
        }
    }

    /// What is kept of what was written, and how many bytes were let through in all.
    pub(super) fn take(&self) -> (Vec<u8>, u64) {
        match &self.to {
            To::Transcript(transcript, before) => {
                let (kept, printed) = transcript.end(self.stream);
                (kept, printed.saturating_sub(*before))
            }
            To::Sink(sunk) => (Vec::new(), lock(sunk).len as u64),
        }
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        let len = match &self.to {
            To::Transcript(transcript, _) => transcript.append(self.stream, bytes, self.bytes_max),
            To::Sink(sunk) => lock(sunk).append(bytes, self.bytes_max),
        };
        if len == bytes.len() {
            Ok(())
        } else {
            Err(Exceeded(limit(self.stream)))
        }
    }
}

fn lock(sunk: &Mutex<Sunk>) -> MutexGuard<'_, Sunk> {
    sunk.lock().expect("sending bytes does not panic")
}

/// The limit of a stream.
fn limit(stream: Stream) -> Limit {
    match stream {
        Stream::Stdout => Limit::Stdout,
        Stream::Stderr => Limit::Stderr,
    }
}

fn bytes_max(stream: Stream, job: &Job) -> usize {
    let value = LimitHit::new(limit(stream), &job.limits).bound.value;
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    /// In place of the adapter over [`Self::async_stream`], which writes from a task of its own and
    /// so would report the limit one write too late.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let written = self.append(&bytes);
        written.map_err(|exceeded| StreamError::Trap(exceeded.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.append(bytes).map(|()| bytes.len());
        Poll::Ready(written.map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
