//! What a guest prints, kept up to a limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::verdict::Exceeded;
use crate::exit::Limit;

/// How much a guest may write at once. It bounds what the host copies in one step.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One output stream of one guest. Clones share what was written.
///
/// Writing past the limit ends the guest: output that is cut without notice looks like a result.
#[derive(Clone)]
pub(super) struct Output {
    written: Arc<Mutex<Written>>,
    limit: Limit,
    bytes_max: usize,
}

/// Where output goes that is not kept here.
pub(crate) type Sink = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Default)]
struct Written {
    kept: Vec<u8>,
    len: usize,
    /// In place of `kept`.
    sink: Option<Sink>,
}

impl Written {
    fn append(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match &mut self.sink {
            Some(_) if bytes.is_empty() => {}
            Some(sink) => sink(bytes),
            None => self.kept.extend_from_slice(bytes),
        }
    }
}

impl Output {
    /// An empty output; `limit` is what ends a guest that writes more than `bytes_max`.
    pub(super) fn new(limit: Limit, bytes_max: u64) -> Self {
        Self {
            written: Arc::default(),
            limit,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        }
    }

    /// An output that keeps nothing and hands on at once what is written.
    #[cfg(target_os = "linux")]
    pub(super) fn to_sink(limit: Limit, bytes_max: u64, sink: Sink) -> Self {
        let output = Self::new(limit, bytes_max);
        output.lock().sink = Some(sink);
        output
    }

    /// Everything that was written so far; it is taken, not copied.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().kept)
    }

    fn append(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        let mut written = self.lock();
        let fits = bytes.len().min(self.bytes_max - written.len);
        written.append(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(Exceeded(self.limit));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("appending bytes does not panic")
    }
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
