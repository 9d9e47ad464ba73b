//! Makes running guests yield, and sleeps when there have been none for a while.
//!
//! A guest checks its engine's epoch at every loop and function entry and yields when it has moved
//! on. One thread moves it. An idle proplet has no guests, so this thread then waits without a
//! timeout; but not at once, because to wake it takes longer than many a guest runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// The longest that a guest computes before it yields. Short enough that stopping feels immediate;
/// long enough that the few microseconds of a yield do not show.
const TICK: Duration = Duration::from_millis(5);

/// How many ticks without a guest there are before the thread sleeps: a second. Tasks that come
/// oftener do not wake it, and a proplet that is done for now is soon at rest.
const IDLE_TICKS_MAX: u32 = 200;

/// The thread and the number of guests it ticks for.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engines: Vec<Engine>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("guest-ticker".to_owned())
            .spawn(move || tick(&ticking, &engines))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Counts a guest, until the slot is dropped.
    pub(super) fn enter(&self) -> Slot<'_> {
        self.shared.guests.fetch_add(ENTERED | 1, Ordering::SeqCst);
        // The thread says that it sleeps before it looks for guests a last time, so that one of the
        // two sees what the other did. To look first is what costs nothing while it is awake.
        let asleep = &self.shared.asleep;
        if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
        Slot(&self.shared)
    }

    pub(super) fn guests(&self) -> usize {
        self.shared.running()
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes guests yield had panicked");
        }
    }
}

/// One guest that is running.
pub(super) struct Slot<'a>(&'a Shared);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One guest in the number of those that there have been.
const ENTERED: u64 = 1 << 32;
/// Where the number of those that there are is.
const RUNNING: u64 = ENTERED - 1;

#[derive(Default)]
struct Shared {
    /// How many guests there are, and from the 33rd bit on how many there have been: in one, because
    /// all threads count here, for every guest.
    guests: AtomicU64,
    asleep: AtomicBool,
    stopping: AtomicBool,
}

impl Shared {
    fn running(&self) -> usize {
        let guests = self.guests.load(Ordering::SeqCst) & RUNNING;
        usize::try_from(guests).unwrap_or(usize::MAX)
    }

    /// Waits until there is a guest, or an end.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst)
            && self.running() == 0
            && !self.stopping.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engines: &[Engine]) {
    let mut entered = 0;
    let mut idle = IDLE_TICKS_MAX;
    while !shared.stopping.load(Ordering::SeqCst) {
        if idle >= IDLE_TICKS_MAX {
            shared.sleep();
            idle = 0;
        }
        thread::park_timeout(TICK);
        for engine in engines {
            engine.increment_epoch();
        }
        let guests = shared.guests.load(Ordering::SeqCst);
        let before = std::mem::replace(&mut entered, guests & !RUNNING);
        let is_idle = before == entered && guests & RUNNING == 0;
        idle = if is_idle { idle + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// How long a test waits for what has to happen.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn until(happened: impl Fn() -> bool) {
        let begun = Instant::now();
        while !happened() {
            assert!(begun.elapsed() < PATIENCE, "it did not happen");
            thread::yield_now();
        }
    }

    #[test]
    fn it_sleeps_without_guests_and_wakes_for_each_that_finds_it_asleep() {
        let ticker = Ticker::start(Vec::new()).expect("there are threads");
        for _ in 0..2 {
            until(|| ticker.shared.asleep.load(Ordering::SeqCst));
            let slot = ticker.enter();
            assert!(!ticker.shared.asleep.load(Ordering::SeqCst));
            assert_eq!(ticker.guests(), 1);
            drop(slot);
            assert_eq!(ticker.guests(), 0);
        }
    }
}
