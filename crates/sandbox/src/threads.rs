//! The threads that guests run on.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::runtime::RunError;

/// How many polls a thread makes before it looks at timers, at sockets and at a shutdown. Few,
/// because the poll of a guest takes up to 5 ms: with tokio's 61 a wall clock could be 300 ms late,
/// with these 20. Not every one, because the look takes as long as a part of a small guest.
const EVENT_INTERVAL: u32 = 4;

/// Owned threads. Dropping them stops them without waiting, which asynchronous code may do.
pub(crate) struct Threads(
    /// `None` only while it is dropped.
    Option<Runtime>,
);

impl Threads {
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let count = count.max(1);
        Builder::new_multi_thread()
            .worker_threads(count)
            // Only compilations block, and each of them already uses all cores.
            .max_blocking_threads(count)
            .thread_name("guest")
            .event_interval(EVENT_INTERVAL)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> &Handle {
        let runtime = self.0.as_ref().expect("threads are taken only by drop");
        runtime.handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs `future` on the threads of `handle`, for as long as somebody waits for it.
pub(crate) async fn run_on<T: Send + 'static>(
    handle: &Handle,
    future: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    let mut task = Owned(handle.spawn(future));
    match (&mut task.0).await {
        Ok(end) => end,
        Err(failure) if failure.is_panic() => Err(RunError::Runtime(Arc::new(failure))),
        Err(_) => Err(RunError::Stopped),
    }
}

/// A task that ends with whoever waits for it.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
