//! The clocks of the deterministic profile: time that passes only when a guest looks or waits.
//!
//! All clocks show one counter of nanoseconds. Every reading moves it on by [`TICK_NS`], so that a
//! guest that spins until some time has passed gets there; waiting moves it to the deadline at
//! once. Nothing of the host's own time shows.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiView};

use super::guest::Guest;

/// How far a reading moves the clock.
const TICK_NS: u64 = 1_000;

/// What the wall clock shows at the start: 2000-01-01T00:00:00Z, late enough for programs that
/// take small numbers for a broken clock.
pub(super) const EPOCH: Duration = Duration::from_secs(946_684_800);

/// The clock of one guest.
#[derive(Clone, Default)]
pub(super) struct VirtualClock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now_ns: u64,
    /// Deadlines that are being waited for, and how often.
    waiting: BTreeMap<u64, usize>,
}

impl VirtualClock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("reading a clock does not panic")
    }

    /// The time, which then moves on.
    pub(super) fn read(&self) -> u64 {
        let mut state = self.lock();
        let now = state.now_ns;
        state.now_ns = now.saturating_add(TICK_NS);
        now
    }

    /// The time, which stays.
    pub(super) fn peek(&self) -> u64 {
        self.lock().now_ns
    }

    /// Lets the time pass up to `deadline`.
    pub(super) fn advance(&self, deadline: u64) {
        let mut state = self.lock();
        state.now_ns = state.now_ns.max(deadline);
    }

    fn wait(&self, deadline: u64) -> Waiting {
        *self.lock().waiting.entry(deadline).or_insert(0) += 1;
        Waiting {
            clock: self.clone(),
            deadline,
        }
    }

    /// Whether nobody waits for anything earlier.
    fn is_next(&self, deadline: u64) -> bool {
        let state = self.lock();
        state
            .waiting
            .first_key_value()
            .is_none_or(|(&first, _)| deadline <= first)
    }
}

impl HostMonotonicClock for VirtualClock {
    fn resolution(&self) -> u64 {
        TICK_NS
    }

    fn now(&self) -> u64 {
        self.read()
    }
}

impl HostWallClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(TICK_NS)
    }

    fn now(&self) -> Duration {
        EPOCH.saturating_add(Duration::from_nanos(self.read()))
    }
}

/// A deadline that is waited for, until it is dropped.
struct Waiting {
    clock: VirtualClock,
    deadline: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.clock.lock();
        if let Some(count) = state.waiting.get_mut(&self.deadline) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(&self.deadline);
            }
        }
    }
}

/// What a component waits on.
struct Deadline {
    clock: VirtualClock,
    at: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Deadline {
    /// Ready when nothing else is: whatever a guest polls together is looked at once before any
    /// time passes, and then only the earliest deadline comes.
    async fn ready(&mut self) {
        if self.clock.peek() >= self.at {
            return;
        }
        let waiting = self.clock.wait(self.at);
        let mut looked = false;
        poll_fn(|context| {
            if looked && self.clock.is_next(self.at) {
                return Poll::Ready(());
            }
            looked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        drop(waiting);
        self.clock.advance(self.at);
    }
}

/// `wasi:clocks/monotonic-clock` on a [`VirtualClock`]; the wall clock needs no replacement.
struct Clocks;

impl HasData for Clocks {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    clock: VirtualClock,
    table: &'a mut ResourceTable,
}

impl View<'_> {
    fn deadline(&mut self, at: u64) -> Result<Resource<DynPollable>> {
        let deadline = self.table.push(Deadline {
            clock: self.clock.clone(),
            at,
        })?;
        subscribe(self.table, deadline)
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> Result<u64> {
        Ok(self.clock.read())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(TICK_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.deadline(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        let at = self.clock.peek().saturating_add(duration);
        self.deadline(at)
    }
}

/// Replaces the clock that components wait on.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<Guest, Clocks>(linker, |guest| View {
        clock: guest.clock(),
        table: guest.ctx().table,
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_it_is_read_or_waited_for() {
        let clock = VirtualClock::default();
        assert_eq!(
            (clock.read(), clock.read(), clock.peek()),
            (0, 1_000, 2_000)
        );
        clock.advance(5_000);
        clock.advance(4_000);
        assert_eq!(clock.peek(), 5_000);
        assert_eq!(
            HostWallClock::now(&clock),
            EPOCH + Duration::from_nanos(5_000)
        );
    }

    #[test]
    fn only_the_earliest_deadline_comes() {
        let clock = VirtualClock::default();
        let late = clock.wait(20);
        let early = clock.wait(10);
        assert!(clock.is_next(10) && !clock.is_next(20));
        drop(early);
        assert!(clock.is_next(20));
        drop(late);
    }
}
