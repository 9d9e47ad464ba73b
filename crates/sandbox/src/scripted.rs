//! The port as a script: no engine, no threads, no clock.
//!
//! For the tests of whoever calls a [`Runtime`]: every end, including the ones that are hard to
//! provoke, happens exactly when it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::exit::Exit;
use crate::job::Job;
use crate::runtime::{RunError, Runtime};

/// A runtime that does what a script says.
///
/// ```
/// use propeller_sandbox::{Act, Exit, Scripted, Status};
///
/// let runtime = Scripted::new(|job| match job.args.len() {
///     0 => Act::Hang,
///     _ => Act::End(Ok(Exit::from(Status::Returned))),
/// });
/// assert_eq!(runtime.running(), 0);
/// ```
pub struct Scripted {
    script: Box<dyn Fn(&Job) -> Act + Send + Sync>,
    running: AtomicUsize,
}

/// What happens to one job.
#[derive(Clone, Debug)]
pub enum Act {
    /// It ends, at once.
    End(Result<Exit, RunError>),
    /// It runs until its future is dropped.
    Hang,
}

impl Scripted {
    /// A runtime in which `script` decides about every job.
    pub fn new(script: impl Fn(&Job) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            running: AtomicUsize::new(0),
        }
    }

    /// A runtime that plays `acts` one after the other, then is [`RunError::Stopped`].
    pub fn in_order(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts: Mutex<VecDeque<Act>> = Mutex::new(acts.into_iter().collect());
        Self::new(move |_| {
            let mut acts = acts.lock().expect("popping an act does not panic");
            acts.pop_front().unwrap_or(Act::End(Err(RunError::Stopped)))
        })
    }

    /// How many jobs hang.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

impl Runtime for Scripted {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = Result<Exit, RunError>> + Send + '_>> {
        Box::pin(async move {
            let _slot = Slot::take(&self.running);
            match (self.script)(&job) {
                Act::End(end) => end,
                Act::Hang => std::future::pending().await,
            }
        })
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// Counts a job for as long as its future lives.
struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    fn take(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
