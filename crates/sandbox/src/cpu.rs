//! How long things take, and that they end in time.
//!
//! Many a guest's turn is over in microseconds, and asking the kernel how long a thread has been on
//! a processor takes a third of one. So it is asked about turns that are long enough for its answer
//! to differ from the wall clock's. A guest is never charged too little, and for a turn that the
//! kernel has interrupted at most [`SLACK`] too much.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::unconstrained;
use tokio::time::sleep_until;

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

/// The time that a guest has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// On a processor.
    pub(crate) cpu: Duration,
    /// From its first turn to the end of its last one.
    pub(crate) wall: Duration,
}

/// Runs `future` for at most `patience`, and says what it has spent; `None` if that was not enough.
///
/// There is a timer only for a guest that has more than one turn: to make one takes longer than many
/// a guest runs.
pub(crate) async fn metered<F: Future>(
    patience: Duration,
    mut future: Pin<&mut F>,
) -> (Option<F::Output>, Spent) {
    let mut spent = Spent::default();
    let mut first = None;
    let mut timer = None;
    let ended = poll_fn(|context| {
        let (polled, turn) = turn(future.as_mut(), context);
        let begun = *first.get_or_insert(turn.begun);
        spent.cpu += turn.cpu;
        spent.wall = turn.ended.saturating_duration_since(begun);
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        // Whatever is late to say so: a driver of timers has other things to do.
        if spent.wall >= patience {
            return Poll::Ready(None);
        }
        // A time that no clock reaches never comes.
        if timer.is_none()
            && let Some(over) = begun.checked_add(patience)
        {
            // It is looked at also when the guest has used up what it may poll in one turn.
            timer = Some(Box::pin(unconstrained(sleep_until(over.into()))));
        }
        match &mut timer {
            Some(timer) => timer.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await;
    (ended, spent)
}

/// One turn of a guest.
struct Turn {
    begun: Instant,
    ended: Instant,
    cpu: Duration,
}

fn turn<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> (Poll<F::Output>, Turn) {
    let begun = Instant::now();
    let before = Reading::good_at(begun);
    let polled = future.poll(context);
    let ended = Instant::now();
    let took = ended.saturating_duration_since(begun);
    let cpu = match took < SLACK {
        true => took,
        false => {
            let after = Reading::take(ended).on_processor;
            after.saturating_sub(before.on_processor).min(took)
        }
    };
    (polled, Turn { begun, ended, cpu })
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
    use std::pin::pin;
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
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        });
        let before = thread_time();
        let (_, spent) = metered(Duration::from_secs(60), pin!(future)).await;
        (spent.cpu, thread_time().saturating_sub(before))
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

    #[tokio::test]
    async fn a_guest_that_waits_for_too_long_is_left() {
        let patience = Duration::from_millis(1);
        let never = pin!(std::future::pending::<()>());
        let (ended, spent) = metered(patience, never).await;
        assert!(ended.is_none() && spent.wall >= patience, "{spent:?}");
        let in_time = pin!(tokio::task::yield_now());
        let (ended, _) = metered(Duration::MAX, in_time).await;
        assert!(ended.is_some());
    }

    /// As one that only ever yields, in a task that is polled again and again.
    #[tokio::test]
    async fn a_guest_that_is_never_done_is_left_however_often_it_is_asked() {
        let patience = Duration::from_millis(1);
        let busy = pin!(async {
            loop {
                tokio::task::consume_budget().await;
            }
        });
        let (ended, spent): (Option<()>, _) = metered(patience, busy).await;
        assert!(ended.is_none() && spent.wall >= patience, "{spent:?}");
    }
}
