//! Attempts that want one encrypted image at the same time: its layers come once for all of them, as
//! they are in the registry, and each attempt opens them with the keys that were released for it.
//!
//! ```text
//!  attempt ──▶ join ──▶ one place in memory for all ──▶ turn ──▶ layers: fetched by the first,
//!  attempt ──▶ join ──▶                             ──▶ turn ──▶         copied by the others
//! ```
//!
//! What is kept of it is gone with the last of them, and is ciphertext.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use propeller_model::Digest;
use propeller_oci::image::{ImageError, PullOptions, Pulled, pull};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress, SILENTLY};
use propeller_oci::signatures::Admitted;
use propeller_oci::{Coming, Pieces, Reference, RegistryError, Source};
use tokio::sync::{AcquireError, Mutex as Turn, OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::images::Wanted;

/// Those who want encrypted images now.
#[derive(Debug)]
pub(crate) struct Together {
    /// Images that may be in memory, packed and unpacked.
    places: Arc<Semaphore>,
    open: Mutex<HashMap<Wanted, Weak<Group>>>,
}

/// Those who want one image.
#[derive(Debug, Default)]
struct Group {
    /// One for all of them, so that no image keeps its layers here while it waits for another.
    place: OnceCell<OwnedSemaphorePermit>,
    /// One after the other opens it.
    turn: Turn<()>,
    layers: Mutex<HashMap<Digest, Arc<Pieces>>>,
}

impl Together {
    pub(crate) fn new(places: Arc<Semaphore>) -> Self {
        Self {
            places,
            open: Mutex::default(),
        }
    }

    /// The module of an image, opened with the keys in `options`.
    ///
    /// # Errors
    /// As [`pull`]; the outer one only when the proplet stops.
    pub(crate) async fn pull(
        &self,
        wanted: Wanted,
        source: &dyn Source,
        admitted: &Admitted,
        options: &PullOptions,
    ) -> Result<Result<Pulled, ImageError>, AcquireError> {
        let group = self.join(wanted);
        let place = || Arc::clone(&self.places).acquire_owned();
        group.place.get_or_try_init(place).await?;
        let _turn = group.turn.lock().await;
        let group = &group;
        let pulled = pull(&Shared { source, group }, admitted, options, SILENTLY).await;
        if pulled.is_ok() {
            // Whoever comes now is another group, so that an image that is wanted again and again does
            // not keep its place for ever.
            self.close(wanted, group);
        }
        Ok(pulled)
    }

    fn join(&self, wanted: Wanted) -> Arc<Group> {
        let mut open = self.open.lock().expect("no thread panics with it");
        open.retain(|_, group| group.strong_count() > 0);
        if let Some(group) = open.get(&wanted).and_then(Weak::upgrade) {
            return group;
        }
        let group = Arc::new(Group::default());
        open.insert(wanted, Arc::downgrade(&group));
        group
    }

    fn close(&self, wanted: Wanted, group: &Arc<Group>) {
        let mut open = self.open.lock().expect("no thread panics with it");
        let is_it = |open: &Weak<Group>| open.as_ptr() == Arc::as_ptr(group);
        if open.get(&wanted).is_some_and(is_it) {
            open.remove(&wanted);
        }
    }
}

/// A source for one member of a group.
struct Shared<'a> {
    source: &'a dyn Source,
    group: &'a Arc<Group>,
}

impl Shared<'_> {
    /// Whether nobody else wants it as far as is known: whoever joins later fetches again what was not
    /// kept for him.
    fn is_alone(&self) -> bool {
        Arc::strong_count(self.group) == 1
    }

    /// A layer that another member has fetched.
    fn kept(&self, digest: Digest) -> Option<Arc<Pieces>> {
        let mut layers = self.group.layers.lock().expect("no thread panics with it");
        match self.is_alone() {
            true => layers.remove(&digest),
            false => layers.get(&digest).cloned(),
        }
    }

    fn keep(&self, digest: Digest, bytes: Pieces) -> Arc<Pieces> {
        let bytes = Arc::new(bytes);
        if !self.is_alone() {
            let mut layers = self.group.layers.lock().expect("no thread panics with it");
            layers.insert(digest, Arc::clone(&bytes));
        }
        bytes
    }
}

/// As it is, if nobody else has it; a copy takes a moment that others need not wait for.
async fn own(bytes: Arc<Pieces>) -> Result<Pieces, RegistryError> {
    let owned = tokio::task::spawn_blocking(move || Arc::unwrap_or_clone(bytes));
    // Only a runtime that is shutting down drops work.
    owned.await.map_err(|_| RegistryError::Stopped)
}

impl Source for Shared<'_> {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        self.source.document(reference)
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        descriptor: &'a Descriptor,
        progress: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(async move {
            let digest = descriptor.digest;
            if let Some(bytes) = self.kept(digest) {
                progress(descriptor.size);
                return own(bytes).await;
            }
            let fetched = self.source.blob(reference, descriptor, progress).await?;
            own(self.keep(digest, fetched)).await
        })
    }
}
