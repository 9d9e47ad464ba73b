//! Room for daemons, which keep what they have.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many daemons at a time.
#[derive(Debug, Clone)]
pub struct Daemons {
    places: Arc<Semaphore>,
    most: u32,
}

impl Daemons {
    /// Room for `most` of them.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// A place for a task, to be held for as long as it runs, if it is a daemon; others need none.
    ///
    /// # Errors
    /// See [`NoPlace`].
    pub fn place(&self, daemon: bool) -> Result<Option<OwnedSemaphorePermit>, NoPlace> {
        let place = daemon.then(|| Arc::clone(&self.places).try_acquire_owned());
        let most = self.most;
        place.transpose().map_err(|_| NoPlace { most })
    }
}

/// There is no room for another daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this proplet runs at most {most} daemons at a time (PROPLET_MAX_DAEMONS)")]
pub struct NoPlace {
    most: u32,
}

impl NoPlace {
    /// Whether there may be room once another daemon has ended.
    #[must_use]
    pub fn may_end(self) -> bool {
        self.most > 0
    }
}
