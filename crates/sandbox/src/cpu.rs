//! How long things take.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

/// Adds up the time that `future` spends on a processor.
pub(crate) async fn metered<F: Future>(future: F, cpu: &mut Duration) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let before = thread_time();
        let polled = future.as_mut().poll(context);
        *cpu += thread_time().saturating_sub(before);
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
