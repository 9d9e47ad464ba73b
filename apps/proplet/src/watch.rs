//! Who watches what attempts print, and what they are told next.
//!
//! A watch is a lease and a credit. While nobody watches, nothing is read, sealed or sent. A watcher
//! is told at most one piece of each stream at a time, and none without credit: what a slow link or
//! a slow client does not take stays in the transcript, and when that lets it go, the offsets say so.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use propeller_model::{AttemptId, Lease, Stream};
use propeller_sandbox::{Piece, Transcript};
use propeller_wire::message::{PRINTED_LEN_MAX, Watch};
use tracing::debug;

/// How often watchers are told what is new. A person sees no difference below it.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(50);
/// Watchers at a time. A manager has as many; another one's wait for a place.
const WATCHERS_MAX: usize = 64;
/// Bytes told in one go, to all watchers together: 5 MB a second at the most.
const TOLD_BYTES_MAX: usize = 256 * 1024;
/// The longest lease that is granted, whatever a manager asks for.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// The transcript of an attempt, once its guest is about to run.
pub(crate) type Slot = Arc<OnceLock<Transcript>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_watcher: BTreeMap<u64, Watching>,
    /// Who is told first the next time, so that a limit on all does not starve the last.
    turn: u64,
}

#[derive(Debug)]
struct Watching {
    attempt: AttemptId,
    lease: Lease,
    credit: u32,
    /// Where the next piece of each stream begins.
    after: [u64; 2],
    /// How much had been printed, as it was last told.
    told: [Option<u64>; 2],
}

/// A piece to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) watcher: u64,
    pub(crate) attempt: AttemptId,
    pub(crate) stream: Stream,
    /// Where the piece before it ended.
    pub(crate) after: u64,
    pub(crate) piece: Piece,
}

/// What there is to read of an attempt.
pub(crate) enum Source<'a> {
    /// Nothing yet: its module is on its way, or is being compiled.
    Early,
    /// This.
    Transcript(&'a Transcript),
}

impl Watches {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_watcher.is_empty()
    }

    /// Takes what a manager wants.
    pub(crate) fn take(&mut self, watch: &Watch, now: Instant) {
        let Watch {
            watcher,
            attempt,
            from,
            credit,
            lease_ms,
        } = *watch;
        if lease_ms == 0 {
            self.by_watcher.remove(&watcher);
            return;
        }
        let term = Duration::from_millis(u64::from(lease_ms)).min(LEASE_MAX);
        let lease = Lease::grant(now, term);
        let full = self.by_watcher.len() >= WATCHERS_MAX;
        match (self.by_watcher.get_mut(&watcher), from) {
            (Some(known), from) if known.attempt == attempt => {
                known.lease = lease;
                known.credit = credit;
                if let Some(from) = from {
                    known.after = from;
                    known.told = [None; 2];
                }
            }
            (None, Some(_)) if full => debug!("too many watchers"),
            (_, Some(after)) => {
                let watching = Watching {
                    attempt,
                    lease,
                    credit,
                    after,
                    told: [None; 2],
                };
                self.by_watcher.insert(watcher, watching);
            }
            // It is over here, and goes on once the manager says from where.
            (_, None) => {}
        }
    }

    /// What there is to tell now. `source` is `None` for an attempt that is not made here any more.
    pub(crate) fn news<'a>(
        &mut self,
        now: Instant,
        source: impl Fn(AttemptId) -> Option<Source<'a>>,
    ) -> Vec<News> {
        self.by_watcher.retain(|_, watching| {
            !watching.lease.is_over(now) && source(watching.attempt).is_some()
        });
        let (mut news, mut room) = (Vec::new(), TOLD_BYTES_MAX);
        let turn = self.turn;
        let (before, after): (Vec<_>, Vec<_>) = self
            .by_watcher
            .iter_mut()
            .partition(|(watcher, _)| **watcher < turn);
        for (watcher, watching) in after.into_iter().chain(before) {
            if room == 0 {
                self.turn = *watcher;
                break;
            }
            let Some(source) = source(watching.attempt) else {
                continue;
            };
            for stream in Stream::BOTH {
                let said = watching.next(&source, stream, room.min(PRINTED_LEN_MAX));
                if let Some((after, piece)) = said {
                    room -= piece.bytes.len();
                    news.push(News {
                        watcher: *watcher,
                        attempt: watching.attempt,
                        stream,
                        after,
                        piece,
                    });
                }
            }
        }
        news
    }
}

impl Watching {
    /// The next piece of a stream, and where the one before it ended.
    fn next(
        &mut self,
        source: &Source<'_>,
        stream: Stream,
        len_max: usize,
    ) -> Option<(u64, Piece)> {
        if self.credit == 0 {
            return None;
        }
        let (after, told) = (
            &mut self.after[stream.index()],
            &mut self.told[stream.index()],
        );
        let piece = match source {
            Source::Early => Piece {
                offset: 0,
                bytes: Vec::new(),
                printed: 0,
            },
            Source::Transcript(transcript) => transcript.read(stream, *after, len_max)?,
        };
        if piece.bytes.is_empty() && *told == Some(piece.printed) {
            return None;
        }
        let before = std::mem::replace(after, piece.offset + piece.bytes.len() as u64);
        *told = Some(piece.printed);
        self.credit -= 1;
        Some((before, piece))
    }
}

#[cfg(test)]
mod tests {
    use propeller_model::TaskId;

    use super::*;

    const OUT: Stream = Stream::Stdout;

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskId(uuid::Uuid::from_u128(7)),
            number,
        }
    }

    fn watch(watcher: u64, from: Option<[u64; 2]>, credit: u32) -> Watch {
        Watch {
            watcher,
            attempt: attempt(1),
            from,
            credit,
            lease_ms: 1000,
        }
    }

    /// What is told: watcher, stream, where, the bytes, how much there is.
    fn told(watches: &mut Watches, now: Instant, transcript: &Transcript) -> Vec<String> {
        let source = |id| (id == attempt(1)).then_some(Source::Transcript(transcript));
        let news = watches.news(now, source);
        let lines = news.iter().map(|news| {
            let Piece {
                offset,
                bytes,
                printed,
            } = &news.piece;
            let (watcher, stream, after) = (news.watcher, news.stream.word(), news.after);
            let text = String::from_utf8_lossy(bytes);
            format!("{watcher} {stream} {after}->{offset} {text:?} of {printed}")
        });
        lines.collect()
    }

    fn print(transcript: &Transcript, text: &str) {
        let fits = transcript.append(OUT, text.as_bytes(), 8);
        assert_eq!(fits, text.len());
    }

    #[test]
    fn a_watcher_is_told_what_is_there_and_then_what_is_new() {
        let (mut watches, now, transcript) =
            (Watches::default(), Instant::now(), Transcript::tail());
        print(&transcript, "one");
        assert!(told(&mut watches, now, &transcript).is_empty());
        watches.take(&watch(1, Some([0, 0]), 9), now);
        let first = [
            "1 stdout 0->0 \"one\" of 3",
            // Also that there is nothing is news, once.
            "1 stderr 0->0 \"\" of 0",
        ];
        assert_eq!(told(&mut watches, now, &transcript), first);
        assert!(told(&mut watches, now, &transcript).is_empty());
        print(&transcript, "two");
        let second = ["1 stdout 3->3 \"two\" of 6"];
        assert_eq!(told(&mut watches, now, &transcript), second);
        watches.take(&watch(1, Some([2, 0]), 9), now);
        let again = told(&mut watches, now, &transcript);
        assert_eq!(again[0], "1 stdout 2->2 \"etwo\" of 6");
    }

    #[test]
    fn without_credit_nothing_is_told_and_the_gap_shows_later() {
        let (mut watches, now, transcript) =
            (Watches::default(), Instant::now(), Transcript::tail());
        watches.take(&watch(1, Some([0, 0]), 1), now);
        print(&transcript, "abc");
        assert_eq!(
            told(&mut watches, now, &transcript),
            ["1 stdout 0->0 \"abc\" of 3"]
        );
        for text in ["defgh", "ijkl", "mnop"] {
            print(&transcript, text);
            assert!(told(&mut watches, now, &transcript).is_empty());
        }
        watches.take(&watch(1, None, 1), now);
        let late = ["1 stdout 3->8 \"ijklmnop\" of 16"];
        assert_eq!(told(&mut watches, now, &transcript), late);
    }

    #[test]
    fn a_watch_ends_with_its_lease_with_its_attempt_or_at_once() {
        let (now, transcript) = (Instant::now(), Transcript::tail());
        let begun = || {
            let mut watches = Watches::default();
            watches.take(&watch(1, Some([0, 0]), 9), now);
            watches
        };
        let mut watches = begun();
        told(&mut watches, now + Duration::from_secs(1), &transcript);
        assert!(watches.is_empty(), "the lease is over");
        let mut watches = begun();
        watches.news(now, |_| None);
        assert!(watches.is_empty(), "the attempt is not made here");
        let mut watches = begun();
        watches.take(
            &Watch {
                lease_ms: 0,
                ..watch(1, None, 0)
            },
            now,
        );
        assert!(watches.is_empty(), "the manager wants no more");
    }

    #[test]
    fn an_early_watcher_learns_that_there_is_nothing_yet() {
        let (mut watches, now) = (Watches::default(), Instant::now());
        watches.take(&watch(1, Some([0, 0]), 9), now);
        let early = watches.news(now, |_| Some(Source::Early));
        assert_eq!(early.len(), 2);
        let transcript = Transcript::whole();
        print(&transcript, "late");
        assert_eq!(
            told(&mut watches, now, &transcript),
            ["1 stdout 0->0 \"late\" of 4"]
        );
    }

    #[test]
    fn many_watchers_of_a_flood_share_what_is_told_in_one_go() {
        let (mut watches, now, transcript) =
            (Watches::default(), Instant::now(), Transcript::whole());
        let flood = vec![b'x'; 4 * PRINTED_LEN_MAX];
        assert_eq!(transcript.append(OUT, &flood, usize::MAX), flood.len());
        for watcher in 0..2 * WATCHERS_MAX as u64 {
            watches.take(&watch(watcher, Some([0, 0]), 99), now);
        }
        assert_eq!(watches.by_watcher.len(), WATCHERS_MAX);
        let mut bytes = [0; WATCHERS_MAX];
        for _ in 0..WATCHERS_MAX {
            let news = watches.news(now, |_| Some(Source::Transcript(&transcript)));
            let len = |news: &News| news.piece.bytes.len();
            assert!(news.iter().map(len).sum::<usize>() <= TOLD_BYTES_MAX);
            for news in &news {
                bytes[usize::try_from(news.watcher).unwrap()] += len(news);
            }
        }
        assert_eq!(bytes, [flood.len(); WATCHERS_MAX], "nobody is starved");
    }

    #[test]
    fn a_watch_that_goes_on_is_nothing_to_a_proplet_that_does_not_know_it() {
        let (mut watches, now) = (Watches::default(), Instant::now());
        watches.take(&watch(1, None, 9), now);
        assert!(watches.is_empty());
    }
}
