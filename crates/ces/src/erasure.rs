//! The erasure code: `m` parity pieces for `k` data pieces, and any piece from any `k`.
//!
//! Systematic Reed–Solomon over GF(2⁸), as the section "Coding" of `docs/formats/ces.md` says. The
//! pieces of a segment are coded with buffers that the caller owns and uses again: encoding
//! allocates nothing.

mod field;
mod portable;
mod product;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(not(target_arch = "x86_64"))]
#[path = "erasure/simd_none.rs"]
mod simd;
#[cfg(test)]
mod tests;

use std::array;
use std::sync::{Arc, Mutex, PoisonError};

use crate::geometry::{Geometry, PIECES_EACH_MAX};
use product::{Kernel, Product};

/// The code of one geometry.
///
/// Threads share one: encoding changes nothing, and rebuilding only what it remembers.
#[derive(Debug)]
pub struct Code {
    geometry: Geometry,
    kernel: Kernel,
    parity: Product,
    /// The last rebuilding: a stream misses the same shards in every segment.
    last: Mutex<Option<Arc<Rebuilding>>>,
}

/// How some pieces come of others.
#[derive(Debug)]
struct Rebuilding {
    present: Vec<u8>,
    wanted: Vec<u8>,
    product: Product,
}

/// Why pieces cannot be coded. All of it is a mistake of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A buffer that does not hold the pieces it should.
    #[error("{pieces} pieces of {piece_len} bytes do not make a buffer of {got} bytes")]
    BufferLen {
        /// How many pieces it should hold.
        pieces: usize,
        /// Length of each of them, in bytes.
        piece_len: usize,
        /// Length of the buffer, in bytes.
        got: usize,
    },
    /// Not exactly as many pieces as it takes.
    #[error("rebuilding takes {needed} pieces, and {got} are there")]
    Count {
        /// How many it takes.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// A buffer too many or too few for what is to be rebuilt.
    #[error("{wanted} pieces are to be rebuilt into {buffers} buffers")]
    Buffers {
        /// How many pieces are to be rebuilt.
        wanted: usize,
        /// How many buffers there are.
        buffers: usize,
    },
    /// A piece that the code does not have.
    #[error("there is no piece {index}: the code has {pieces}, counted from 0")]
    Index {
        /// The index that was stated.
        index: usize,
        /// How many pieces the code has.
        pieces: u16,
    },
    /// One piece twice.
    #[error("piece {index} is there twice")]
    Twice {
        /// Its index.
        index: usize,
    },
    /// A piece or a buffer that is not as long as the first piece.
    #[error("piece {index} has {got} bytes, the first one {expected}")]
    PieceLen {
        /// Its index.
        index: usize,
        /// Length of the first piece, in bytes.
        expected: usize,
        /// Its own length, in bytes.
        got: usize,
    },
}

impl Code {
    /// Prepares the code with the fastest instructions of this machine.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        let kernel = Kernel::found().next();
        Self::with_kernel(
            geometry,
            kernel.expect("the portable kernel is always there"),
        )
    }

    fn with_kernel(geometry: Geometry, kernel: Kernel) -> Self {
        let data: Vec<u8> = (0..geometry.data()).collect();
        let parity: Vec<u8> = (0..geometry.parity())
            .map(|row| row + geometry.data())
            .collect();
        Self {
            geometry,
            kernel,
            parity: product(kernel, &data, &parity),
            last: Mutex::new(None),
        }
    }

    /// Computes all parity pieces of `data`, which holds the data pieces one after the other, as
    /// `parity` does the parity pieces.
    ///
    /// # Errors
    /// Fails if a buffer does not hold its pieces of `piece_len` bytes.
    pub fn encode(
        &self,
        data: &[u8],
        parity: &mut [u8],
        piece_len: usize,
    ) -> Result<(), CodeError> {
        let (data_count, parity_count) = (
            usize::from(self.geometry.data()),
            usize::from(self.geometry.parity()),
        );
        fits(data_count, piece_len, data.len())?;
        fits(parity_count, piece_len, parity.len())?;
        if piece_len == 0 || parity_count == 0 {
            return Ok(());
        }
        // On the stack: there is one encoding for each segment, and none allocates.
        let mut pieces = data.chunks_exact(piece_len);
        let inputs: [&[u8]; PIECES_EACH_MAX as usize] =
            array::from_fn(|_| pieces.next().unwrap_or_default());
        let mut pieces = parity.chunks_exact_mut(piece_len);
        let mut outputs: [&mut [u8]; PIECES_EACH_MAX as usize] =
            array::from_fn(|_| pieces.next().unwrap_or_default());
        self.parity
            .apply(&inputs[..data_count], &mut outputs[..parity_count]);
        Ok(())
    }

    /// Computes the pieces `wanted`, data or parity, into the buffers `out` in the same order, from
    /// exactly `k` pieces with their indices.
    ///
    /// # Errors
    /// Fails if there are more or fewer than `k` pieces, one twice, one that the code does not have,
    /// or lengths that differ.
    pub fn rebuild(
        &self,
        present: &[(usize, &[u8])],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodeError> {
        self.check(present, wanted, out)?;
        if wanted.is_empty() || present[0].1.is_empty() {
            return Ok(());
        }
        let mut pieces = present.iter().map(|&(_, piece)| piece);
        let inputs: [&[u8]; PIECES_EACH_MAX as usize] =
            array::from_fn(|_| pieces.next().unwrap_or_default());
        let indices = present.iter().map(|&(index, _)| index);
        let rebuilding = self.rebuilding(indices, wanted);
        rebuilding.product.apply(&inputs[..present.len()], out);
        Ok(())
    }

    fn check(
        &self,
        present: &[(usize, &[u8])],
        wanted: &[usize],
        out: &[&mut [u8]],
    ) -> Result<(), CodeError> {
        let needed = usize::from(self.geometry.data());
        if present.len() != needed {
            let got = present.len();
            return Err(CodeError::Count { needed, got });
        }
        if wanted.len() != out.len() {
            let (wanted, buffers) = (wanted.len(), out.len());
            return Err(CodeError::Buffers { wanted, buffers });
        }
        let pieces = self.geometry.pieces();
        let mut seen = [false; 2 * PIECES_EACH_MAX as usize];
        for &(index, _) in present {
            if index >= usize::from(pieces) {
                return Err(CodeError::Index { index, pieces });
            }
            if std::mem::replace(&mut seen[index], true) {
                return Err(CodeError::Twice { index });
            }
        }
        if let Some(&index) = wanted.iter().find(|index| **index >= usize::from(pieces)) {
            return Err(CodeError::Index { index, pieces });
        }
        let expected = present[0].1.len();
        let there = present.iter().map(|&(index, piece)| (index, piece.len()));
        let rebuilt = wanted
            .iter()
            .zip(out)
            .map(|(&index, out)| (index, out.len()));
        match there.chain(rebuilt).find(|&(_, len)| len != expected) {
            Some((index, got)) => Err(CodeError::PieceLen {
                index,
                expected,
                got,
            }),
            None => Ok(()),
        }
    }

    /// The rebuilding of `wanted` from `present`: the last one if it is the same.
    fn rebuilding(
        &self,
        present: impl Iterator<Item = usize> + Clone,
        wanted: &[usize],
    ) -> Arc<Rebuilding> {
        // What a panicking thread leaves behind is a whole rebuilding or none.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if last.is_of(present.clone(), wanted) => Arc::clone(last),
            _ => {
                let new = Arc::new(Rebuilding::new(self.kernel, present, wanted));
                *last = Some(Arc::clone(&new));
                new
            }
        }
    }
}

impl Rebuilding {
    fn new(kernel: Kernel, present: impl Iterator<Item = usize>, wanted: &[usize]) -> Self {
        let point = |index| u8::try_from(index).expect("indices are below 256");
        let present: Vec<u8> = present.map(point).collect();
        let wanted: Vec<u8> = wanted.iter().copied().map(point).collect();
        Self {
            product: product(kernel, &present, &wanted),
            present,
            wanted,
        }
    }

    fn is_of(&self, present: impl Iterator<Item = usize>, wanted: &[usize]) -> bool {
        let there = self.present.iter().copied().map(usize::from);
        let rebuilt = self.wanted.iter().copied().map(usize::from);
        there.eq(present) && rebuilt.eq(wanted.iter().copied())
    }
}

fn product(kernel: Kernel, known: &[u8], wanted: &[u8]) -> Product {
    Product::new(kernel, &field::coefficients(known, wanted), known.len())
}

fn fits(pieces: usize, piece_len: usize, got: usize) -> Result<(), CodeError> {
    match pieces.checked_mul(piece_len) {
        Some(len) if len == got => Ok(()),
        _ => Err(CodeError::BufferLen {
            pieces,
            piece_len,
            got,
        }),
    }
}
