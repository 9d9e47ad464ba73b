//! The chunks of one blob that one proplet waits for: each once, in the order in which they were asked
//! for, however often they are.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use propeller_model::Digest;
use propeller_wire::images::{AskChunks, CHUNKS_PER_ASK_MAX};

/// Chunks that one proplet may wait for of one blob: twice as many as it has on their way.
const WAITING_MAX: usize = 4 * CHUNKS_PER_ASK_MAX;

/// Which blob.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) reference: String,
    pub(super) digest: Digest,
    pub(super) len: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    blob: Blob,
    /// Nothing, once nobody gives anything any more.
    waiting: Mutex<Option<VecDeque<u32>>>,
}

/// Whether an ask is answered with one that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is.
    Yes,
    /// Not now: too much of it is waited for.
    Full,
    /// That one has ended.
    Over,
    /// That one was for something else.
    Another,
}

impl Queue {
    /// What an ask is for.
    pub(super) fn of(ask: AskChunks) -> Self {
        let AskChunks {
            ask: _,
            reference,
            digest,
            len,
            indexes,
            again: _,
        } = ask;
        let mut waiting = VecDeque::new();
        append(&mut waiting, &indexes);
        Self {
            blob: Blob {
                reference,
                digest,
                len,
            },
            waiting: Mutex::new(Some(waiting)),
        }
    }

    pub(super) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Takes what is asked for: all of it, or nothing.
    pub(super) fn join(&self, ask: &AskChunks) -> Joined {
        let Blob {
            reference,
            digest,
            len,
        } = &self.blob;
        if (reference, digest, len) != (&ask.reference, &ask.digest, &ask.len) {
            return Joined::Another;
        }
        let mut waiting = self.lock();
        let Some(waiting) = &mut *waiting else {
            return Joined::Over;
        };
        let before = waiting.len();
        append(waiting, &ask.indexes);
        if waiting.len() > WAITING_MAX {
            waiting.truncate(before);
            return Joined::Full;
        }
        Joined::Yes
    }

    /// What is to be given next; it stays until it is. Without anything it has ended.
    pub(super) fn first(&self) -> Option<u32> {
        let mut waiting = self.lock();
        let first = waiting.as_ref()?.front().copied();
        if first.is_none() {
            *waiting = None;
        }
        first
    }

    /// The first one is on its way.
    pub(super) fn given(&self) {
        if let Some(waiting) = &mut *self.lock() {
            waiting.pop_front();
        }
    }

    /// Nothing more is given.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<u32>>> {
        self.waiting.lock().expect("keeping a list does not panic")
    }
}

/// Without what is there already.
fn append(waiting: &mut VecDeque<u32>, indexes: &[u32]) {
    for index in indexes {
        if !waiting.contains(index) {
            waiting.push_back(*index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(indexes: std::ops::Range<u32>) -> AskChunks {
        AskChunks {
            ask: 1,
            reference: "ghcr.io/me/app:1".to_owned(),
            digest: Digest([7; 32]),
            len: 1 << 20,
            indexes: indexes.collect(),
            again: false,
        }
    }

    #[test]
    fn each_is_given_once_and_no_more_are_kept_than_allowed() {
        let queue = Queue::of(ask(0..8));
        for (indexes, joined) in [
            (4..12, Joined::Yes),
            (12..20, Joined::Yes),
            (20..28, Joined::Yes),
            // All of it or nothing.
            (28..33, Joined::Full),
            (28..32, Joined::Yes),
            (32..33, Joined::Full),
            (0..8, Joined::Yes),
        ] {
            assert_eq!(queue.join(&ask(indexes.clone())), joined, "{indexes:?}");
        }
        for index in 0..32 {
            assert_eq!(queue.first(), Some(index));
            assert_eq!(queue.first(), Some(index), "it stays until it is given");
            queue.given();
            // There is room again, and whoever has lost it may ask again.
            if index == 3 {
                assert_eq!(queue.join(&ask(3..4)), Joined::Yes);
            }
        }
        assert_eq!(queue.first(), Some(3));
        queue.given();
        assert_eq!(queue.first(), None);
        assert_eq!(queue.join(&ask(0..1)), Joined::Over);
    }

    #[test]
    fn what_is_asked_of_something_else_does_not_join() {
        let queue = Queue::of(ask(0..1));
        let changes: [fn(&mut AskChunks); 3] = [
            |ask| ask.reference = "ghcr.io/me/other:1".to_owned(),
            |ask| ask.digest = Digest([8; 32]),
            |ask| ask.len += 1,
        ];
        for change in changes {
            let mut other = ask(1..2);
            change(&mut other);
            assert_eq!(queue.join(&other), Joined::Another);
        }
        queue.close();
        assert_eq!(queue.join(&ask(1..2)), Joined::Over);
        assert_eq!(queue.first(), None);
    }
}
