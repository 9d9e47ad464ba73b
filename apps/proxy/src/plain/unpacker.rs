//! The thread on which layers are unpacked, one image at a time.
//!
//! zstd looks back at up to 8 MiB. An allocator keeps what is freed for the thread that had it, so that on
//! several threads that would be there once for each, and with holes in it; so one thread has it, once.

use std::sync::{Mutex, PoisonError};

use propeller_oci::layer::Scratch;
use propeller_wire::images::Reason;
use tokio::sync::{mpsc, oneshot};

use crate::fault::Fault;

/// What is to be done.
type Work = Box<dyn FnOnce(&mut Scratch) + Send>;

/// See the module. The thread is there from the first work on, and ends with this.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    thread: Mutex<Option<mpsc::Sender<Work>>>,
    turn: tokio::sync::Mutex<()>,
}

/// The thread, for as long as an image needs it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    thread: mpsc::Sender<Work>,
    _alone: tokio::sync::MutexGuard<'a, ()>,
}

impl Unpacker {
    /// Waits until no other image is unpacked.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Fault> {
        let alone = self.turn.lock().await;
        Ok(Turn {
            thread: self.thread()?,
            _alone: alone,
        })
    }

    fn thread(&self) -> Result<mpsc::Sender<Work>, Fault> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = thread.as_ref().filter(|running| !running.is_closed()) {
            return Ok(running.clone());
        }
        let (to, mut works) = mpsc::channel::<Work>(1);
        let started = std::thread::Builder::new()
            .name("unpacker".to_owned())
            .spawn(move || {
                let mut scratch = Scratch::default();
                while let Some(work) = works.blocking_recv() {
                    work(&mut scratch);
                }
            });
        let failed = |error| Fault::new(Reason::Busy, format!("no thread to unpack on: {error}"));
        started.map_err(failed)?;
        Ok(thread.insert(to).clone())
    }
}

impl Turn<'_> {
    /// Has the thread do something, and says what will come of it; nothing, if it panics.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let work = move |scratch: &mut Scratch| {
            // Nobody waits for it any more: the proxy stops.
            let _gone = done.send(work(scratch));
        };
        // A thread that is gone drops what it was to do, which is the answer.
        let _gone = self.thread.send(Box::new(work)).await;
        result
    }
}
