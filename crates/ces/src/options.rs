//! What a caller chooses, and who is told while something runs.

use std::fmt;
use std::num::NonZeroUsize;

use crate::audit::Audit;
use crate::cipher::Cipher;
use crate::geometry::{Geometry, SegmentSize};
use crate::key::Label;
use crate::segment::Compression;

/// Threads that are used at most: a segment is held for each.
pub const THREADS_MAX: usize = 256;

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many shards there are, and how many of them may be lost. 8 + 4 unless chosen.
    pub geometry: Geometry,
    /// What segments are sealed with. XChaCha20-Poly1305 unless chosen.
    pub cipher: Cipher,
    /// How hard segments are compressed. zstd's level 3 unless chosen.
    pub compression: Compression,
    /// How much plaintext a segment carries. 1 MiB unless chosen.
    pub segment_size: SegmentSize,
    /// The environment that the object belongs to; that of the key where there is none.
    pub label: Option<Label>,
    /// How many segments are worked on at once.
    pub threads: Threads,
}

impl Options {
    /// 8 + 4 shards, XChaCha20-Poly1305, zstd's level 3, segments of 1 MiB, the key's label, and
    /// one thread.
    #[must_use]
    pub fn new() -> Self {
        Self {
            geometry: Geometry::default(),
            cipher: Cipher::default(),
            compression: Compression::default(),
            segment_size: SegmentSize::default(),
            label: None,
            threads: Threads::ONE,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// How many segments are worked on at once.
///
/// The caller's thread is one of them, and where there are several it reads and writes as well, and
/// works on a segment whenever the others have enough to do. Others start as there are segments for
/// them: a short input stays on the caller's thread.
///
/// Each thread holds a segment, and one more if there are several; each of them takes two to three
/// times the segment size with the usual geometries, and `1 + (k + m) / k` times it with any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// Everything happens on the caller's thread.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// So many threads, of which the caller's is one, up to 256; with 1 or none, it is alone.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let count = count.clamp(1, THREADS_MAX);
        Self(NonZeroUsize::new(count).expect("it is at least 1"))
    }

    pub(crate) fn count(self) -> NonZeroUsize {
        self.0
    }
}

/// Who is told what while something runs.
pub struct Watch<'a> {
    /// Every use of a key.
    pub audit: Audit<'a>,
    /// How many bytes of plaintext are done, from time to time, on the caller's thread.
    pub progress: &'a mut dyn FnMut(u64),
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
