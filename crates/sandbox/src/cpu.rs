//! How long things take.
//!
//! Many a guest's turn is over in microseconds, and asking the kernel how long a thread has been on
//! a processor takes a third of one. So it is asked about turns that are long enough for its answer
//! to differ from the wall clock's. A guest is never charged too little, and for a turn that the
//! kernel has interrupted at most [`SLACK`] too much.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Turns that are shorter count in full; and an answer of the kernel is good for this long.
const SLACK: Duration = Duration::from_micros(100);

/// What the kernel has said about this thread, and when.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    on_processor: Duration,
}

impl Reading {
    fn take(at: Instant) -> Self {
        let on_processor = thread_time();
        let reading = Self { at, on_processor };
        LAST.set(Some(reading));
        reading
    }

    /// One that was good at `now`: what is added to it until then is less than [`SLACK`].
    fn good_at(now: Instant) -> Self {
        let last = LAST.get();
        let good = last.filter(|last| now.saturating_duration_since(last.at) < SLACK);
        good.unwrap_or_else(|| Self::take(now))
    }
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

/// Adds up the time that `future` spends on a processor.
pub(crate) async fn metered<F: Future>(future: F, cpu: &mut Duration) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let begun = Instant::now();
        let before = Reading::good_at(begun);
        let polled = future.as_mut().poll(context);
        let ended = Instant::now();
        let took = ended.saturating_duration_since(begun);
        *cpu += match took < SLACK {
            true => took,
            false => {
                let after = Reading::take(ended).on_processor;
                after.saturating_sub(before.on_processor).min(took)
            }
        };
        polled
    })
    .await
}

/// Time that this thread has spent on a processor.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What a future with these turns is charged, and what the kernel says about it.
    async fn charged(turns: u32, turn: impl Fn()) -> (Duration, Duration) {
        let mut left = turns;
        let future = poll_fn(|context| {
            turn();
            left -= 1;
            context.waker().wake_by_ref();
            match left {
                0 => std::task::Poll::Ready(()),
                _ => std::task::Poll::Pending,
            }
        });
        let mut cpu = Duration::ZERO;
        let before = thread_time();
        metered(future, &mut cpu).await;
        (cpu, thread_time().saturating_sub(before))
    }

    #[tokio::test]
    async fn a_guest_that_waits_on_its_thread_is_charged_at_most_the_slack() {
        let (cpu, spent) = charged(3, || thread::sleep(Duration::from_millis(5))).await;
        assert!(cpu <= spent + 3 * SLACK, "{cpu:?} for {spent:?}");
    }

    #[tokio::test]
    async fn a_guest_that_computes_is_charged_for_it() {
        for (turns, each) in [(3, 20 * SLACK), (100, SLACK / 10)] {
            let (cpu, spent) = charged(turns, || {
                let until = thread_time() + each;
                while thread_time() < until {}
            })
            .await;
            assert!(cpu >= turns * each, "{cpu:?} of {spent:?}");
        }
    }
}
