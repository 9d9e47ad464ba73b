//! `poll_oneoff`: waiting for time and for a pipe, and for streams that are always ready.

use std::time::{Duration, Instant};

use rustix::time::ClockId;

use super::memory::{item, offset};
use super::streams::Stream;
use super::{Args, Errno, Fail, Memory, Unanswered, Wake, Wasi};
use crate::exit::Limit;

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

/// The kind of a subscription, and of its event.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// The clocks that can be waited for.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
/// The clocks that cannot: processor time.
const CLOCKS: u32 = 4;

const ABSOLUTE: u16 = 1;

/// A guest that waits.
pub(super) struct Waiting {
    subscriptions: Vec<Subscription>,
    events: u32,
    count: u32,
}

struct Subscription {
    userdata: u64,
    kind: u8,
    /// When it is ready; `None` is never, or when a pipe is.
    ready: Option<Instant>,
}

impl Wasi {
    /// Reads the subscriptions, and waits for the first of them unless one is ready.
    pub(super) fn poll_oneoff(
        &mut self,
        memory: &mut Memory<'_>,
        args: Args<'_>,
    ) -> Result<(), Fail> {
        let (subscriptions, events) = (args.i32(0), args.i32(1));
        let (number, count) = (args.i32(2), args.i32(3));
        if number == 0 {
            return Err(Errno::Inval.into());
        }
        memory.allow(number, SUBSCRIPTION_BYTES)?;
        memory.allow(number, EVENT_BYTES)?;
        let now = Instant::now();
        let mut handles = self.streams.open();
        let mut read = Vec::new();
        for index in 0..number {
            let at = item(subscriptions, index, SUBSCRIPTION_BYTES)?;
            let subscription = self.subscription(memory, at, now)?;
            // As in wasmtime: a stream is watched by one handle, a clock by two.
            handles += if subscription.kind == CLOCK { 2 } else { 1 };
            if handles > self.handles_max {
                return Err(Fail::Exceeded(Limit::Handles));
            }
            read.push(subscription);
        }
        let waiting = Waiting {
            subscriptions: read,
            events,
            count,
        };
        // A stream that is ready leaves no time for a clock to be looked at.
        let ready = |it: &Subscription| it.kind != CLOCK && it.ready.is_some();
        if waiting.subscriptions.iter().any(ready) {
            return waiting.write_events(memory, ready);
        }
        let first = waiting.first();
        if first.is_some_and(|first| first <= now) {
            return waiting.write_events(memory, |it| it.is_due(now));
        }
        let wake = Wake {
            at: first,
            stdin: waiting.subscriptions.iter().any(|it| it.kind == FD_READ),
        };
        self.waits_for = Some(Unanswered::Poll(waiting));
        Err(Fail::Wait(wake))
    }

    /// Answers a guest that has waited.
    pub(super) fn poll_woken(
        &mut self,
        memory: &mut Memory<'_>,
        waiting: &Waiting,
    ) -> Result<(), Fail> {
        let now = Instant::now();
        let read = self.streams.stdin_is_there_now();
        waiting.write_events(memory, |it| it.is_due(now) || (it.kind == FD_READ && read))
    }

    fn subscription(
        &mut self,
        memory: &Memory<'_>,
        at: u32,
        now: Instant,
    ) -> Result<Subscription, Fail> {
        let userdata = memory.u64(at)?;
        let kind = memory.u8(offset(at, 8)?)?;
        let fd = || memory.u32(offset(at, 16)?);
        let ready = match kind {
            CLOCK => self.deadline(memory, at, now)?,
            FD_READ => match self.streams.get(fd()?)? {
                Stream::Stdin => self.streams.stdin_is_there_now().then_some(now),
                Stream::Stdout | Stream::Stderr => return Err(Errno::Badf.into()),
            },
            FD_WRITE => match self.streams.get(fd()?)? {
                Stream::Stdout | Stream::Stderr => Some(now),
                Stream::Stdin => return Err(Errno::Badf.into()),
            },
            _ => return Err(Errno::Inval.into()),
        };
        Ok(Subscription {
            userdata,
            kind,
            ready,
        })
    }

    /// When the clock of a subscription has come so far.
    fn deadline(
        &self,
        memory: &Memory<'_>,
        at: u32,
        now: Instant,
    ) -> Result<Option<Instant>, Fail> {
        let clock = memory.u32(offset(at, 16)?)?;
        if clock >= CLOCKS {
            return Err(Errno::Inval.into());
        }
        let timeout = memory.u64(offset(at, 24)?)?;
        let flags = memory.u16(offset(at, 40)?)?;
        if flags & !ABSOLUTE != 0 {
            return Err(Errno::Inval.into());
        }
        let left = match (clock, flags) {
            (REALTIME | MONOTONIC, 0) => timeout,
            (REALTIME, _) => timeout.saturating_sub(nanos(wall_clock())),
            (MONOTONIC, _) => timeout.saturating_sub(nanos(now - self.started)),
            _ => return Err(Errno::Inval.into()),
        };
        Ok(now.checked_add(Duration::from_nanos(left)))
    }
}

impl Subscription {
    fn is_due(&self, now: Instant) -> bool {
        self.ready.is_some_and(|ready| ready <= now)
    }
}

impl Waiting {
    /// When the first subscription is ready.
    fn first(&self) -> Option<Instant> {
        self.subscriptions.iter().filter_map(|it| it.ready).min()
    }

    /// An event for each subscription that is `ready`, and their number.
    fn write_events(
        &self,
        memory: &mut Memory<'_>,
        ready: impl Fn(&Subscription) -> bool,
    ) -> Result<(), Fail> {
        let mut count = 0;
        for subscription in self.subscriptions.iter().filter(|it| ready(it)) {
            let at = item(self.events, count, EVENT_BYTES)?;
            memory.write_u64(at, subscription.userdata)?;
            memory.write(offset(at, 8)?, &[0, 0, subscription.kind])?;
            // A stream has something; how much is not known.
            let bytes = u64::from(subscription.kind != CLOCK);
            memory.write_u64(offset(at, 16)?, bytes)?;
            memory.write(offset(at, 24)?, &[0, 0])?;
            count += 1;
        }
        memory.write_u32(self.count, count)
    }
}

/// Unix time.
pub(super) fn wall_clock() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Realtime);
    Duration::try_from(time).unwrap_or_default()
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
