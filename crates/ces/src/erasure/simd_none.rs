//! No vector instructions are known for this architecture: the portable code does everything.

use std::iter;
use std::ops::Range;

/// Instructions that this machine has: there are none, and so there is no value of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Simd(Never);

/// Coefficients as they want them.
#[derive(Debug)]
pub(super) struct Tables(Never);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Never {}

impl Simd {
    pub(super) fn found() -> impl Iterator<Item = Self> {
        iter::empty()
    }

    pub(super) fn rows_max(self) -> usize {
        match self.0 {}
    }

    pub(super) fn len_min(self) -> usize {
        match self.0 {}
    }

    pub(super) fn tables(self, _: impl Iterator<Item = u8>) -> Tables {
        match self.0 {}
    }
}

impl Tables {
    pub(super) fn apply(&self, _: usize, _: &[&[u8]], _: &mut [&mut [u8]], _: Range<usize>) {
        match self.0 {}
    }
}
