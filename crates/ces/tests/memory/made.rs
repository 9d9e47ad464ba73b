//! Plaintext that is made where it is needed, and looked at where it comes out.

use std::io::{self, Read, Write};

use crate::peak::MIB;

/// What is made from one place of a table: segments of an object, so that nothing repeats in one.
const STRETCH_LEN: u64 = MIB;
/// How often a stretch says where it is, in bytes: bytes of another place are no mistake of a test.
const BLOCK_LEN: u64 = 32 * 1024;
/// One stretch out of so many compresses: few, because zstd takes longer than everything else.
const TEXT_EVERY: u64 = 8;
/// What stretches are taken from, in bytes, and one stretch more.
const TABLE_LEN: u64 = 4 * MIB;

/// Bytes at any place: most do not compress, some do, and no two blocks are the same.
#[derive(Debug)]
pub(crate) struct Made {
    noise: Vec<u8>,
    text: Vec<u8>,
}

impl Made {
    pub(crate) fn new() -> Self {
        let len = usize::try_from(TABLE_LEN + STRETCH_LEN).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut noise = vec![0; len];
        rng.fill(&mut noise);
        let mut text = String::with_capacity(len + 64);
        while text.len() < len {
            text += &format!("line {} of the log, all is well\n", rng.u32(..));
        }
        Self {
            noise,
            text: text.into_bytes(),
        }
    }

    /// Makes bytes at `at` and as many of `buf` as are in one block, and says how many.
    fn fill(&self, at: u64, buf: &mut [u8]) -> usize {
        let (stretch, inside) = (at / STRETCH_LEN, at % STRETCH_LEN);
        let table = match stretch.is_multiple_of(TEXT_EVERY) {
            true => &self.text,
            false => &self.noise,
        };
        // A multiplication mixes enough for neighbours to begin far from each other.
        let begins = stretch.wrapping_mul(0x9e37_79b9_7f4a_7c15) % TABLE_LEN;
        let from = usize::try_from(begins + inside).unwrap();
        let in_block = at % BLOCK_LEN;
        let rest = usize::try_from(BLOCK_LEN - in_block).unwrap();
        let len = buf.len().min(rest);
        buf[..len].copy_from_slice(&table[from..from + len]);
        let stamp = (at / BLOCK_LEN).to_le_bytes();
        let stamp = stamp.get(usize::try_from(in_block).unwrap()..);
        for (byte, stamped) in buf[..len].iter_mut().zip(stamp.unwrap_or_default()) {
            *byte = *stamped;
        }
        len
    }

    /// The first `len` bytes.
    pub(crate) fn reader(&self, len: u64) -> impl Read {
        Reader {
            made: self,
            at: 0,
            len,
        }
    }

    /// Takes these bytes from `at` on, and no others.
    pub(crate) fn expected(&self, at: u64) -> Expected<'_> {
        let block = vec![0; usize::try_from(BLOCK_LEN).unwrap()];
        Expected {
            made: self,
            at,
            block,
        }
    }
}

struct Reader<'a> {
    made: &'a Made,
    at: u64,
    len: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let len = buf.len().min(rest);
        let len = self.made.fill(self.at, &mut buf[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

/// What comes out of an object, held against what went in.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    made: &'a Made,
    at: u64,
    block: Vec<u8>,
}

impl Expected<'_> {
    /// Up to where everything was as it should be.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }
}

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.block.len());
        let len = self.made.fill(self.at, &mut self.block[..len]);
        assert!(bytes[..len] == self.block[..len], "at byte {}", self.at);
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
