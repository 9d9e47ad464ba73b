//! A pipe, block by block.
//!
//! A guest that asks for bytes gets what is left of a block, and the next block is there when all
//! of it has come or the pipe has ended. So a read is short only at the end of a block, whatever
//! the pieces were that somebody wrote.

use std::io::{self, PipeReader};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;

/// How much of a pipe is in memory: as much as the kernel keeps of one.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;

/// A pipe that is read, with room for one block.
pub(crate) struct Blocks {
    pipe: Pipe,
    block: Box<[u8]>,
    /// What of the block has been given away.
    given: usize,
    /// What of the block has come.
    come: usize,
    ended: Option<Ended>,
}

enum Pipe {
    /// The runtime's threads go on with something else until there is something.
    Watched(Receiver),
    /// The pipe of a process that has nothing else to do. A signal ends the waiting for a moment.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    Own(std::os::fd::BorrowedFd<'static>),
}

#[derive(Clone, Copy)]
enum Ended {
    Whole,
    Failed(io::ErrorKind),
}

/// What there is to give.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    /// At least one byte, if at least one was asked for.
    Bytes(&'a [u8]),
    /// The block is not there yet.
    Later,
    /// There will be nothing more.
    End,
    /// The pipe cannot be read, as no pipe of ours fails.
    Failed(io::ErrorKind),
}

impl Blocks {
    /// A pipe of this process, from a thread of the runtime that is to wait for it.
    pub(crate) fn watched(pipe: &PipeReader) -> io::Result<Self> {
        super::watched(pipe).map(|pipe| Self::new(Pipe::Watched(pipe)))
    }

    /// The pipe of a process that is its guest's alone, which waits in the call that reads.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    pub(crate) fn own(pipe: std::os::fd::BorrowedFd<'static>) -> Self {
        Self::new(Pipe::Own(pipe))
    }

    fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
            block: vec![0; BLOCK_BYTES].into(),
            given: 0,
            come: 0,
            ended: None,
        }
    }

    /// Waits for a whole block, or the end.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.is_filling() {
            let room = &mut self.block[self.come..];
            match ready!(self.pipe.poll_read(context, room)) {
                Ok(0) => self.ended = Some(Ended::Whole),
                Ok(len) => self.come += len,
                Err(error) => self.ended = Some(Ended::Failed(error.kind())),
            }
        }
        Poll::Ready(())
    }

    /// Up to `len` bytes, if a block is there now. Nobody who waits is woken for that, so it is not
    /// for while somebody does.
    pub(crate) fn give(&mut self, len: usize) -> Given<'_> {
        let mut context = Context::from_waker(Waker::noop());
        if self.poll_ready(&mut context).is_pending() {
            return Given::Later;
        }
        let from = self.given;
        let len = len.min(self.come - from);
        match self.ended {
            Some(Ended::Whole) if from == self.come => Given::End,
            Some(Ended::Failed(why)) if from == self.come => Given::Failed(why),
            _ => {
                self.given += len;
                if self.given == self.block.len() {
                    (self.given, self.come) = (0, 0);
                }
                Given::Bytes(&self.block[from..from + len])
            }
        }
    }

    fn is_filling(&self) -> bool {
        self.come < self.block.len() && self.ended.is_none()
    }
}

impl Pipe {
    fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Watched(pipe) => {
                // Without asking the watch first, which hears of what is there already only when the
                // runtime looks next; a guest that polls is told now.
                match rustix::io::read(&*pipe, &mut *room) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    read => return Poll::Ready(read.map_err(io::Error::from)),
                }
                let mut room = ReadBuf::new(room);
                let read = ready!(Pin::new(pipe).poll_read(context, &mut room));
                Poll::Ready(read.map(|()| room.filled().len()))
            }
            #[cfg(all(target_os = "linux", feature = "wasmtime"))]
            Self::Own(pipe) => match rustix::io::read(*pipe, room) {
                // The alarm: whoever polls looks whether the guest's time is over, and asks again.
                Err(Errno::INTR) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                read => Poll::Ready(read.map_err(io::Error::from)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    async fn given(blocks: &mut Blocks, len: usize) -> Vec<u8> {
        poll_fn(|context| blocks.poll_ready(context)).await;
        match blocks.give(len) {
            Given::Bytes(bytes) => bytes.to_vec(),
            Given::End => Vec::new(),
            other => panic!("it is there: {other:?}"),
        }
    }

    #[tokio::test]
    async fn reads_are_short_at_the_end_of_a_block_alone() {
        let (read, mut write) = io::pipe().expect("there are pipes");
        let mut blocks = Blocks::watched(&read).expect("it is a pipe");
        let all: Vec<u8> = (0..2 * BLOCK_BYTES + 10)
            .map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1])
            .collect();
        let fed = all.clone();
        let feeding = std::thread::spawn(move || {
            for piece in fed.chunks(4099) {
                write.write_all(piece).expect("somebody reads");
            }
        });
        let mut came = Vec::new();
        for expected in [40_000, 25_536, 40_000, 25_536, 10, 0, 0] {
            let bytes = given(&mut blocks, 40_000).await;
            assert_eq!(bytes.len(), expected);
            came.extend(bytes);
        }
        assert!(came == all);
        feeding.join().expect("it does not panic");
    }

    #[tokio::test]
    async fn nothing_comes_before_a_block_is_whole() {
        let (read, mut write) = io::pipe().expect("there are pipes");
        let mut blocks = Blocks::watched(&read).expect("it is a pipe");
        assert_eq!(blocks.give(1), Given::Later);
        write.write_all(b"ab").expect("there is room");
        assert_eq!(blocks.give(1), Given::Later);
        drop(write);
        assert_eq!(given(&mut blocks, 1).await, b"a");
        assert_eq!(blocks.give(0), Given::Bytes(b""));
        assert_eq!(blocks.give(9), Given::Bytes(b"b"));
        assert_eq!(blocks.give(0), Given::End);
    }

    #[tokio::test]
    async fn what_is_there_already_is_there_at_once() {
        let (read, mut write) = io::pipe().expect("there are pipes");
        write.write_all(b"a").expect("there is room");
        drop(write);
        let mut blocks = Blocks::watched(&read).expect("it is a pipe");
        assert_eq!(blocks.give(9), Given::Bytes(b"a"));
        assert_eq!(blocks.give(9), Given::End);
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_refused() {
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let file = PipeReader::from(OwnedFd::from(file));
        assert!(Blocks::watched(&file).is_err());
    }
}
