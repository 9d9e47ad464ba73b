//! Segments through three stages, in order, with a bounded number under way.
//!
//! Reading and writing happen on the caller's thread, so that sources and sinks need not be `Send`
//! and callbacks come from where the caller expects them; what is between happens on any of several
//! threads. Whatever overtakes waits for its turn.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Slots beyond one for each thread: one that is read or written, and one that waits for the first
/// thread to be free.
const SLOTS_MORE: usize = 2;

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

    /// Hands out the segment in `slot`, which is worked on and next in order.
    fn drain(&mut self, slot: &mut Self::Slot) -> Result<(), Self::Error>;
}

/// Lets every segment of `line` be worked on by one of `threads` threads, each of which has a worker
/// of its own.
///
/// With one thread everything happens on the caller's. Where one segment cannot be filled, those
/// before it are still drained, so that what comes out and why it stops do not depend on the number
/// of threads. A line that stops leaves nothing running behind it.
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
    let slots = threads.get() + SLOTS_MORE;
    let (jobs, queue) = sync_channel(slots);
    let queue = Mutex::new(queue);
    let (queue, worker) = (&queue, &worker);
    thread::scope(|scope| {
        let (results, done) = sync_channel(slots);
        let spawn = |results| {
            let serving = move || serve(queue, results, worker());
            thread::Builder::new().spawn_scoped(scope, serving).ok()
        };
        // Where the system gives fewer threads, fewer do the work.
        let spawned = (0..threads.get()).map_while(|_| spawn(results.clone()));
        if spawned.count() == 0 {
            return alone(line, worker());
        }
        // Only threads hold one now: when all of them are gone, nobody waits for them.
        drop(results);
        // Dropped at the end of the closure, whatever that is, which ends the threads.
        Conveyor {
            jobs,
            done,
            free: (0..slots).map(|_| line.slot()).collect(),
            waiting: VecDeque::new(),
        }
        .run(line)
    })
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

/// A segment's slot and its number in the line.
struct Job<S> {
    number: u64,
    slot: S,
}

/// Works until there are no more jobs.
fn serve<S>(
    queue: &Mutex<Receiver<Job<S>>>,
    results: SyncSender<thread::Result<Job<S>>>,
    mut work: impl FnMut(&mut S),
) {
    loop {
        // Nothing panics while the lock is held.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = job else { return };
        // Handed on, because the line would wait for ever for a slot that is lost.
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut job.slot))).map(|()| job);
        if results.send(result).is_err() {
            return;
        }
    }
}

/// The caller's side of a line with several threads.
struct Conveyor<S> {
    jobs: SyncSender<Job<S>>,
    done: Receiver<thread::Result<Job<S>>>,
    free: Vec<S>,
    /// Slots that are under way, the oldest first; those that are worked on are here.
    waiting: VecDeque<Option<S>>,
}

impl<S> Conveyor<S> {
    fn run<L: Line<Slot = S>>(mut self, line: &mut L) -> Result<(), L::Error> {
        let mut drained = 0;
        let mut end = None;
        loop {
            while end.is_none()
                && let Some(mut slot) = self.free.pop()
            {
                match line.fill(&mut slot) {
                    Ok(true) => self.send(Job {
                        number: drained + self.waiting.len() as u64,
                        slot,
                    }),
                    Ok(false) => end = Some(Ok(())),
                    Err(error) => end = Some(Err(error)),
                }
            }
            let Some(mut slot) = self.oldest(drained) else {
                return end.expect("nothing is under way only at the end");
            };
            line.drain(&mut slot)?;
            drained += 1;
            self.free.push(slot);
        }
    }

    fn send(&mut self, job: Job<S>) {
        self.waiting.push_back(None);
        self.jobs
            .send(job)
            .expect("the threads wait for jobs, and there is room for every slot");
    }

    /// Waits for the oldest slot that is under way.
    fn oldest(&mut self, drained: u64) -> Option<S> {
        loop {
            match self.waiting.front_mut()? {
                Some(_) => return self.waiting.pop_front().flatten(),
                None => {
                    let job = self
                        .done
                        .recv()
                        .expect("the threads are there while this is");
                    let Job { number, slot } = job.unwrap_or_else(|panic| resume_unwind(panic));
                    let place = usize::try_from(number - drained)
                        .expect("no more are under way than there are slots");
                    self.waiting[place] = Some(slot);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares the numbers below `end`; the fill refuses `absent`, and the drain `poison`.
    struct Squares {
        next: u64,
        end: u64,
        absent: Option<u64>,
        poison: Option<u64>,
        out: Vec<u64>,
    }

    impl Line for Squares {
        type Slot = u64;
        type Error = u64;

        fn slot(&self) -> u64 {
            0
        }

        fn fill(&mut self, slot: &mut u64) -> Result<bool, u64> {
            if Some(self.next) == self.absent {
                return Err(self.next);
            }
            *slot = self.next;
            self.next += 1;
            Ok(*slot < self.end)
        }

        fn drain(&mut self, slot: &mut u64) -> Result<(), u64> {
            if Some(*slot) == self.poison {
                return Err(*slot);
            }
            self.out.push(*slot);
            Ok(())
        }
    }

    fn line(end: u64, poison: Option<u64>) -> Squares {
        Squares {
            next: 0,
            end,
            absent: None,
            poison,
            out: Vec::new(),
        }
    }

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    /// Every third number takes longest, so that others overtake it.
    fn square(slot: &mut u64) {
        for _ in 0..(*slot % 3) * 1000 {
            thread::yield_now();
        }
        *slot *= *slot;
    }

    #[test]
    fn what_overtakes_waits_for_its_turn() {
        for count in [1, 2, 3, 8] {
            for end in [0, 1, 2, 50] {
                let mut line = line(end, None);
                run(&mut line, threads(count), || square).unwrap();
                let expected: Vec<u64> = (0..end).map(|n| n * n).collect();
                assert_eq!(line.out, expected, "{count} threads");
            }
        }
    }

    #[test]
    fn an_error_ends_the_line_after_what_came_before_it() {
        for count in [1, 2, 4] {
            let mut line = line(1000, Some(25));
            assert_eq!(run(&mut line, threads(count), || square), Err(25));
            assert_eq!(line.out, [0, 1, 4, 9, 16]);
            assert!(line.next < 20, "a bounded number is under way");
        }
    }

    #[test]
    fn what_comes_before_a_segment_that_is_not_there_still_comes_out() {
        for count in [1, 2, 4] {
            let mut missing = line(1000, None);
            missing.absent = Some(6);
            assert_eq!(run(&mut missing, threads(count), || square), Err(6));
            assert_eq!(missing.out, [0, 1, 4, 9, 16, 25]);
            // The first error is told, whoever finds another one first.
            let mut both = line(1000, Some(25));
            both.absent = Some(6);
            assert_eq!(run(&mut both, threads(count), || square), Err(25));
        }
    }

    #[test]
    fn workers_that_cannot_be_made_are_a_panic_and_nobody_waits_for_them() {
        let panicked = catch_unwind(|| {
            let make = || -> fn(&mut u64) { panic!("there is no memory") };
            run(&mut line(100, None), threads(3), make)
        });
        assert!(panicked.is_err());
    }

    #[test]
    fn a_panic_is_the_callers() {
        for count in [1, 2] {
            let panicked = catch_unwind(|| {
                let work = |slot: &mut u64| assert_ne!(*slot, 7, "seven");
                run(&mut line(100, None), threads(count), || work)
            });
            assert!(panicked.is_err());
        }
    }
}
