//! Modules on their way: pieces in any order, asked for again until all are there.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_model::{AttemptId, Digest};
use propeller_wire::message::{Fetch, PIECE_LEN, PIECES_IN_FLIGHT_MAX, Piece, Start};

/// Largest sealed module, in bytes: 100 MiB and what sealing adds.
const SEALED_LEN_MAX: u64 = 128 * 1024 * 1024;
/// Modules on their way at the same time.
const FETCHES_MAX: usize = 8;
/// How long to wait for a piece before asking again.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same, after it was asked for several times.
const PATIENCE_LONG: Duration = Duration::from_secs(5);
/// How long to wait for any piece before giving up.
const PATIENCE_MAX: Duration = Duration::from_secs(20);

/// All modules on their way.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    by_digest: HashMap<Digest, Fetching>,
}

#[derive(Debug)]
struct Fetching {
    starts: Vec<Start>,
    pieces: Vec<Option<Bytes>>,
    missing: usize,
    asked: Instant,
    progress: Instant,
    patience: Duration,
}

/// What a piece led to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing new.
    None,
    /// Ask for these.
    Ask(Fetch),
    /// All there: the sealed module, and who waits for it.
    Whole(Bytes, Vec<Start>),
}

impl Fetches {
    /// Begins to fetch, or joins a fetch under way. `Err` gives the start back: too much is on its
    /// way, or the module is too large.
    #[allow(
        clippy::result_large_err,
        reason = "the start message goes back to where it came from"
    )]
    pub(crate) fn begin(&mut self, start: Start, now: Instant) -> Result<Option<Fetch>, Start> {
        let module = &start.module;
        let digest = module.digest;
        if let Some(fetching) = self.by_digest.get_mut(&digest) {
            fetching.starts.push(start);
            return Ok(None);
        }
        let full = self.by_digest.len() >= FETCHES_MAX;
        if full || module.sealed_len > SEALED_LEN_MAX || module.sealed_len == 0 {
            return Err(start);
        }
        let count = usize::try_from(module.sealed_len.div_ceil(PIECE_LEN as u64))
            .expect("128 MiB have few pieces");
        let attempt = start.attempt;
        let fetching = Fetching {
            starts: vec![start],
            pieces: vec![None; count],
            missing: count,
            asked: now,
            progress: now,
            patience: PATIENCE,
        };
        let ask = fetching.ask(digest, attempt);
        self.by_digest.insert(digest, fetching);
        Ok(ask)
    }

    /// Takes a piece. The next window is asked for when half of this one is there.
    pub(crate) fn take(&mut self, piece: Piece, now: Instant) -> Progress {
        let Some(fetching) = self.by_digest.get_mut(&piece.digest) else {
            return Progress::None;
        };
        let index = piece.index as usize;
        let count = fetching.pieces.len();
        let right_len = if index + 1 == count {
            piece.bytes.len() <= PIECE_LEN && !piece.bytes.is_empty()
        } else {
            piece.bytes.len() == PIECE_LEN
        };
        if piece.count as usize != count || !right_len {
            return Progress::None;
        }
        let Some(slot @ None) = fetching.pieces.get_mut(index) else {
            return Progress::None;
        };
        *slot = Some(Bytes::from(piece.bytes.into_vec()));
        fetching.missing -= 1;
        fetching.progress = now;
        fetching.patience = PATIENCE;
        if fetching.missing == 0 {
            let digest = piece.digest;
            return match self.by_digest.remove(&digest) {
                Some(done) => done.whole(),
                None => Progress::None,
            };
        }
        if fetching.window_is_in() {
            fetching.asked = now;
            let attempt = fetching.starts.first().map(|start| start.attempt);
            let ask = attempt.and_then(|attempt| fetching.ask(piece.digest, attempt));
            return ask.map_or(Progress::None, Progress::Ask);
        }
        Progress::None
    }

    /// Whoever waits for a module that does not exist, or that nobody sends.
    pub(crate) fn give_up(&mut self, digest: Digest) -> Vec<Start> {
        self.by_digest
            .remove(&digest)
            .map(|fetching| fetching.starts)
            .unwrap_or_default()
    }

    /// Stops waiting for one attempt.
    pub(crate) fn stop(&mut self, attempt: AttemptId) -> bool {
        let mut found = false;
        self.by_digest.retain(|_, fetching| {
            let before = fetching.starts.len();
            fetching.starts.retain(|start| start.attempt != attempt);
            found |= fetching.starts.len() < before;
            !fetching.starts.is_empty()
        });
        found
    }

    /// Asks again for what is late, and names what is hopeless.
    pub(crate) fn tick(&mut self, now: Instant) -> (Vec<Fetch>, Vec<Digest>) {
        let mut asks = Vec::new();
        let mut hopeless = Vec::new();
        for (digest, fetching) in &mut self.by_digest {
            if now.saturating_duration_since(fetching.progress) > PATIENCE_MAX {
                hopeless.push(*digest);
            } else if now.saturating_duration_since(fetching.asked.max(fetching.progress))
                > fetching.patience
            {
                // A slow link is slower for being asked twice.
                fetching.patience = (fetching.patience * 2).min(PATIENCE_LONG);
                fetching.asked = now;
                let attempt = fetching.starts.first().map(|start| start.attempt);
                asks.extend(attempt.and_then(|attempt| fetching.ask(*digest, attempt)));
            }
        }
        (asks, hopeless)
    }

    /// The attempts that wait for a module.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.by_digest
            .values()
            .flat_map(|fetching| fetching.starts.iter().map(|start| start.attempt))
    }
}

impl Fetching {
    /// The first window that still has a hole.
    fn ask(&self, digest: Digest, attempt: AttemptId) -> Option<Fetch> {
        let first = self.pieces.iter().position(Option::is_none)?;
        Some(Fetch {
            attempt,
            digest,
            first: u32::try_from(first).ok()?,
            count: PIECES_IN_FLIGHT_MAX,
        })
    }

    /// Whether everything up to the end of a window is there, so that the next one is due.
    fn window_is_in(&self) -> bool {
        let there = self
            .pieces
            .iter()
            .take_while(|piece| piece.is_some())
            .count();
        there > 0 && there.is_multiple_of(PIECES_IN_FLIGHT_MAX as usize)
    }

    fn whole(self) -> Progress {
        let len = self.pieces.iter().flatten().map(Bytes::len).sum();
        let mut sealed = Vec::with_capacity(len);
        let mut queue: VecDeque<Option<Bytes>> = self.pieces.into();
        while let Some(piece) = queue.pop_front() {
            sealed.extend_from_slice(&piece.unwrap_or_default());
        }
        Progress::Whole(Bytes::from(sealed), self.starts)
    }
}
