//! Shards on their way, and what is kept of them: files with holes, in which everything stands where
//! it does in the whole shard.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use propeller_ces::Geometry;

use crate::pipes::{Front, Pipe};

/// Below that, in bytes, it is a header, an index block or a trailer: all of them are kept. What
/// compresses best here has pieces that are twice as long.
const SMALL: usize = 8 * 1024;
/// What is kept before and behind every 4 GiB of a shard, in bytes.
const AROUND: u64 = 512 * 1024;
const GIB_4: u64 = 1 << 32;

/// A segment that is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    /// Where it begins in every shard.
    pub(crate) offset: u64,
}

/// Takes one shard of an object of `segments` segments.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pipe: &'a Pipe,
    front: &'a Front,
    file: &'a File,
    geometry: Geometry,
    segments: u64,
    /// How many segments began.
    begun: u64,
    offset: u64,
    pub(crate) kept: Vec<Kept>,
    keeps: bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        pipe: &'a Pipe,
        front: &'a Front,
        file: &'a File,
        (geometry, segments): (Geometry, u64),
    ) -> Self {
        Self {
            pipe,
            front,
            file,
            geometry,
            segments,
            begun: 0,
            offset: 0,
            kept: Vec::new(),
            keeps: true,
        }
    }

    /// Whether the bytes that come are kept. What stands before a piece tells that a segment begins.
    fn keeps(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() == self.geometry.head_len() {
            let number = self.begun;
            self.begun += 1;
            self.keeps = self.is_wanted(number);
            if self.keeps {
                let offset = self.offset;
                self.kept.push(Kept { number, offset });
            }
            return self.keeps;
        }
        self.keeps || bytes.len() < SMALL
    }

    /// The first, the last, and those around 4 GiB of plaintext and around every 4 GiB of a shard.
    fn is_wanted(&self, number: u64) -> bool {
        let past = self.offset % GIB_4;
        let is_around = past < AROUND && self.offset > GIB_4 || past > GIB_4 - AROUND;
        number == 0 || number + 2 >= self.segments || (4095..=4097).contains(&number) || is_around
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.keeps(bytes) {
            self.file.write_all_at(bytes, self.offset)?;
        }
        self.pipe.write(bytes, self.front)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whatever comes of a writer, nobody waits for it when it is gone.
impl Drop for Sink<'_> {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
