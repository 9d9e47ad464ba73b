//! A matrix of coefficients, ready to be multiplied with pieces.

use std::ops::Range;

use super::portable;
use super::simd::{Simd, Tables};

/// How much of all inputs together is worked on at once, in bytes: half of the second-level cache of
/// the smallest machines with AVX2, so that pass after pass finds its inputs there. Of 128 inputs it
/// is four steps of the longest kind.
pub(super) const BLOCK_LEN: usize = 128 * 1024;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Simd(Simd),
    Portable,
}

impl Kernel {
    /// What runs on this machine, fastest first; the portable one always does.
    pub(super) fn found() -> impl Iterator<Item = Self> {
        Simd::found().map(Self::Simd).chain([Self::Portable])
    }
}

/// `outputs × inputs` coefficients. Multiplied with `inputs` pieces they give `outputs` pieces.
#[derive(Debug)]
pub(super) struct Product {
    inputs: usize,
    outputs: usize,
    /// For the portable kernel, and for what is shorter than a step of the other.
    portable: Vec<u8>,
    simd: Option<(Simd, Tables)>,
}

impl Product {
    /// Takes a row of `inputs` coefficients for each output.
    pub(super) fn new(kernel: Kernel, rows: &[u8], inputs: usize) -> Self {
        let simd = match kernel {
            Kernel::Simd(simd) => {
                let tables = simd.tables(in_passes(rows, inputs, simd.rows_max()));
                Some((simd, tables))
            }
            Kernel::Portable => None,
        };
        Self {
            inputs,
            outputs: rows.len() / inputs,
            portable: in_passes(rows, inputs, portable::ROWS_MAX).collect(),
            simd,
        }
    }

    /// Computes every output from every input; all are equally long.
    pub(super) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert_eq!(inputs.len(), self.inputs, "an input for each column");
        assert_eq!(outputs.len(), self.outputs, "an output for each row");
        let len = inputs[0].len();
        for range in blocks(len, BLOCK_LEN / self.inputs) {
            match &self.simd {
                Some((simd, tables)) if simd.len_min() <= range.len() => {
                    passes(self.inputs, outputs, simd.rows_max(), |first, outputs| {
                        tables.apply(first, inputs, outputs, range.clone());
                    });
                }
                _ => passes(
                    self.inputs,
                    outputs,
                    portable::ROWS_MAX,
                    |first, outputs| {
                        portable::apply(&self.portable[first..], inputs, outputs, range.clone());
                    },
                ),
            }
        }
    }
}

/// Cuts a piece into blocks; the last one takes what is left over, so that none is short but an
/// only one.
fn blocks(len: usize, block_len: usize) -> impl Iterator<Item = Range<usize>> {
    let count = (len / block_len).max(1);
    (0..count).map(move |block| {
        let end = if block + 1 == count {
            len
        } else {
            (block + 1) * block_len
        };
        block * block_len..end
    })
}

/// Hands the rows of each pass to `pass`, with the place of their first coefficient.
fn passes(
    inputs: usize,
    outputs: &mut [&mut [u8]],
    rows_max: usize,
    mut pass: impl FnMut(usize, &mut [&mut [u8]]),
) {
    for (index, outputs) in outputs.chunks_mut(rows_max).enumerate() {
        pass(index * rows_max * inputs, outputs);
    }
}

/// The coefficients in the order of use: pass by pass, input by input, row by row.
fn in_passes(rows: &[u8], inputs: usize, rows_max: usize) -> impl Iterator<Item = u8> {
    rows.chunks(rows_max * inputs).flat_map(move |pass| {
        (0..inputs).flat_map(move |input| pass.iter().skip(input).step_by(inputs).copied())
    })
}
