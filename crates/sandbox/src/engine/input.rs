//! What a guest reads, from memory or from a pipe.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::stdin::blocks::{Blocks, Given};
use crate::stdin::{Source, Stdin};

/// Gives a guest its standard input.
///
/// A guest in a process of its own waits for a pipe in the call that reads, because it may make no
/// other: there, a pipe that is polled beside a clock keeps the clock waiting, until a block has come.
pub(super) fn give(wasi: &mut WasiCtxBuilder, stdin: &Stdin) -> io::Result<()> {
    match stdin.source() {
        Source::Bytes(bytes) => wasi.stdin(MemoryInputPipe::new(bytes.clone())),
        Source::Pipe(pipe) => wasi.stdin(Piped::new(Blocks::watched(pipe)?)),
        #[cfg(target_os = "linux")]
        Source::Own => wasi.stdin(Piped::new(Blocks::own(crate::process::guests_pipe()))),
    };
    Ok(())
}

/// A pipe as a guest sees it. Clones share what was read.
#[derive(Clone)]
struct Piped(Arc<Mutex<Blocks>>);

impl Piped {
    fn new(blocks: Blocks) -> Self {
        Self(Arc::new(Mutex::new(blocks)))
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().expect("reading a pipe does not panic")
    }
}

impl IsTerminal for Piped {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Piped {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    /// In place of the adapter over [`Self::async_stream`], which reads from a task of its own, and
    /// ahead of the guest, where there is no runtime for it to wait on.
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Piped {
    async fn ready(&mut self) {
        poll_fn(|context| self.blocks().poll_ready(context)).await;
    }
}

#[async_trait]
impl InputStream for Piped {
    fn read(&mut self, len: usize) -> StreamResult<Bytes> {
        match self.blocks().give(len) {
            Given::Bytes(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Given::Later => Ok(Bytes::new()),
            Given::End => Err(StreamError::Closed),
            Given::Failed(why) => Err(StreamError::LastOperationFailed(
                io::Error::from(why).into(),
            )),
        }
    }
}

impl AsyncRead for Piped {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut blocks = self.blocks();
        ready!(blocks.poll_ready(context));
        match blocks.give(room.remaining()) {
            Given::Bytes(bytes) => room.put_slice(bytes),
            Given::Later => unreachable!("a block is there"),
            Given::End => {}
            Given::Failed(why) => return Poll::Ready(Err(why.into())),
        }
        Poll::Ready(Ok(()))
    }
}
