//! Products of coefficients and pieces on any machine.
//!
//! Doubling a byte is a shift and an exclusive or, and a product is the sum of those doublings that
//! the coefficient has bits for. Written over arrays whose lengths are known, the compiler makes
//! vectors of it, whatever the machine's look like: twice as fast as looking products up.

use std::ops::Range;

use super::field::REDUCTION;

/// Bytes that are worked on at once: with less the loops are not made into vectors of full length.
const CHUNK_LEN: usize = 64;

/// Rows in one pass over the inputs; each doubling serves all of them.
pub(super) const ROWS_MAX: usize = 4;

/// Computes `range` of the rows `outputs`; for each input `coefficients` has one for each of them.
///
/// # Panics
/// If the range is longer than an input or output, or if there are more outputs than a pass has
/// rows, or fewer coefficients than it needs.
pub(super) fn apply(
    coefficients: &[u8],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
    range: Range<usize>,
) {
    macro_rules! pass {
        ($($rows:literal),+) => {
            match outputs.len() {
                $($rows => {
                    let columns = coefficients.as_chunks::<$rows>().0;
                    let outputs = outputs.try_into().expect("the length is matched");
                    pass::<$rows>(columns, inputs, outputs, range);
                })+
                rows => panic!("{rows} rows in a pass"),
            }
        };
    }
    pass!(1, 2, 3, 4);
}

fn pass<const ROWS: usize>(
    columns: &[[u8; ROWS]],
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]; ROWS],
    range: Range<usize>,
) {
    assert!(inputs.len() <= columns.len(), "a column for each input");
    for at in range.clone().step_by(CHUNK_LEN) {
        let len = CHUNK_LEN.min(range.end - at);
        let mut sums = [[0; CHUNK_LEN]; ROWS];
        for (column, input) in columns.iter().zip(inputs) {
            let mut factor = [0; CHUNK_LEN];
            factor[..len].copy_from_slice(&input[at..at + len]);
            add(&mut sums, factor, column);
        }
        for (output, sum) in outputs.iter_mut().zip(&sums) {
            output[at..at + len].copy_from_slice(&sum[..len]);
        }
    }
}

/// Adds the product of `factor` and each coefficient of `column` to the sum of that row.
#[inline]
fn add<const ROWS: usize>(
    sums: &mut [[u8; CHUNK_LEN]; ROWS],
    mut factor: [u8; CHUNK_LEN],
    column: &[u8; ROWS],
) {
    for bit in 0..8 {
        for (sum, coefficient) in sums.iter_mut().zip(column) {
            let mask = (coefficient >> bit & 1).wrapping_neg();
            for (sum, byte) in sum.iter_mut().zip(&factor) {
                *sum ^= byte & mask;
            }
        }
        for byte in &mut factor {
            *byte = (*byte << 1) ^ ((*byte >> 7).wrapping_neg() & REDUCTION);
        }
    }
}
