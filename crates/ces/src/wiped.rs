//! Large buffers of plaintext.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::optimization_barrier;

/// Bytes that are overwritten before their memory is given back.
///
/// [`Zeroizing`](zeroize::Zeroizing) writes one byte at a time, which takes as long for a few
/// segments as to seal them. This fills at the speed of memory, and keeps the compiler from leaving
/// it out.
///
/// As with any vector, one that grows beyond its capacity leaves a copy of what it held behind.
#[derive(Default)]
pub(crate) struct Wiped(Vec<u8>);

impl Wiped {
    /// No bytes, and room for `capacity`.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// Overwrites all there is room for.
    fn wipe(&mut self) {
        self.0.clear();
        self.0.resize(self.0.capacity(), 0);
        optimization_barrier(self.0.as_slice());
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wiped({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_is_overwritten_as_well() {
        let mut bytes = Wiped::with_capacity(100);
        bytes.extend_from_slice(&[7; 90]);
        bytes.truncate(3);
        let (room, at) = (bytes.capacity(), bytes.as_ptr());
        bytes.wipe();
        assert_eq!(*bytes, vec![0; room]);
        assert_eq!(bytes.as_ptr(), at, "the same memory");
    }

    #[test]
    fn it_says_nothing_of_what_is_in_it() {
        let mut bytes = Wiped::zeros(2);
        bytes[0] = 0xAB;
        assert_eq!(format!("{bytes:?}"), "Wiped(2 bytes)");
    }
}
