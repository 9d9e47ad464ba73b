//! Lines of numbers, which are squared.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread::ThreadId;

use super::*;

/// Squares the numbers below `end`; the fill refuses `absent`, and the drain `poison`.
struct Squares {
    next: u64,
    end: u64,
    /// Whether it says of the last number that it is the last.
    knows_its_end: bool,
    absent: Option<u64>,
    poison: Option<u64>,
    /// Slots that were made.
    slots: std::cell::Cell<usize>,
    out: Vec<u64>,
}

impl Line for Squares {
    type Slot = u64;
    type Error = u64;

    fn slot(&self) -> u64 {
        self.slots.set(self.slots.get() + 1);
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

    fn is_over(&self) -> bool {
        self.knows_its_end && self.next >= self.end
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
        knows_its_end: false,
        absent: None,
        poison,
        slots: std::cell::Cell::new(0),
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

fn here() -> ThreadId {
    thread::current().id()
}

#[test]
fn what_overtakes_waits_for_its_turn() {
    for count in [1, 2, 3, 8] {
        for end in [0, 1, 2, 3, 50] {
            for knows_its_end in [false, end > 0] {
                let mut line = line(end, None);
                line.knows_its_end = knows_its_end;
                run(&mut line, threads(count), || square).unwrap();
                let expected: Vec<u64> = (0..end).map(|n| n * n).collect();
                assert_eq!(line.out, expected, "{count} threads");
            }
        }
    }
}

#[test]
fn a_line_of_one_segment_stays_on_the_callers_thread_and_takes_one_slot() {
    for count in [1, 2, 8] {
        let mut line = line(1, None);
        line.knows_its_end = true;
        let made_on = Mutex::new(Vec::new());
        let make = || {
            made_on.lock().unwrap().push(here());
            square
        };
        run(&mut line, threads(count), make).unwrap();
        assert_eq!(*made_on.lock().unwrap(), [here()], "{count} threads");
        assert_eq!(line.slots.get(), 1);
    }
}

#[test]
fn the_callers_thread_is_one_of_those_that_work() {
    for count in [2, 3, 4] {
        let at_work = Mutex::new(HashSet::new());
        // Nobody goes on until all are at work at once, which they never are if one is missing.
        let all = Barrier::new(count);
        let work = |slot: &mut u64| {
            if at_work.lock().unwrap().insert(here()) {
                all.wait();
            }
            square(slot);
        };
        let mut line = line(200, None);
        run(&mut line, threads(count), || work).unwrap();
        let at_work = at_work.into_inner().unwrap();
        assert_eq!(at_work.len(), count);
        assert!(at_work.contains(&here()));
        assert!(line.slots.get() <= count * SLOTS_EACH);
        assert_eq!(line.out.len(), 200);
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
        for absent in [0, 1, 6] {
            let mut missing = line(1000, None);
            missing.absent = Some(absent);
            assert_eq!(run(&mut missing, threads(count), || square), Err(absent));
            let before: Vec<u64> = (0..absent).map(|n| n * n).collect();
            assert_eq!(missing.out, before);
        }
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
fn a_helper_that_cannot_be_made_is_a_panic_while_the_caller_works() {
    let caller = here();
    let panicked = catch_unwind(|| {
        let make = || {
            assert_eq!(here(), caller, "there is no memory");
            square
        };
        run(&mut line(100, None), threads(2), make)
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

/// Counts those that are there.
struct Present<'a>(&'a AtomicUsize);

impl<'a> Present<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn however_a_line_ends_its_workers_are_gone_then() {
    let check = |mut line: Squares, panics_at: Option<u64>| {
        let present = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let make = || {
            let me = Present::new(&present);
            most.fetch_max(present.load(Ordering::SeqCst), Ordering::SeqCst);
            move |slot: &mut u64| {
                let _me = &me;
                assert_ne!(Some(*slot), panics_at);
                square(slot);
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(|| run(&mut line, threads(4), make)));
        assert_eq!(present.load(Ordering::SeqCst), 0);
        assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
        ended.is_ok()
    };
    assert!(check(line(100, None), None));
    assert!(check(line(1000, Some(25)), None));
    let mut missing = line(1000, None);
    missing.absent = Some(30);
    assert!(check(missing, None));
    assert!(!check(line(1000, None), Some(40)));
}
