//! What a guest has printed so far, readable while it runs.
//!
//! The guest's side appends and never waits for a reader; a reader asks for what stands at an offset
//! and learns where the answer begins. Offsets count from the first byte that was ever printed, so
//! that a reader who comes too late sees exactly how much it has missed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use propeller_model::Stream;

/// The output of one job. Clones are the same transcript.
#[derive(Clone)]
pub struct Transcript(Arc<Shared>);

struct Shared {
    keeps: Keeps,
    streams: [Mutex<Printed>; 2],
}

/// What becomes of output that is more than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It ends the guest: output that is cut without notice looks like a result.
    All,
    /// The oldest of it goes. The limit is how much is kept.
    Tail,
}

#[derive(Default)]
struct Printed {
    kept: VecDeque<u8>,
    /// Bytes that stood before `kept`.
    gone: u64,
    /// It was handed over with the end of the guest.
    taken: bool,
}

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins: later than asked for if that is not kept any more.
    pub offset: u64,
    /// What stands there.
    pub bytes: Vec<u8>,
    /// How much has been printed in all.
    pub printed: u64,
}

impl Transcript {
    /// For a job that is run once: it keeps everything, and a guest that prints more than it may is
    /// ended. This is the default.
    #[must_use]
    pub fn whole() -> Self {
        Self::new(Keeps::All)
    }

    /// For a job without an end, or one that is run again and again: it keeps the last bytes of each
    /// stream, as many as the limit of that stream, and nobody is ended for printing.
    #[must_use]
    pub fn tail() -> Self {
        Self::new(Keeps::Tail)
    }

    fn new(keeps: Keeps) -> Self {
        Self(Arc::new(Shared {
            keeps,
            streams: Default::default(),
        }))
    }

    /// At most `len_max` bytes of a stream that stand at `from` or after it. `None` once the job has
    /// ended and its [`Exit`](crate::Exit) has the rest.
    #[must_use]
    pub fn read(&self, stream: Stream, from: u64, len_max: usize) -> Option<Piece> {
        let printed = self.lock(stream);
        if printed.taken {
            return None;
        }
        let end = printed.end();
        let offset = from.clamp(printed.gone, end);
        let len = printed.kept.len();
        let first = usize::try_from(offset - printed.gone).map_or(len, |first| first.min(len));
        let last = first.saturating_add(len_max).min(len);
        Some(Piece {
            offset,
            bytes: printed.kept.range(first..last).copied().collect(),
            printed: end,
        })
    }

    /// How many bytes of a stream came before those that are kept.
    #[must_use]
    pub fn gone(&self, stream: Stream) -> u64 {
        self.lock(stream).gone
    }

    #[cfg(feature = "wasmtime")]
    pub(crate) fn keeps(&self) -> Keeps {
        self.0.keeps
    }

    /// For a runtime: appends what fits, and says how much that was. Less than all ends the guest.
    #[must_use]
    pub fn append(&self, stream: Stream, bytes: &[u8], bytes_max: usize) -> usize {
        let mut printed = self.lock(stream);
        match self.0.keeps {
            Keeps::All => {
                let room = bytes_max.saturating_sub(printed.kept.len());
                let fits = bytes.len().min(room);
                printed.kept.extend(&bytes[..fits]);
                fits
            }
            Keeps::Tail => {
                printed.push(bytes, bytes_max);
                bytes.len()
            }
        }
    }

    /// For a runtime: what is kept, for the end of a guest. From a whole transcript it is taken, not copied; a tail
    /// goes on.
    #[must_use]
    pub fn take(&self, stream: Stream) -> Vec<u8> {
        self.end(stream).0
    }

    /// As [`take`](Self::take), and how many bytes have been printed in all.
    pub(crate) fn end(&self, stream: Stream) -> (Vec<u8>, u64) {
        let mut printed = self.lock(stream);
        let all = printed.end();
        let kept = match self.0.keeps {
            Keeps::All => {
                printed.taken = true;
                std::mem::take(&mut printed.kept).into()
            }
            Keeps::Tail => printed.kept.iter().copied().collect(),
        };
        (kept, all)
    }

    /// How many bytes other runs have printed: none, if there is only one.
    #[cfg(feature = "wasmtime")]
    pub(crate) fn printed_before(&self, stream: Stream) -> u64 {
        match self.0.keeps {
            Keeps::All => 0,
            Keeps::Tail => self.lock(stream).end(),
        }
    }

    fn lock(&self, stream: Stream) -> MutexGuard<'_, Printed> {
        let printed = self.0.streams[stream.index()].lock();
        printed.expect("copying bytes does not panic")
    }
}

impl Printed {
    fn end(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    /// Appends, and lets the oldest go that is more than `bytes_max`.
    fn push(&mut self, bytes: &[u8], bytes_max: usize) {
        let skip = bytes.len().saturating_sub(bytes_max);
        let rest = &bytes[skip..];
        let over = (self.kept.len() + rest.len()).saturating_sub(bytes_max);
        self.kept.drain(..over);
        self.kept.extend(rest);
        self.gone += (over + skip) as u64;
    }
}

impl Default for Transcript {
    fn default() -> Self {
        Self::whole()
    }
}

impl fmt::Debug for Transcript {
    /// How much, and nothing of what: output is the owner's of the task alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript")
            .field("keeps", &self.0.keeps)
            .field("stdout", &self.lock(Stream::Stdout).end())
            .field("stderr", &self.lock(Stream::Stderr).end())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Stream = Stream::Stdout;

    fn piece(offset: u64, bytes: &[u8], printed: u64) -> Option<Piece> {
        Some(Piece {
            offset,
            bytes: bytes.to_vec(),
            printed,
        })
    }

    #[test]
    fn a_whole_transcript_keeps_what_fits_and_says_that_it_was_not_all() {
        let whole = Transcript::whole();
        assert_eq!(whole.append(OUT, b"abc", 5), 3);
        assert_eq!(whole.append(OUT, b"def", 5), 2);
        assert_eq!(whole.append(OUT, b"g", 5), 0);
        assert_eq!(whole.read(OUT, 0, 100), piece(0, b"abcde", 5));
        assert_eq!(whole.read(Stream::Stderr, 0, 100), piece(0, b"", 0));
    }

    #[test]
    fn a_reader_reads_from_where_it_stands_and_no_more_than_it_wants() {
        let whole = Transcript::whole();
        assert_eq!(whole.append(OUT, b"abcdef", 10), 6);
        assert_eq!(whole.read(OUT, 2, 3), piece(2, b"cde", 6));
        assert_eq!(whole.read(OUT, 6, 3), piece(6, b"", 6));
        assert_eq!(whole.read(OUT, 99, 3), piece(6, b"", 6));
        assert_eq!(whole.take(OUT), b"abcdef");
        assert_eq!(whole.read(OUT, 0, 3), None);
    }

    #[test]
    fn a_tail_lets_the_oldest_go_and_says_how_much() {
        let tail = Transcript::tail();
        for bytes in [&b"abc"[..], b"de", b"", b"fghijkl", b"m"] {
            assert_eq!(tail.append(OUT, bytes, 4), bytes.len());
        }
        assert_eq!(tail.read(OUT, 0, 100), piece(9, b"jklm", 13));
        assert_eq!(tail.read(OUT, 11, 100), piece(11, b"lm", 13));
        assert_eq!((tail.gone(OUT), tail.take(OUT)), (9, b"jklm".to_vec()));
        assert_eq!(tail.append(OUT, b"n", 4), 1);
        assert_eq!(tail.read(OUT, 13, 100), piece(13, b"n", 14));
        assert_eq!(tail.append(OUT, b"xyz", 0), 3);
        assert_eq!(tail.read(OUT, 0, 100), piece(17, b"", 17));
    }

    #[test]
    fn nothing_of_the_output_is_printed_for_debugging() {
        let whole = Transcript::whole();
        assert_eq!(whole.append(OUT, b"secret", 10), 6);
        assert!(!format!("{whole:?}").contains("secret"));
    }
}
