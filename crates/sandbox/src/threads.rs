//! The threads that guests run on, those that wait for their host calls, and those that compile.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::runtime::RunError;

/// How many polls a thread makes before it looks at timers, at sockets and at a shutdown. Few,
/// because the poll of a guest takes up to 5 ms: with tokio's 61 a wall clock could be 300 ms late,
/// with these 20. Not every one, because the look takes as long as a part of a small guest.
const EVENT_INTERVAL: u32 = 4;

/// How many calls of guests into their host may be in the kernel at a time: four for each of the
/// attempts that a proplet has by default. A call that blocks, such as the opening of a named pipe
/// that nobody else opens, or the look-up of a name where no server answers, keeps its thread until
/// the kernel gives it back, also after its guest has ended: a few KiB of memory, and one of these.
/// Beyond, calls wait, and their guests end by their wall clock; nothing else waits for them.
const HOST_CALLS_MAX: usize = 256;

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
            .max_blocking_threads(HOST_CALLS_MAX)
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

/// Threads for what blocks and is no guest's: they start when there is something to make, and end
/// when there has been nothing for some seconds. Dropping them waits for nobody.
pub(crate) struct Makers(
    /// `None` only while it is dropped. Nothing but its blocking threads is ever used.
    Option<Runtime>,
);

impl Makers {
    pub(crate) fn new(count: usize) -> Self {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(count.max(1))
            .thread_name("maker")
            .build();
        Self(Some(runtime.expect("without drivers it opens nothing")))
    }

    /// Runs `work` when a thread is free. What has not begun is dropped with the threads.
    pub(crate) fn make(&self, work: impl FnOnce() + Send + 'static) {
        let runtime = self.0.as_ref().expect("threads are taken only by drop");
        // It says by itself what came of it.
        drop(runtime.spawn_blocking(work));
    }
}

impl Drop for Makers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether this thread is one of those of `handle`. A job stays there: the way to another thread and
/// back takes longer than many a guest.
pub(crate) fn is_here(handle: &Handle) -> bool {
    Handle::try_current().is_ok_and(|here| here.id() == handle.id())
}

/// Runs `future` on the threads of `handle`, for as long as somebody waits for it.
pub(crate) async fn run_on<T: Send + 'static>(
    handle: &Handle,
    future: impl Future<Output = Result<T, RunError>> + Send + 'static,
) -> Result<T, RunError> {
    if is_here(handle) {
        return in_place(pin!(future)).await;
    }
    let mut task = Owned(handle.spawn(future));
    match (&mut task.0).await {
        Ok(end) => end,
        Err(failure) if failure.is_panic() => Err(RunError::Runtime(Arc::new(failure))),
        Err(_) => Err(RunError::Stopped),
    }
}

/// Runs `future` where its caller is. As on a thread of its own, a panic is the end of its job alone.
pub(crate) async fn in_place<T>(
    mut future: Pin<&mut impl Future<Output = Result<T, RunError>>>,
) -> Result<T, RunError> {
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(RunError::Runtime(Arc::new(Panicked)))))
    })
    .await
}

/// What it was is in the process's log.
#[derive(Debug, thiserror::Error)]
#[error("the runtime panicked")]
struct Panicked;

/// A task that ends with whoever waits for it.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    async fn thread_of_a_job(handle: &Handle) -> thread::ThreadId {
        let job = async { Ok(thread::current().id()) };
        run_on(handle, job).await.expect("it runs")
    }

    #[tokio::test]
    async fn a_job_stays_where_it_is_only_on_a_thread_for_guests() {
        let threads = Threads::start(1).expect("there are threads");
        let handle = threads.handle().clone();
        assert_ne!(thread_of_a_job(&handle).await, thread::current().id());
        let there = async move { (thread_of_a_job(&handle).await, thread::current().id()) };
        let there = threads.handle().spawn(there).await;
        let (job, caller) = there.expect("it does not panic");
        assert_eq!(job, caller);
    }

    #[tokio::test]
    async fn a_job_that_panics_ends_alone_wherever_it_runs() {
        let threads = Threads::start(1).expect("there are threads");
        let handle = threads.handle().clone();
        let fails = |handle: Handle| async move {
            let job = async { panic!("as a runtime with a mistake does") };
            let end: Result<(), RunError> = run_on(&handle, job).await;
            matches!(end, Err(RunError::Runtime(_)))
        };
        assert!(fails(handle.clone()).await);
        let there = threads.handle().spawn(fails(handle)).await;
        assert!(there.expect("the caller goes on"));
    }
}
