//! Room for daemons, which keep what they have.

use std::sync::Arc;

use propeller_wire::message::Input;
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

    /// A place for a task that is a daemon, to be held for as long as it runs; others need none.
    ///
    /// # Errors
    /// In words, that there is none left.
    pub fn place(&self, input: &Input) -> Result<Option<OwnedSemaphorePermit>, String> {
        let place = input
            .daemon
            .then(|| Arc::clone(&self.places).try_acquire_owned());
        place.transpose().map_err(|_| {
            let most = self.most;
            format!("this proplet runs at most {most} daemons at a time (PROPLET_MAX_DAEMONS)")
        })
    }
}
