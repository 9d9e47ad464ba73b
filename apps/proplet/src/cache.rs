//! Modules, in memory: those that came from the broker as they came, sealed; those of images, open.

use std::collections::HashMap;

use bytes::Bytes;
use propeller_model::Digest;

/// Modules that are kept, in bytes: the largest module twice.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The modules that were used last.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    by_digest: HashMap<Digest, (Bytes, u64)>,
    bytes: usize,
    clock: u64,
}

impl Modules {
    pub(crate) fn get(&mut self, digest: Digest) -> Option<Bytes> {
        self.clock += 1;
        let (sealed, used) = self.by_digest.get_mut(&digest)?;
        *used = self.clock;
        Some(sealed.clone())
    }

    pub(crate) fn insert(&mut self, digest: Digest, sealed: Bytes) {
        self.clock += 1;
        self.bytes += sealed.len();
        if let Some((old, _)) = self.by_digest.insert(digest, (sealed, self.clock)) {
            self.bytes -= old.len();
        }
        while self.bytes > BYTES_MAX && self.by_digest.len() > 1 {
            let oldest = self.by_digest.iter().min_by_key(|(_, (_, used))| *used);
            let Some((&digest, _)) = oldest else { return };
            self.remove(digest);
        }
    }

    /// Forgets a module that does not open: the next attempt fetches it anew.
    pub(crate) fn remove(&mut self, digest: Digest) {
        if let Some((sealed, _)) = self.by_digest.remove(&digest) {
            self.bytes -= sealed.len();
        }
    }
}
