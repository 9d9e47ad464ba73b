//! Segments through three stages, in order, with a bounded number under way.
//!
//! Reading and writing happen on the caller's thread, so that sources and sinks need not be `Send`
//! and callbacks come from where the caller expects them; what is between happens on any of several
//! threads, of which the caller's is one. Whatever overtakes waits for its turn.

mod bench;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

use bench::{Bench, Job};

/// Slots for each thread: one that is worked on, and one that lies ready for it while the caller's
/// thread works on a segment as well and hands out nothing.
const SLOTS_EACH: usize = 2;

/// What segments go through.
pub(crate) trait Line {
    /// A segment under way, with its buffers, which are used again for another.
    type Slot: Send;
    /// Why the line stops.
    type Error;

    /// A slot without a segment.
    fn slot(&self) -> Self::Slot;

    /// Takes the next segment into `slot`; `false` when there is none.
    fn fill(&mut self, slot: &mut Self::Slot) -> Result<bool, Self::Error>;

    /// Whether it is known that there are no more segments.
    fn is_over(&self) -> bool;

    /// Hands out the segment in `slot`, which is worked on and next in order.
    fn drain(&mut self, slot: &mut Self::Slot) -> Result<(), Self::Error>;
}

/// Lets every segment of `line` be worked on by one of `threads` threads, each of which has a worker
/// of its own. The caller's is one of them, and others start as there are segments for them: a line
/// of one segment stays on the caller's.
///
/// Where one segment cannot be filled, those before it are still drained, so that what comes out and
/// why it stops do not depend on the number of threads. A line that stops leaves nothing running
/// behind it.
///
/// # Panics
/// If a worker does.
pub(crate) fn run<L: Line, W: FnMut(&mut L::Slot)>(
    line: &mut L,
    threads: NonZeroUsize,
    worker: impl Fn() -> W + Sync,
) -> Result<(), L::Error> {
    if threads.get() == 1 {
        return alone(line, worker());
    }
    let (bench, worker) = (&Bench::new(), &worker);
    let ended = thread::scope(|scope| {
        let hire = || {
            let helper = move || bench.serve(worker);
            thread::Builder::new().spawn_scoped(scope, helper).is_ok()
        };
        let conveyor = Conveyor {
            bench: bench.open(),
            helpers: 0,
            helpers_max: threads.get() - 1,
            slots_max: threads.get() * SLOTS_EACH,
            free: Vec::new(),
            waiting: VecDeque::new(),
            drained: 0,
            end: None,
        };
        conveyor.run(line, hire, worker)
    });
    // Of a helper that panicked when nobody waited for it any more.
    for result in bench.done() {
        drop(result.unwrap_or_else(|panic| resume_unwind(panic)));
    }
    ended
}

/// Everything on the caller's thread.
fn alone<L: Line>(line: &mut L, mut work: impl FnMut(&mut L::Slot)) -> Result<(), L::Error> {
    let mut slot = line.slot();
    while line.fill(&mut slot)? {
        work(&mut slot);
        line.drain(&mut slot)?;
    }
    Ok(())
}

/// The caller's side of a line with several threads.
struct Conveyor<'a, L: Line> {
    /// Dropped before the slots, so that the helpers leave meanwhile.
    bench: bench::Open<'a, L::Slot>,
    /// Threads beside the caller's, so far.
    helpers: usize,
    /// How many of them may be.
    helpers_max: usize,
    /// How many segments may be under way.
    slots_max: usize,
    free: Vec<L::Slot>,
    /// Slots that are under way, the oldest first; those that are worked on are not here.
    waiting: VecDeque<Option<L::Slot>>,
    drained: u64,
    /// Why nothing is filled any more.
    end: Option<Result<(), L::Error>>,
}

/// What the caller's thread does next.
enum Step<S> {
    Fill,
    Drain(S),
    Work(Job<S>),
    End,
}

impl<L: Line> Conveyor<'_, L> {
    fn run<W: FnMut(&mut L::Slot)>(
        mut self,
        line: &mut L,
        hire: impl Fn() -> bool,
        worker: impl Fn() -> W,
    ) -> Result<(), L::Error> {
        // Made when it is needed, since where much is read and written that may be never.
        let mut work = None;
        loop {
            match self.step() {
                Step::Fill => {
                    self.fill(line);
                    self.hire(&hire);
                }
                Step::Drain(mut slot) => {
                    line.drain(&mut slot)?;
                    self.drained += 1;
                    self.free.push(slot);
                }
                Step::Work(mut job) => {
                    work.get_or_insert_with(&worker)(&mut job.slot);
                    self.await_turn(job);
                }
                Step::End => return self.end.expect("it is what ends it"),
            }
        }
    }

    /// What keeps the helpers busy comes first, then what makes room, then work of one's own.
    fn step(&mut self) -> Step<L::Slot> {
        loop {
            for result in self.bench.done() {
                self.await_turn(result.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            let has_room = self.end.is_none() && self.waiting.len() < self.slots_max;
            if has_room && self.bench.queued() < self.helpers_max {
                return Step::Fill;
            }
            if let Some(Some(_)) = self.waiting.front() {
                let oldest = self.waiting.pop_front().flatten();
                return Step::Drain(oldest.expect("it was looked at"));
            }
            if has_room {
                return Step::Fill;
            }
            if self.waiting.is_empty() {
                return Step::End;
            }
            // One for each helper is left, for as long as there will be others.
            let left = if self.end.is_some() { 0 } else { self.helpers };
            if let Some(job) = self.bench.next_beyond(left) {
                return Step::Work(job);
            }
            self.bench.wait();
        }
    }

    /// Puts the next segment into the queue. It is under way from then on.
    fn fill(&mut self, line: &mut L) {
        let mut slot = self.free.pop().unwrap_or_else(|| line.slot());
        match line.fill(&mut slot) {
            Ok(true) => {
                let number = self.drained + self.waiting.len() as u64;
                self.waiting.push_back(None);
                self.bench.put(Job { number, slot });
                self.end = line.is_over().then_some(Ok(()));
            }
            Ok(false) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
        if self.end.is_some() {
            self.bench.close();
        }
    }

    /// Hires a helper if more is to come, and those at hand are busy with what is under way.
    fn hire(&mut self, hire: &impl Fn() -> bool) {
        let is_wanted = self.end.is_none() && self.waiting.len() > self.helpers;
        if !is_wanted || self.helpers == self.helpers_max {
            return;
        }
        match hire() {
            true => self.helpers += 1,
            // Where the system gives fewer threads, fewer do the work.
            false => self.helpers_max = self.helpers,
        }
    }

    /// Keeps what was worked on until everything before it is handed out.
    fn await_turn(&mut self, job: Job<L::Slot>) {
        let place = usize::try_from(job.number - self.drained)
            .expect("no more are under way than there are slots");
        self.waiting[place] = Some(job.slot);
    }
}
