//! Makes running guests yield, and sleeps when there are none.
//!
//! A guest checks its engine's epoch at every loop and function entry and yields when it has moved
//! on. One thread moves it. An idle proplet has no guests, so this thread then waits without a
//! timeout.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// The longest that a guest computes before it yields. Short enough that stopping feels immediate;
/// long enough that the few microseconds of a yield do not show.
const TICK: Duration = Duration::from_millis(5);

/// The thread and the number of guests it ticks for.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engines: [Engine; 2]) -> io::Result<Self> {
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
    pub(super) fn enter(&self) -> Slot {
        let mut state = self.shared.lock();
        state.guests += 1;
        if state.guests == 1 {
            self.shared.changed.notify_one();
        }
        Slot(Arc::clone(&self.shared))
    }

    pub(super) fn guests(&self) -> usize {
        self.shared.lock().guests
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes guests yield had panicked");
        }
    }
}

/// One guest that is running.
pub(super) struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().guests -= 1;
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    guests: usize,
    stopping: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("counting guests does not panic")
    }
}

fn tick(shared: &Shared, engines: &[Engine]) {
    let mut state = shared.lock();
    while !state.stopping {
        state = if state.guests == 0 {
            let woken = shared.changed.wait(state);
            woken.expect("counting guests does not panic")
        } else {
            let woken = shared.changed.wait_timeout(state, TICK);
            woken.expect("counting guests does not panic").0
        };
        for engine in engines {
            engine.increment_epoch();
        }
    }
}
