//! Who follows what attempts print. Sealed pieces are passed on; the dispatcher opens none.
//!
//! ```text
//!   GET logs ──▶ follower ◀─ LogEvent ── here ── Watch(from, credit, lease) ──▶ proplet
//!                                          ▲                                      │
//!                                          └──────────── Printed(piece) ◀─────────┘
//! ```
//!
//! Pieces are taken in order or not at all: one that does not begin where the last one ended means
//! that a frame was lost on the way, and the proplet is asked to go back. The credit is the room in
//! the follower's queue, so that a slow client slows its proplet's pieces down and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use propeller_model::{AttemptId, PropletId, TaskId};
use propeller_wire::message::{PRINTED_LEN_MAX, Printed, Watch};
use tokio::sync::mpsc;

/// Clients that follow at the same time, and proplets' watchers.
pub(super) const FOLLOWERS_MAX: usize = 64;
/// Events that wait for one client: half a second of a flood, half a MiB.
pub const EVENTS_MAX: usize = 16;
/// How long a proplet goes on telling without being asked again.
const LEASE_MS: u32 = 5_000;
/// How often it is asked again while nothing else is to be said.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often a proplet is asked to go back. What is under way by then has arrived, mostly.
const BACK_EVERY: Duration = Duration::from_millis(300);
/// What an envelope adds to a piece, and more.
const SEALED_LEN_EXTRA: usize = 1024;

/// What a follower learns.
#[derive(Debug)]
pub enum LogEvent {
    /// From here on it is about this attempt.
    Attempt {
        /// Which one.
        attempt: AttemptId,
        /// Who makes it.
        proplet: PropletId,
        /// Where the pieces of its streams begin.
        from: [u64; 2],
    },
    /// A piece, the next of its stream.
    Printed(Printed),
}

/// Where a client stands that has followed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In which attempt.
    pub attempt: u32,
    /// Where in its streams.
    pub from: [u64; 2],
}

/// A sender of events. `None` once it was taken: a command is read, not consumed.
pub type Follower = std::sync::Mutex<Option<mpsc::Sender<LogEvent>>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Logs {
    by_watcher: HashMap<u64, Following>,
}

#[derive(Debug)]
struct Following {
    task: TaskId,
    events: mpsc::Sender<LogEvent>,
    place: Option<Place>,
    on: Option<On>,
}

/// The attempt that a follower is at.
#[derive(Debug)]
struct On {
    attempt: AttemptId,
    proplet: PropletId,
    /// Where the next piece of each stream has to begin.
    received: [u64; 2],
    /// A piece was lost.
    lost: bool,
    /// Something has come since the proplet was last spoken to.
    moved: bool,
    /// When the proplet was last told anything, and when it was last told where to go on.
    asked: Option<Instant>,
    sent_back: Option<Instant>,
}

/// Who makes which attempt of a task, and whether it can be asked what that prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) attempt: AttemptId,
    pub(super) proplet: PropletId,
    pub(super) plain: bool,
}

type Say = (PropletId, Watch);

impl Logs {
    /// Whether there is no place for another one, after so many that are about to come.
    pub(super) fn is_full(&self, coming: usize) -> bool {
        self.by_watcher.len() + coming >= FOLLOWERS_MAX
    }

    /// Remembers a follower. `watcher` must be random: proplets know watchers of managers before us.
    pub(super) fn add(
        &mut self,
        watcher: u64,
        task: TaskId,
        place: Option<Place>,
        events: mpsc::Sender<LogEvent>,
    ) {
        let following = Following {
            task,
            events,
            place,
            on: None,
        };
        self.by_watcher.insert(watcher, following);
    }

    /// Looks after every follower: who has left, who has another attempt, who has room.
    pub(super) fn look(
        &mut self,
        now: Instant,
        holder: impl Fn(TaskId) -> Option<Holder>,
    ) -> Vec<Say> {
        let mut say = Vec::new();
        self.by_watcher.retain(|watcher, following| {
            if following.events.is_closed() {
                say.extend(following.over(*watcher));
                return false;
            }
            let holder = holder(following.task);
            following.meet(holder.as_ref());
            if let Some(holder) = holder.filter(|holder| !holder.plain) {
                say.extend(following.ask(*watcher, &holder, now));
            }
            true
        });
        say
    }

    /// A task is settled: the store has the rest.
    pub(super) fn settled(&mut self, task: TaskId) -> Vec<Say> {
        let mut say = Vec::new();
        self.by_watcher.retain(|watcher, following| {
            if following.task == task {
                say.extend(following.over(*watcher));
            }
            following.task != task
        });
        say
    }

    /// Takes a piece, if it is the next one of whom it says it is from.
    pub(super) fn printed(&mut self, proplet: &PropletId, printed: Printed) {
        let Some(following) = self.by_watcher.get_mut(&printed.watcher) else {
            return;
        };
        let Some(on) = &mut following.on else { return };
        let len = printed.len as usize;
        let fits =
            len <= PRINTED_LEN_MAX && printed.bytes.len() <= PRINTED_LEN_MAX + SEALED_LEN_EXTRA;
        if on.attempt != printed.attempt || on.proplet != *proplet || !fits {
            return;
        }
        let received = &mut on.received[printed.stream.index()];
        if printed.after != *received {
            // A repeat, or the first one after a loss.
            on.lost |= printed.after > *received;
            return;
        }
        let end = printed.offset.saturating_add(u64::from(printed.len));
        if following
            .events
            .try_send(LogEvent::Printed(printed))
            .is_err()
        {
            on.lost = true;
            return;
        }
        *received = end;
        on.moved = true;
    }
}

impl Following {
    /// Notices another attempt. If the follower has no room to hear of it, it does later.
    fn meet(&mut self, holder: Option<&Holder>) {
        let Some(holder) = holder else { return };
        if self.on.as_ref().map(|on| on.attempt) == Some(holder.attempt) {
            return;
        }
        let number = holder.attempt.number;
        let from = match self.place {
            Some(place) if place.attempt == number => place.from,
            _ => [0; 2],
        };
        let event = LogEvent::Attempt {
            attempt: holder.attempt,
            proplet: holder.proplet.clone(),
            from,
        };
        if self.events.try_send(event).is_ok() {
            self.on = Some(On {
                attempt: holder.attempt,
                proplet: holder.proplet.clone(),
                received: from,
                lost: false,
                moved: false,
                asked: None,
                sent_back: None,
            });
        }
    }

    /// What to say to the proplet, if anything is due.
    fn ask(&mut self, watcher: u64, holder: &Holder, now: Instant) -> Option<Say> {
        let on = self.on.as_mut().filter(|on| on.attempt == holder.attempt)?;
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let quiet = since(on.asked).is_none_or(|since| since >= RENEW_EVERY);
        // A last piece that was lost leaves no gap to see: who hears nothing says where it stands.
        let back =
            (on.lost || quiet) && since(on.sent_back).is_none_or(|since| since >= BACK_EVERY);
        if !(quiet || back || on.moved) {
            return None;
        }
        // One place is for the next attempt.
        let room = self.events.capacity().saturating_sub(1);
        if back {
            on.lost = false;
            on.sent_back = Some(now);
        }
        on.moved = false;
        on.asked = Some(now);
        let watch = Watch {
            watcher,
            attempt: on.attempt,
            from: back.then_some(on.received),
            credit: u32::try_from(room).unwrap_or(u32::MAX),
            lease_ms: LEASE_MS,
        };
        Some((on.proplet.clone(), watch))
    }

    /// What ends the watch at its proplet.
    fn over(&self, watcher: u64) -> Option<Say> {
        let on = self.on.as_ref()?;
        let watch = Watch {
            watcher,
            attempt: on.attempt,
            from: None,
            credit: 0,
            lease_ms: 0,
        };
        Some((on.proplet.clone(), watch))
    }
}

#[cfg(test)]
mod tests {
    use propeller_model::Stream;
    use serde_bytes::ByteBuf;
    use uuid::Uuid;

    use super::*;

    const TASK: TaskId = TaskId(Uuid::from_u128(7));

    fn holder(number: u32) -> Option<Holder> {
        Some(Holder {
            attempt: AttemptId { task: TASK, number },
            proplet: "p".parse().unwrap(),
            plain: false,
        })
    }

    fn printed(after: u64, offset: u64, len: u32) -> Printed {
        Printed {
            watcher: 1,
            attempt: AttemptId {
                task: TASK,
                number: 1,
            },
            stream: Stream::Stdout,
            after,
            offset,
            len,
            printed: 100,
            bytes: ByteBuf::new(),
        }
    }

    fn following(place: Option<Place>) -> (Logs, mpsc::Receiver<LogEvent>) {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let mut logs = Logs::default();
        logs.add(1, TASK, place, events);
        (logs, heard)
    }

    fn heard(events: &mut mpsc::Receiver<LogEvent>) -> Vec<String> {
        let line = |event| match event {
            LogEvent::Attempt { attempt, from, .. } => format!("{} from {from:?}", attempt.number),
            LogEvent::Printed(piece) => format!("{}+{}", piece.offset, piece.len),
        };
        std::iter::from_fn(|| events.try_recv().ok())
            .map(line)
            .collect()
    }

    #[test]
    fn pieces_are_passed_on_in_order_and_once() {
        let (mut logs, mut events) = following(None);
        let (now, p) = (Instant::now(), "p".parse().unwrap());
        let say = logs.look(now, |_| holder(1));
        assert_eq!((say[0].1.from, say[0].1.credit), (Some([0, 0]), 14));
        for piece in [
            printed(0, 0, 10),
            printed(0, 0, 10),
            printed(20, 20, 5),
            printed(10, 15, 5),
        ] {
            logs.printed(&p, piece);
        }
        logs.printed(&"q".parse().unwrap(), printed(20, 20, 5));
        assert_eq!(heard(&mut events), ["1 from [0, 0]", "0+10", "15+5"]);
        let soon = now + Duration::from_millis(100);
        assert_eq!(logs.look(soon, |_| holder(1))[0].1.from, None);
        let later = now + BACK_EVERY;
        let back = logs.look(later, |_| holder(1));
        assert_eq!(back[0].1.from, Some([20, 0]), "what was lost is asked for");
    }

    #[test]
    fn a_client_that_does_not_read_gets_no_more_than_its_queue_holds() {
        let (mut logs, mut events) = following(None);
        let (now, p) = (Instant::now(), "p".parse().unwrap());
        logs.look(now, |_| holder(1));
        for piece in 0..100 {
            logs.printed(&p, printed(piece * 10, piece * 10, 10));
        }
        let later = now + RENEW_EVERY;
        let say = logs.look(later, |_| holder(1));
        assert_eq!((say[0].1.from, say[0].1.credit), (Some([150, 0]), 0));
        assert_eq!(heard(&mut events).len(), EVENTS_MAX);
    }

    #[test]
    fn another_attempt_is_told_and_begins_anew() {
        let place = Place {
            attempt: 2,
            from: [5, 6],
        };
        let (mut logs, mut events) = following(Some(place));
        let now = Instant::now();
        logs.look(now, |_| holder(1));
        logs.look(now, |_| None);
        logs.printed(&"p".parse().unwrap(), printed(0, 0, 10));
        logs.look(now, |_| holder(2));
        logs.printed(&"p".parse().unwrap(), printed(10, 10, 10));
        let expected = ["1 from [0, 0]", "0+10", "2 from [5, 6]"];
        assert_eq!(heard(&mut events), expected);
    }

    #[test]
    fn a_follower_that_leaves_or_a_task_that_is_settled_ends_the_watch() {
        let now = Instant::now();
        let (mut logs, events) = following(None);
        logs.look(now, |_| holder(1));
        drop(events);
        assert_eq!(logs.look(now, |_| holder(1))[0].1.lease_ms, 0);
        assert!(logs.by_watcher.is_empty());
        let (mut logs, mut events) = following(None);
        logs.look(now, |_| holder(1));
        assert_eq!(logs.settled(TASK)[0].1.lease_ms, 0);
        assert_eq!(heard(&mut events).len(), 1);
        assert!(events.is_closed());
    }

    #[test]
    fn a_proplet_without_encryption_is_asked_nothing() {
        let (mut logs, mut events) = following(None);
        let plain = |_| {
            holder(1).map(|holder| Holder {
                plain: true,
                ..holder
            })
        };
        assert!(logs.look(Instant::now(), plain).is_empty());
        assert_eq!(heard(&mut events), ["1 from [0, 0]"]);
    }
}
