//! The three standard streams, and the descriptors that stand for them.

use bytes::Bytes;
use propeller_model::Stream as Told;

use super::{Errno, Fail};
use crate::exit::Limit;
use crate::job::Job;
use crate::transcript::Transcript;

/// What may be read from standard input, and what was written to the others.
pub(super) struct Streams {
    /// Which stream a descriptor stands for. A guest may close and renumber them, and open no more.
    descriptors: [Option<Stream>; 3],
    stdin: Bytes,
    transcript: Transcript,
    bytes_max: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl Streams {
    pub(super) fn new(job: &Job) -> Self {
        let limits = &job.limits;
        let bytes_max = [limits.stdout_bytes, limits.stderr_bytes]
            .map(|bound| usize::try_from(bound.value).unwrap_or(usize::MAX));
        Self {
            descriptors: [Stream::Stdin, Stream::Stdout, Stream::Stderr].map(Some),
            stdin: job.stdin.clone(),
            transcript: job.transcript.clone(),
            bytes_max,
        }
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

    /// Up to `len` bytes of standard input; none at its end.
    pub(super) fn read(&mut self, len: u32) -> Result<Bytes, Errno> {
        if self.stdin.is_empty() {
            return Ok(Bytes::new());
        }
        match self.stdin.len().min(len as usize) {
            // There is more, and no room for it: as if interrupted, so that the guest asks again.
            0 => Err(Errno::Intr),
            len => Ok(self.stdin.split_to(len)),
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
