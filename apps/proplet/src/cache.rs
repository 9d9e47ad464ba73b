//! Modules, in memory: those that came from the broker as they came, sealed; those of images, open.

use std::collections::HashMap;

use bytes::Bytes;
use propeller_model::Digest;

/// Modules that are kept, in bytes: the largest module twice.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The modules that were used last.
#[derive(Debug)]
pub(crate) struct Modules<M> {
    by_digest: HashMap<Digest, Kept<M>>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Kept<M> {
    module: M,
    bytes: usize,
    used: u64,
}

/// A module out of an image, with its own digest.
#[derive(Clone, Debug)]
pub(crate) struct OpenModule {
    pub(crate) wasm: Bytes,
    pub(crate) digest: Digest,
}

impl<M> Default for Modules<M> {
    fn default() -> Self {
        Self {
            by_digest: HashMap::new(),
            bytes: 0,
            clock: 0,
        }
    }
}

impl<M: Clone> Modules<M> {
    pub(crate) fn get(&mut self, digest: Digest) -> Option<M> {
        self.clock += 1;
        let kept = self.by_digest.get_mut(&digest)?;
        kept.used = self.clock;
        Some(kept.module.clone())
    }

    /// Keeps a module of so many bytes.
    pub(crate) fn insert(&mut self, digest: Digest, module: M, bytes: usize) {
        self.clock += 1;
        self.bytes += bytes;
        let kept = Kept {
            module,
            bytes,
            used: self.clock,
        };
        if let Some(old) = self.by_digest.insert(digest, kept) {
            self.bytes -= old.bytes;
        }
        while self.bytes > BYTES_MAX && self.by_digest.len() > 1 {
            let oldest = self.by_digest.iter().min_by_key(|(_, kept)| kept.used);
            let Some((&digest, _)) = oldest else { return };
            self.remove(digest);
        }
    }

    /// Forgets a module that does not open: the next attempt fetches it anew.
    pub(crate) fn remove(&mut self, digest: Digest) {
        if let Some(kept) = self.by_digest.remove(&digest) {
            self.bytes -= kept.bytes;
        }
    }
}
