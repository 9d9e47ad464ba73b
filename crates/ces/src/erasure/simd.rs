//! Products of coefficients and pieces with the vector instructions of x86-64.
//!
//! All `unsafe` of this crate is here, and it is of three kinds: a load from an array as long as the
//! vector, a store to one, and a call of a function whose instructions the machine has. Everything
//! between is safe code with its bounds checked once per vector or group of vectors. What comes out
//! is bit for bit what `portable.rs` computes; the tests hold all of them against each other.

#![allow(
    unsafe_code,
    reason = "vectors are loaded and stored through pointers, and only the caller knows the machine"
)]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256,
    _mm256_xor_si256, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512, _mm512_xor_si512,
};
use std::array;
use std::ops::Range;

use super::field::multiply;

/// Instructions that this machine has: the only way to one is [`Simd::found`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Simd(Instructions);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    /// GFNI on vectors of 64 bytes.
    Gfni512,
    /// GFNI on vectors of 32 bytes.
    Gfni256,
    /// Two look-ups by half a byte, on vectors of 32 bytes.
    Avx2,
}

/// The products of a coefficient with the 16 low halves of a byte, and with the 16 high ones.
type Halves = [[u8; 16]; 2];

/// Coefficients as the instructions want them, for the rows of one pass after those of another.
#[derive(Debug)]
pub(super) struct Tables {
    simd: Simd,
    /// For GFNI: the matrix of each multiplication, whose rows are the bytes of the word.
    matrices: Vec<u64>,
    /// For AVX2.
    halves: Vec<Halves>,
}

impl Simd {
    /// What this machine has, fastest first.
    pub(super) fn found() -> impl Iterator<Item = Self> {
        let avx2 = is_x86_feature_detected!("avx2");
        let gfni = avx2 && is_x86_feature_detected!("gfni");
        let gfni512 = gfni && is_x86_feature_detected!("avx512f");
        [
            (gfni512, Instructions::Gfni512),
            (gfni, Instructions::Gfni256),
            (avx2, Instructions::Avx2),
        ]
        .into_iter()
        .filter_map(|(found, instructions)| found.then_some(Self(instructions)))
    }

    /// How many rows are computed in one pass over the inputs: as many sums as there are registers.
    pub(super) fn rows_max(self) -> usize {
        match self.0 {
            Instructions::Gfni512 => 8,
            Instructions::Gfni256 | Instructions::Avx2 => 4,
        }
    }

    /// The shortest range that can be computed, in bytes: what one step takes.
    pub(super) fn len_min(self) -> usize {
        match self.0 {
            Instructions::Gfni512 => 4 * 64,
            Instructions::Gfni256 | Instructions::Avx2 => 2 * 32,
        }
    }

    /// Tables for the coefficients in the order in which they are used.
    pub(super) fn tables(self, coefficients: impl Iterator<Item = u8>) -> Tables {
        let (matrices, halves) = match self.0 {
            Instructions::Gfni512 | Instructions::Gfni256 => {
                (coefficients.map(matrix).collect(), Vec::new())
            }
            Instructions::Avx2 => (Vec::new(), coefficients.map(halves).collect()),
        };
        Tables {
            simd: self,
            matrices,
            halves,
        }
    }
}

/// Multiplication by `coefficient` as a matrix of bits: bit `i` of the product is the parity of the
/// factor and of byte `7 − i`.
fn matrix(coefficient: u8) -> u64 {
    let columns: [u8; 8] = array::from_fn(|bit| multiply(coefficient, 1 << bit));
    let row = |bit: usize| {
        let bits = columns.iter().enumerate();
        bits.fold(0, |row, (at, column)| row | (column >> bit & 1) << at)
    };
    u64::from_be_bytes(array::from_fn(row))
}

fn halves(coefficient: u8) -> Halves {
    let mut halves = Halves::default();
    let [lows, highs] = &mut halves;
    for (half, (low, high)) in (0..16).zip(lows.iter_mut().zip(highs)) {
        *low = multiply(coefficient, half);
        *high = multiply(coefficient, half << 4);
    }
    halves
}

impl Tables {
    /// Computes `range` of the rows `outputs`, whose coefficients begin at `first` of the tables.
    ///
    /// # Panics
    /// If the range is shorter than a step or longer than an input or output, or if there are more
    /// outputs than a pass has rows, or fewer coefficients than it needs.
    pub(super) fn apply(
        &self,
        first: usize,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        range: Range<usize>,
    ) {
        macro_rules! pass {
            ($kernel:ident, $tables:expr, $($rows:literal by $vectors:literal),+) => {
                match outputs.len() {
                    $($rows => {
                        let columns = $tables[first..].as_chunks::<$rows>().0;
                        let outputs = outputs.try_into().expect("the length is matched");
                        // SAFETY: `simd` comes from `found`, which has detected the instructions
                        // that this arm's kernel uses.
                        unsafe { $kernel::<$rows, $vectors>(columns, inputs, outputs, range) }
                    })+
                    rows => panic!("{rows} rows in a pass"),
                }
            };
        }
        // With 32 registers, 16 hold sums; with 16, 8.
        match self.simd.0 {
            Instructions::Gfni512 => pass!(
                gfni_512, self.matrices,
                1 by 4, 2 by 4, 3 by 4, 4 by 4, 5 by 2, 6 by 2, 7 by 2, 8 by 2
            ),
            Instructions::Gfni256 => {
                pass!(gfni_256, self.matrices, 1 by 2, 2 by 2, 3 by 2, 4 by 2);
            }
            Instructions::Avx2 => pass!(avx2, self.halves, 1 by 2, 2 by 2, 3 by 2, 4 by 2),
        }
    }
}

/// Where steps begin. The last one ends where the range does, and may do again what was done: each
/// output depends on inputs alone.
fn steps(range: Range<usize>, len: usize) -> impl Iterator<Item = usize> {
    assert!(len <= range.len(), "a range is at least one step long");
    let last = range.end - len;
    (0..range.len().div_ceil(len)).map(move |step| last.min(range.start + step * len))
}

#[target_feature(enable = "gfni,avx512f")]
fn gfni_512<const ROWS: usize, const VECTORS: usize>(
    columns: &[[u64; ROWS]],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]; ROWS],
    range: Range<usize>,
) {
    assert!(inputs.len() <= columns.len(), "a column for each input");
    for at in steps(range, VECTORS * 64) {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; ROWS];
        for (column, input) in columns.iter().zip(inputs) {
            let (chunks, _) = input[at..at + VECTORS * 64].as_chunks();
            let mut factors = [_mm512_setzero_si512(); VECTORS];
            for (factor, chunk) in factors.iter_mut().zip(chunks) {
                *factor = load_512(chunk);
            }
            for (sums, &matrix) in sums.iter_mut().zip(column) {
                let matrix = _mm512_set1_epi64(matrix.cast_signed());
                for (sum, &factor) in sums.iter_mut().zip(&factors) {
                    let product = _mm512_gf2p8affine_epi64_epi8::<0>(factor, matrix);
                    *sum = _mm512_xor_si512(*sum, product);
                }
            }
        }
        for (output, sums) in outputs.iter_mut().zip(&sums) {
            let (chunks, _) = output[at..at + VECTORS * 64].as_chunks_mut();
            for (chunk, &sum) in chunks.iter_mut().zip(sums) {
                store_512(chunk, sum);
            }
        }
    }
}

#[target_feature(enable = "gfni,avx2")]
fn gfni_256<const ROWS: usize, const VECTORS: usize>(
    columns: &[[u64; ROWS]],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]; ROWS],
    range: Range<usize>,
) {
    assert!(inputs.len() <= columns.len(), "a column for each input");
    for at in steps(range, VECTORS * 32) {
        let mut sums = [[_mm256_setzero_si256(); VECTORS]; ROWS];
        for (column, input) in columns.iter().zip(inputs) {
            let (chunks, _) = input[at..at + VECTORS * 32].as_chunks();
            let mut factors = [_mm256_setzero_si256(); VECTORS];
            for (factor, chunk) in factors.iter_mut().zip(chunks) {
                *factor = load_256(chunk);
            }
            for (sums, &matrix) in sums.iter_mut().zip(column) {
                let matrix = _mm256_set1_epi64x(matrix.cast_signed());
                for (sum, &factor) in sums.iter_mut().zip(&factors) {
                    let product = _mm256_gf2p8affine_epi64_epi8::<0>(factor, matrix);
                    *sum = _mm256_xor_si256(*sum, product);
                }
            }
        }
        store_rows(outputs, &sums, at);
    }
}

#[target_feature(enable = "avx2")]
fn avx2<const ROWS: usize, const VECTORS: usize>(
    columns: &[[Halves; ROWS]],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]; ROWS],
    range: Range<usize>,
) {
    assert!(inputs.len() <= columns.len(), "a column for each input");
    let half = _mm256_set1_epi8(0x0f);
    for at in steps(range, VECTORS * 32) {
        let mut sums = [[_mm256_setzero_si256(); VECTORS]; ROWS];
        for (column, input) in columns.iter().zip(inputs) {
            let (chunks, _) = input[at..at + VECTORS * 32].as_chunks();
            let mut factors = [[_mm256_setzero_si256(); 2]; VECTORS];
            for (factor, chunk) in factors.iter_mut().zip(chunks) {
                let bytes = load_256(chunk);
                let high = _mm256_srli_epi64::<4>(bytes);
                *factor = [_mm256_and_si256(bytes, half), _mm256_and_si256(high, half)];
            }
            for (sums, tables) in sums.iter_mut().zip(column) {
                let (lows, highs) = load_halves(tables);
                for (sum, &[low, high]) in sums.iter_mut().zip(&factors) {
                    let low = _mm256_shuffle_epi8(lows, low);
                    let high = _mm256_shuffle_epi8(highs, high);
                    *sum = _mm256_xor_si256(*sum, _mm256_xor_si256(low, high));
                }
            }
        }
        store_rows(outputs, &sums, at);
    }
}

#[target_feature(enable = "avx2")]
fn store_rows<const ROWS: usize, const VECTORS: usize>(
    outputs: &mut [&mut [u8]; ROWS],
    sums: &[[__m256i; VECTORS]; ROWS],
    at: usize,
) {
    for (output, sums) in outputs.iter_mut().zip(sums) {
        let (chunks, _) = output[at..at + VECTORS * 32].as_chunks_mut();
        for (chunk, &sum) in chunks.iter_mut().zip(sums) {
            store_256(chunk, sum);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load_512(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the pointer is to 64 bytes, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store_512(bytes: &mut [u8; 64], vector: __m512i) {
    // SAFETY: the pointer is to 64 bytes, and the instruction needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the pointer is to 32 bytes, and the instruction needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store_256(bytes: &mut [u8; 32], vector: __m256i) {
    // SAFETY: the pointer is to 32 bytes, and the instruction needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// Both tables, each in the lower and in the upper half of a vector.
#[target_feature(enable = "avx2")]
fn load_halves([lows, highs]: &Halves) -> (__m256i, __m256i) {
    // SAFETY: both pointers are to 16 bytes, and the instruction needs no alignment.
    let (lows, highs) = unsafe {
        (
            _mm_loadu_si128(lows.as_ptr().cast()),
            _mm_loadu_si128(highs.as_ptr().cast()),
        )
    };
    (
        _mm256_broadcastsi128_si256(lows),
        _mm256_broadcastsi128_si256(highs),
    )
}
