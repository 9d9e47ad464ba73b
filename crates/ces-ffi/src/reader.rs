//! Reads an object in places, and keeps the segment that was read last.

use std::ops::Range;

use propeller_ces::{Audit, KeyRing, Object, ReadAt, Threads, Wanted};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// An object that is open.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    object: Object<S>,
    threads: Threads,
    /// Where the kept plaintext begins, and the plaintext: many small reads open a segment once.
    kept_from: u64,
    kept: Zeroizing<Vec<u8>>,
}

impl<S: ReadAt> Reader<S> {
    pub(crate) fn open(
        shards: Vec<S>,
        keys: &KeyRing,
        wanted: Wanted,
        threads: Threads,
        audit: Audit<'_>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            object: Object::open(shards, keys, wanted, audit)?,
            threads,
            kept_from: 0,
            kept: Zeroizing::new(Vec::new()),
        })
    }

    pub(crate) fn object(&self) -> &Object<S> {
        &self.object
    }

    /// Writes the whole plaintext, and says at its end whether it is whole.
    pub(crate) fn read_all(&mut self, mut out: impl std::io::Write) -> Result<(), Failure> {
        let threads = self.threads;
        Ok(self.object.read_to(&mut out, threads, &mut |_| ())?)
    }

    /// Writes a part of the plaintext.
    pub(crate) fn read_range(
        &mut self,
        range: Range<u64>,
        mut out: impl std::io::Write,
    ) -> Result<(), Failure> {
        let threads = self.threads;
        Ok(self
            .object
            .read_range(range, &mut out, threads, &mut |_| ())?)
    }

    /// Fills `buffer` with the plaintext from `offset` on.
    pub(crate) fn read_at(&mut self, mut buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        let size = u64::from(self.object.header().segment_size.bytes());
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.object.plain_len() {
            // It fails, and says what there is.
            return self.read_range(offset..end, &mut buffer);
        }
        let mut at = offset;
        while !buffer.is_empty() {
            let whole = end / size * size;
            if at.is_multiple_of(size) && at < whole && !self.keeps(at) {
                let len = usize::try_from(whole - at).expect("it is part of a buffer");
                let (now, rest) = buffer.split_at_mut(len);
                self.read_range(at..whole, &mut *now)?;
                (buffer, at) = (rest, whole);
                continue;
            }
            self.keep(at / size * size, size)?;
            let from = usize::try_from(at - self.kept_from).expect("it is inside a segment");
            let len = (self.kept.len() - from).min(buffer.len());
            let (now, rest) = buffer.split_at_mut(len);
            now.copy_from_slice(&self.kept[from..from + len]);
            buffer = rest;
            at += len as u64;
        }
        Ok(())
    }

    fn keeps(&self, at: u64) -> bool {
        let end = self.kept_from + self.kept.len() as u64;
        (self.kept_from..end).contains(&at)
    }

    /// Reads the segment that begins at `from`, unless it is the one that is kept.
    fn keep(&mut self, from: u64, size: u64) -> Result<(), Failure> {
        if self.keeps(from) {
            return Ok(());
        }
        let end = self.object.plain_len().min(from + size);
        // Nothing is kept if reading fails half-way.
        let mut segment = Zeroizing::new(std::mem::take(&mut *self.kept));
        segment.clear();
        segment.reserve_exact(usize::try_from(size).expect("a segment is at most 8 MiB"));
        self.read_range(from..end, &mut *segment)?;
        self.kept_from = from;
        self.kept = segment;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use propeller_ces::{Geometry, Key, Options, SegmentSize, Watch, encode};

    use super::*;
    use crate::failure::Status;

    struct Counted<'a>(&'a [u8], &'a Cell<u64>);

    impl ReadAt for Counted<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.set(self.1.get() + buffer.len() as u64);
            self.0.read_at(buffer, offset)
        }

        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
    }

    #[test]
    fn whatever_is_asked_for_is_what_stands_there() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut plain = vec![0; 4 * 65_536 + 100];
        rng.fill(&mut plain);
        let options = Options {
            geometry: Geometry::new(2, 1).unwrap(),
            segment_size: SegmentSize::MIN,
            ..Options::new()
        };
        let key = Key::from_bytes([7; 32]);
        let mut shards = vec![Vec::new(); 3];
        let watch = Watch {
            audit: Audit::none(),
            progress: &mut |_| (),
        };
        encode(&*plain, shards.iter_mut().collect(), &key, &options, watch).unwrap();
        let read = Cell::new(0);
        let sources = shards.iter().map(|shard| Counted(shard, &read)).collect();
        let wanted = Wanted::default();
        let keys = KeyRing::new(key);
        let mut reader = Reader::open(sources, &keys, wanted, Threads::ONE, Audit::none()).unwrap();
        for _ in 0..200 {
            let from = rng.usize(..=plain.len());
            let len = rng.usize(..=plain.len() - from);
            let mut buffer = vec![0; len];
            reader.read_at(&mut buffer, from as u64).unwrap();
            assert!(buffer == plain[from..from + len], "{from} {len}");
        }
        let mut byte = [0];
        read.set(0);
        for at in 65_536..65_536 + 1000 {
            reader.read_at(&mut byte, at).unwrap();
        }
        assert!(read.get() < 2 * 65_536, "{} bytes", read.get());
        let failure = reader.read_at(&mut byte, plain.len() as u64).unwrap_err();
        assert_eq!(failure.status, Status::Range);
        let failure = reader.read_at(&mut byte, u64::MAX).unwrap_err();
        assert_eq!(failure.status, Status::Range);
    }
}
