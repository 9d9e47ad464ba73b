//! The answer to one ask: a document, or the chunks of a blob one after the other, and meanwhile that it
//! is on its way.

use std::sync::Arc;
use std::time::Duration;

use propeller_blobs::BlobError;
use propeller_model::PropletId;
use propeller_oci::Reference;
use propeller_wire::images::{AskDocument, Chunk, Document, FromProxy, Progress, Reason};
use serde_bytes::ByteBuf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::queue::Queue;
use super::{Answer, Message};
use crate::documents;
use crate::fault::Fault;
use crate::library::Library;

/// How long a registry may take for a document; no proplet waits longer.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(30);
/// How often a proplet hears of a blob that is still on its way.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A document with its place in memory.
type Found = (documents::Document, OwnedSemaphorePermit);

/// What one ask is answered with.
pub(super) struct Answering {
    pub(super) library: Arc<Library>,
    pub(super) answers: mpsc::Sender<Answer>,
    pub(super) memory: Arc<Semaphore>,
    pub(super) documents: Arc<Semaphore>,
    pub(super) proplet: PropletId,
}

impl Answering {
    pub(super) async fn document(self, ask: AskDocument) {
        let AskDocument { ask, reference } = ask;
        let found = async {
            let reference = self.library.permitted(&reference)?;
            self.find(&reference).await
        };
        match self.telling(ask, &|| 0, found).await {
            Ok((document, place)) => {
                let message = FromProxy::Document(Document {
                    ask,
                    media_type: document.media_type,
                    bytes: ByteBuf::from(document.bytes),
                });
                self.say(message, Some(place)).await;
            }
            Err(fault) => self.say(FromProxy::Failed(fault.told(ask)), None).await,
        }
    }

    /// A document, and its place in memory: from the disk, or else from its registry, once for all who
    /// wait for it.
    async fn find(&self, reference: &Reference) -> Result<Found, Fault> {
        let documents = self.library.documents();
        if let Some(found) = self.held(reference).await? {
            return Ok(found);
        }
        let Some(turn) = documents.turn(reference) else {
            return self.fetch(reference).await;
        };
        let mut failed = turn.lock().await;
        if let Some(fault) = &*failed {
            return Err(fault.clone());
        }
        if let Some(found) = self.held(reference).await? {
            return Ok(found);
        }
        match self.fetch(reference).await {
            Ok(found) => {
                documents.keep(reference, &found.0).await;
                Ok(found)
            }
            Err(fault) => {
                documents.failed(reference);
                *failed = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// A document that is on the disk; it takes the place of a chunk.
    async fn held(&self, reference: &Reference) -> Result<Option<Found>, Fault> {
        let documents = self.library.documents();
        if !documents.holds(reference) {
            return Ok(None);
        }
        let place = place(&self.memory).await?;
        let held = documents.held(reference).await;
        Ok(held.map(|document| (document, place)))
    }

    async fn fetch(&self, reference: &Reference) -> Result<Found, Fault> {
        // Places of their own: a registry that is slow holds up no chunk, and nothing that is here.
        let place = place(&self.documents).await?;
        let document = self.library.document(reference);
        let document = tokio::time::timeout(DOCUMENT_PATIENCE, document).await;
        let late = || {
            let text = format!("no manifest within {DOCUMENT_PATIENCE:?}");
            Err(Fault::new(Reason::Network, text))
        };
        Ok((document.unwrap_or_else(|_| late())?, place))
    }

    /// Waits for something, and tells whoever has asked that it is on its way.
    async fn telling<T>(
        &self,
        ask: u64,
        bytes: &(dyn Fn() -> u64 + Sync),
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        let mut late = tokio::time::interval(PROGRESS_EVERY);
        late.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = late.tick() => {
                    let progress = Progress { ask, bytes: bytes() };
                    self.say(FromProxy::Progress(progress), None).await;
                }
            }
        }
    }

    pub(super) async fn chunks(self, ask: u64, queue: &Queue) {
        if let Err(fault) = self.give(ask, queue).await {
            // Whoever asks when he has heard of it asks anew.
            queue.close();
            self.say(FromProxy::Failed(fault.told(ask)), None).await;
        }
    }

    async fn give(&self, ask: u64, queue: &Queue) -> Result<(), Fault> {
        let blob = queue.blob();
        let reference = self.library.permitted(&blob.reference)?;
        let mut again = true;
        let mut coming = self.library.blob(&reference, blob.digest, blob.len)?;
        while let Some(index) = queue.first() {
            if index >= coming.count() {
                let text = format!("chunk {index} is not one of {}", coming.count());
                return Err(Fault::new(Reason::Refused, text));
            }
            let (here, memory) = (coming.clone(), &self.memory);
            let bytes = || here.bytes();
            let ready = async {
                coming.ready(index).await?;
                place(memory).await
            };
            let place = self.telling(ask, &bytes, ready).await?;
            match self.library.chunk(&coming, index).await {
                Ok(bytes) => {
                    let bytes = ByteBuf::from(bytes);
                    let chunk = Chunk { ask, index, bytes };
                    // From here on it may be lost, and is given again to whoever asks again.
                    queue.given();
                    self.say(FromProxy::Chunk(chunk), Some(place)).await;
                }
                Err(error @ BlobError::Damaged(_)) if again => {
                    again = false;
                    self.library.damaged(&coming, &error);
                    coming = self.library.blob(&reference, blob.digest, blob.len)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn say(&self, message: FromProxy, place: Option<OwnedSemaphorePermit>) {
        let answer = Answer {
            message: Message::Sealed(self.proplet.clone(), message),
            place,
        };
        // Nobody sends it any more: the proxy stops.
        let _sent = self.answers.send(answer).await;
    }
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Fault> {
    let place = Arc::clone(places).acquire_owned().await;
    place.map_err(|_| Fault::new(Reason::Proxy, "the proxy stops"))
}
