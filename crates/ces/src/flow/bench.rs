//! Where segments lie that wait for a thread, or for their turn after it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A segment's slot and its number in the line.
pub(super) struct Job<S> {
    pub(super) number: u64,
    pub(super) slot: S,
}

/// What the caller's thread and its helpers share. It holds no more jobs than there are slots.
pub(super) struct Bench<S> {
    state: Mutex<State<S>>,
    /// There is something in the queue, or nothing comes any more.
    queued: Condvar,
    /// Something is done.
    done: Condvar,
}

struct State<S> {
    queue: VecDeque<Job<S>>,
    /// In the order in which they were done; panics of helpers are among them.
    done: Vec<thread::Result<Job<S>>>,
    /// Whether nothing more comes into the queue.
    is_closed: bool,
}

/// The caller's side of a bench: when it is dropped, the helpers leave.
pub(super) struct Open<'a, S>(&'a Bench<S>);

impl<S> Bench<S> {
    pub(super) fn new() -> Self {
        let state = State {
            queue: VecDeque::new(),
            done: Vec::new(),
            is_closed: false,
        };
        Self {
            state: Mutex::new(state),
            queued: Condvar::new(),
            done: Condvar::new(),
        }
    }

    pub(super) fn open(&self) -> Open<'_, S> {
        Open(self)
    }

    /// Nothing of anybody else runs while the lock is held: what it guards is always whole.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on what is queued until nothing more comes.
    pub(super) fn serve<W: FnMut(&mut S)>(&self, worker: impl Fn() -> W) {
        // Panics are handed on, because the line would wait for ever for a slot that is lost.
        let mut work = match catch_unwind(AssertUnwindSafe(worker)) {
            Ok(work) => work,
            Err(panic) => return self.finish(Err(panic)),
        };
        while let Some(mut job) = self.next() {
            let result = catch_unwind(AssertUnwindSafe(|| work(&mut job.slot)));
            self.finish(result.map(|()| job));
        }
    }

    /// Waits for the oldest job in the queue; `None` when no more come.
    fn next(&self) -> Option<Job<S>> {
        let waits = |state: &mut State<S>| state.queue.is_empty() && !state.is_closed;
        let state = self.queued.wait_while(self.lock(), waits);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.queue.pop_front()
    }

    fn finish(&self, result: thread::Result<Job<S>>) {
        self.lock().done.push(result);
        self.done.notify_one();
    }

    /// Puts a job at the end of the queue.
    pub(super) fn put(&self, job: Job<S>) {
        self.lock().queue.push_back(job);
        self.queued.notify_one();
    }

    /// Nothing more comes: helpers leave as soon as the queue is empty.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.queued.notify_all();
    }

    /// How many jobs nobody works on.
    pub(super) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// The oldest job in the queue, if more than `left` are there.
    pub(super) fn next_beyond(&self, left: usize) -> Option<Job<S>> {
        let mut state = self.lock();
        match state.queue.len() > left {
            true => state.queue.pop_front(),
            false => None,
        }
    }

    /// What was done since the last call.
    pub(super) fn done(&self) -> Vec<thread::Result<Job<S>>> {
        std::mem::take(&mut self.lock().done)
    }

    /// Waits until something is done.
    pub(super) fn wait(&self) {
        let state = self
            .done
            .wait_while(self.lock(), |state| state.done.is_empty());
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }
}

impl<S> Deref for Open<'_, S> {
    type Target = Bench<S>;

    fn deref(&self) -> &Bench<S> {
        self.0
    }
}

impl<S> Drop for Open<'_, S> {
    fn drop(&mut self) {
        // What nobody began is not worked on; its memory goes when the lock is free again.
        let unwanted = std::mem::take(&mut self.0.lock().queue);
        self.0.close();
        drop(unwanted);
    }
}
