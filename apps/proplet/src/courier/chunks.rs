//! The chunks of one blob: which are here, which were asked for, and what they are together.

use std::fmt;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;
use propeller_oci::Pieces;
use propeller_wire::images::{CHUNKS_PER_ASK_MAX, Chunk, Lent};

use super::transfer::PATIENCE;

/// Chunks that are hashed for one that comes.
const HASHED_AT_ONCE: usize = 2;
/// So few chunks on their way make it time to ask for more.
const LOW: usize = CHUNKS_PER_ASK_MAX;

/// All bytes of a blob, hashed as far as there was time.
pub(crate) struct Whole {
    bytes: Pieces,
    hash: Context,
    hashed: usize,
}

impl Whole {
    /// The bytes and their digest. What is left to be hashed may be much, if the first chunk came last.
    pub(crate) fn finish(mut self) -> (Pieces, Digest) {
        let rest = self.hashed..self.bytes.len();
        let rest = self.bytes.slices_of(rest);
        rest.for_each(|piece| self.hash.update(piece));
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(self.hash.finish().as_ref());
        (self.bytes, digest)
    }
}

#[cfg(test)]
impl From<Vec<u8>> for Whole {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            hash: Context::new(&SHA256),
            hashed: 0,
        }
    }
}

impl fmt::Debug for Whole {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// See the module.
pub(super) struct Chunks {
    pub(super) chunk_len: u32,
    bytes: Pieces,
    len: usize,
    /// Whether there is memory for it.
    pub(super) fits: bool,
    /// Of the chunks before `hashed`: while they come, not when all are here.
    hash: Context,
    hashed: usize,
    /// Since when the first chunk that is not here has been the first.
    first_since: Instant,
    state: Vec<State>,
    missing: usize,
    /// Bytes that are here.
    pub(super) here: u64,
    /// Chunks before it were asked for at least once.
    next: usize,
    on_their_way: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Wanted,
    Asked,
    Here,
}

impl Chunks {
    pub(super) fn new(len: u64, chunk_len: u32, now: Instant) -> Self {
        let count = len.div_ceil(u64::from(chunk_len)).max(1);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            chunk_len,
            // Nothing yet: how long it is, is so far what a manifest says.
            bytes: Pieces::default(),
            len: usize::try_from(len).unwrap_or(usize::MAX),
            fits: true,
            hash: Context::new(&SHA256),
            hashed: 0,
            first_since: now,
            state: vec![State::Wanted; count],
            missing: count,
            here: 0,
            next: 0,
            on_their_way: 0,
        }
    }

    /// The next few, if there is little on its way; and the first that is not here, if that is late
    /// while others come: all others wait for it to be hashed. That the proxy still fetches it makes
    /// it no later than it is, so this is for when a chunk has come, and for nothing else.
    pub(super) fn more(&mut self, now: Instant) -> Vec<u32> {
        let mut indexes = match self.on_their_way > LOW {
            true => Vec::new(),
            false => self.claim(self.next),
        };
        let late = now.saturating_duration_since(self.first_since) > PATIENCE;
        let asked = self.state.get(self.hashed) == Some(&State::Asked);
        if late && asked && indexes.len() < CHUNKS_PER_ASK_MAX {
            self.first_since = now;
            indexes.extend(u32::try_from(self.hashed));
        }
        indexes
    }

    /// The first few that are not here; nothing else is on its way by that.
    pub(super) fn again(&mut self, now: Instant) -> Vec<u32> {
        let asked = self
            .state
            .iter_mut()
            .filter(|state| **state == State::Asked);
        asked.for_each(|state| *state = State::Wanted);
        self.on_their_way = 0;
        self.first_since = now;
        self.claim(0)
    }

    /// The first few at `from` or behind it that are neither here nor on their way.
    fn claim(&mut self, from: usize) -> Vec<u32> {
        let mut indexes = Vec::new();
        self.next = from;
        while self.next < self.state.len() && indexes.len() < CHUNKS_PER_ASK_MAX {
            if self.state[self.next] == State::Wanted {
                self.state[self.next] = State::Asked;
                self.on_their_way += 1;
                indexes.extend(u32::try_from(self.next));
            }
            self.next += 1;
        }
        indexes
    }

    pub(super) fn take(&mut self, chunk: &Chunk<Lent<'_>>, now: Instant) -> bool {
        let index = chunk.index as usize;
        let at = index.saturating_mul(self.chunk_len as usize);
        let Some(state) = self.state.get_mut(index) else {
            return false;
        };
        let end = at.saturating_add(self.chunk_len as usize).min(self.len);
        if *state == State::Here || chunk.bytes.len() != end - at {
            return false;
        }
        if self.bytes.len() < self.len {
            // At once as much as it will be, which takes no memory before it is used; not all
            // machines have it.
            let Ok(zeroed) = Pieces::zeroed(self.len) else {
                self.fits = false;
                return false;
            };
            self.bytes = zeroed;
        }
        self.bytes.write_at(at, chunk.bytes);
        if *state == State::Asked {
            self.on_their_way -= 1;
        }
        *state = State::Here;
        self.missing -= 1;
        self.here += (end - at) as u64;
        self.hash_what_is_next(now);
        self.missing == 0
    }

    /// A few at a time: this is a step of a loop that has others to attend to.
    fn hash_what_is_next(&mut self, now: Instant) {
        let before = self.hashed;
        while self.state.get(self.hashed) == Some(&State::Here)
            && self.hashed - before < HASHED_AT_ONCE
        {
            let at = self.hashed * self.chunk_len as usize;
            let end = (at + self.chunk_len as usize).min(self.len);
            let chunk = self.bytes.slices_of(at..end);
            chunk.for_each(|piece| self.hash.update(piece));
            self.hashed += 1;
            self.first_since = now;
        }
    }

    pub(super) fn whole(self) -> Whole {
        let hashed = self.hashed * self.chunk_len as usize;
        Whole {
            hashed: hashed.min(self.bytes.len()),
            bytes: self.bytes,
            hash: self.hash,
        }
    }
}

impl fmt::Debug for Chunks {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("count", &self.state.len())
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}
