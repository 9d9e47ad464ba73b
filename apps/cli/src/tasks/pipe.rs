//! From a thread that seals or opens to the task that talks to others: bytes, in order, and only so
//! many at once.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// What is collected before it is passed on, in bytes: the core writes the 97 bytes of a record
/// before every piece.
const CHUNK_LEN: usize = 256 * 1024;
/// Chunks that wait. One has at most [`CHUNK_LEN`] and a piece, about 1.3 MiB.
const CHUNKS_MAX: usize = 2;

/// What comes out of a pipe.
#[derive(Debug)]
pub(super) enum Chunk {
    Bytes(Bytes),
    /// That was all. A pipe that ends without it was broken off.
    End,
}

/// The end of a pipe that a thread writes to.
#[derive(Debug)]
pub(super) struct PipeWriter {
    chunks: mpsc::Sender<Chunk>,
    buf: BytesMut,
}

/// Both ends of a pipe. Who writes waits for who reads.
pub(super) fn pipe() -> (PipeWriter, mpsc::Receiver<Chunk>) {
    let (chunks, read) = mpsc::channel(CHUNKS_MAX);
    let buf = BytesMut::new();
    (PipeWriter { chunks, buf }, read)
}

impl PipeWriter {
    /// Says that what was written is all, and whole.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Chunk::End)
    }

    fn send(&self, chunk: Chunk) -> io::Result<()> {
        let sent = self.chunks.blocking_send(chunk);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buf.extend_from_slice(buf);
        if self.buf.len() >= CHUNK_LEN {
            self.flush()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let bytes = self.buf.split().freeze();
        self.send(Chunk::Bytes(bytes))
    }
}

/// What comes out of a pipe, after what has come `first`, as the body of a request: one that is broken
/// off has an error, because a body that merely ends looks whole.
pub(super) fn body(
    first: Option<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some((Some(first), chunks)), async |state| {
        let (first, mut chunks) = state?;
        let chunk = match first {
            Some(first) => first,
            None => chunks.recv().await,
        };
        match chunk {
            Some(Chunk::Bytes(bytes)) => Some((Ok(bytes), Some((None, chunks)))),
            Some(Chunk::End) => None,
            None => Some((
                Err(io::Error::other("the input was not sealed to its end")),
                None,
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    fn written(work: impl FnOnce(PipeWriter) + Send + 'static) -> io::Result<Vec<u8>> {
        let (writer, mut chunks) = pipe();
        let thread = std::thread::spawn(|| work(writer));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let read = runtime.block_on(async {
            let first = chunks.recv().await;
            let body = body(first, chunks);
            body.try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
        });
        thread.join().unwrap();
        read
    }

    #[test]
    fn what_is_written_comes_out_in_order() {
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = bytes.clone();
        let read = written(move |mut writer| {
            for part in bytes.chunks(100_003) {
                writer.write_all(part).unwrap();
            }
            writer.end().unwrap();
        });
        assert!(read.unwrap() == expected);
    }

    #[test]
    fn what_is_broken_off_is_an_error() {
        for half in [0, 4, 2 * CHUNK_LEN] {
            let read = written(move |mut writer| writer.write_all(&vec![7; half]).unwrap());
            assert!(read.is_err(), "{half}");
        }
    }
}
