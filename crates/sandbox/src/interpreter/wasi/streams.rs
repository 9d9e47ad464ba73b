//! The three standard streams, and the descriptors that stand for them.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use propeller_model::Stream as Told;

use super::{Errno, Fail};
use crate::exit::Limit;
use crate::job::Job;
use crate::stdin::blocks::{Blocks, Given};
use crate::stdin::{Source, Stdin};
use crate::transcript::Transcript;

/// What may be read from standard input, and what was written to the others.
pub(super) struct Streams {
    /// Which stream a descriptor stands for. A guest may close and renumber them, and open no more.
    descriptors: [Option<Stream>; 3],
    stdin: Input,
    transcript: Transcript,
    bytes_max: [usize; 2],
}

/// Where standard input comes from.
enum Input {
    /// With how many of them were read.
    Bytes(Bytes, usize),
    Pipe(Blocks),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl Input {
    fn of(stdin: &Stdin) -> io::Result<Self> {
        Ok(match stdin.source() {
            Source::Bytes(bytes) => Self::Bytes(bytes.clone(), 0),
            Source::Pipe(pipe) => Self::Pipe(Blocks::watched(pipe)?),
            #[cfg(all(target_os = "linux", feature = "wasmtime"))]
            Source::Own => unreachable!("the process of a guest interprets nothing"),
        })
    }
}

impl Streams {
    pub(super) fn new(job: &Job) -> io::Result<Self> {
        let limits = &job.limits;
        let bytes_max = [limits.stdout_bytes, limits.stderr_bytes]
            .map(|bound| usize::try_from(bound.value).unwrap_or(usize::MAX));
        Ok(Self {
            descriptors: [Stream::Stdin, Stream::Stdout, Stream::Stderr].map(Some),
            stdin: Input::of(&job.stdin)?,
            transcript: job.transcript.clone(),
            bytes_max,
        })
    }

    /// How many descriptors are open.
    pub(super) fn open(&self) -> u64 {
        self.descriptors.iter().flatten().count() as u64
    }

    pub(super) fn get(&self, fd: u32) -> Result<Stream, Errno> {
        let slot = self.descriptors.get(fd as usize);
        slot.copied().flatten().ok_or(Errno::Badf)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.get(fd)?;
        self.descriptors[fd as usize] = None;
        Ok(())
    }

    /// Makes `to` stand for what `from` does, and `from` for nothing. Both have to be open.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        let stream = self.get(from)?;
        self.descriptors[from as usize] = None;
        self.descriptors[to as usize] = Some(stream);
        Ok(())
    }

    /// Up to `len` bytes of standard input; none at its end, and nothing while they are not there.
    pub(super) fn read(&mut self, len: u32) -> Result<Option<&[u8]>, Errno> {
        let len = len as usize;
        let read = match &mut self.stdin {
            Input::Bytes(bytes, at) => {
                let left = &bytes[*at..];
                let read = &left[..left.len().min(len)];
                *at += read.len();
                if left.is_empty() {
                    return Ok(Some(read));
                }
                read
            }
            Input::Pipe(pipe) => match pipe.give(len) {
                Given::Bytes(read) => read,
                Given::Later => return Ok(None),
                Given::End => return Ok(Some(&[])),
                Given::Failed(_) => return Err(Errno::Io),
            },
        };
        match read {
            // There is more, and no room for it: as if interrupted, so that the guest asks again.
            [] => Err(Errno::Intr),
            read => Ok(Some(read)),
        }
    }

    /// Whether a read of standard input has an answer.
    pub(super) fn stdin_is_there_now(&mut self) -> bool {
        match &mut self.stdin {
            Input::Bytes(..) => true,
            Input::Pipe(pipe) => pipe.give(0) != Given::Later,
        }
    }

    /// Waits until it has.
    pub(super) async fn stdin_is_there(&mut self) {
        if let Input::Pipe(pipe) = &mut self.stdin {
            poll_fn(|context| pipe.poll_ready(context)).await;
        }
    }

    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Fail> {
        let (told, limit, bytes_max) = match stream {
            Stream::Stdin => return Err(Errno::Badf.into()),
            Stream::Stdout => (Told::Stdout, Limit::Stdout, self.bytes_max[0]),
            Stream::Stderr => (Told::Stderr, Limit::Stderr, self.bytes_max[1]),
        };
        // Output that is cut without notice looks like a result.
        if self.transcript.append(told, bytes, bytes_max) < bytes.len() {
            return Err(Fail::Exceeded(limit));
        }
        Ok(())
    }
}
