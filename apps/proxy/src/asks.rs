//! What proplets ask for: each ask a task of its own, a bounded number of them, with few chunks in
//! memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use propeller_blobs::BlobError;
use propeller_model::PropletId;
use propeller_oci::Reference;
use propeller_wire::images::{
    AskChunks, AskDocument, CHUNKS_PER_ASK_MAX, Chunk, Document, FromProxy, Progress, Reason,
};
use serde_bytes::ByteBuf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::documents;
use crate::fault::Fault;
use crate::library::Library;

/// Asks that are answered at a time, of all proplets.
const ASKS_MAX: usize = 1024;
/// The same for one of them, so that it takes no place from the others.
const ASKS_PER_PROPLET_MAX: usize = 64;
/// Messages with bytes that are in memory at a time, of all proplets, on their way from the disk to the
/// broker's connection: one that is read while another one waits. More make nothing faster, because
/// they are sealed and sent one after the other.
const IN_MEMORY: usize = 2;
/// Documents that are fetched at a time: each may have 4 MiB.
const DOCUMENTS_AT_ONCE: usize = 2;
/// How long a registry may take for one; no proplet waits longer.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(30);
/// How often a proplet hears of a blob that is still on its way.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) message: Message,
    /// Held until it has been handed to the broker's connection.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// What is said, and to whom.
#[derive(Debug)]
pub(crate) enum Message {
    /// To one proplet, sealed.
    Sealed(PropletId, FromProxy),
    /// To everybody, as it is.
    Plain(Vec<u8>),
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asker {
    proplet: PropletId,
    ask: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Asks {
    library: Arc<Library>,
    answers: mpsc::Sender<Answer>,
    memory: Arc<Semaphore>,
    documents: Arc<Semaphore>,
    tasks: JoinSet<()>,
    by_task: HashMap<Id, Asker>,
    under_way: HashMap<Asker, Vec<AbortHandle>>,
    per_proplet: HashMap<PropletId, usize>,
}

impl Asks {
    /// Nobody asks yet. What they will hear comes out of the receiver.
    pub(crate) fn new(library: Arc<Library>) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, to_send) = mpsc::channel(IN_MEMORY);
        let asks = Self {
            library,
            answers,
            memory: Arc::new(Semaphore::new(IN_MEMORY)),
            documents: Arc::new(Semaphore::new(DOCUMENTS_AT_ONCE)),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            under_way: HashMap::new(),
            per_proplet: HashMap::new(),
        };
        (asks, to_send)
    }

    /// What sends answers, and bounds how many are in memory: for others who have some.
    pub(crate) fn outlet(&self) -> (mpsc::Sender<Answer>, Arc<Semaphore>) {
        (self.answers.clone(), Arc::clone(&self.memory))
    }

    /// Begins to answer. What cannot be begun is answered at once, by what is returned.
    pub(crate) fn document(&mut self, proplet: PropletId, ask: AskDocument) -> Option<FromProxy> {
        let asker = Asker {
            proplet,
            ask: ask.ask,
        };
        // It is asked for as a whole: whoever asks again has waited in vain.
        self.abort(&asker);
        if let Some(busy) = self.busy(&asker) {
            return Some(busy);
        }
        let answering = self.answering(&asker);
        let work = async move { answering.document(ask).await };
        self.spawn(asker, work);
        None
    }

    /// As [`Asks::document`].
    pub(crate) fn chunks(&mut self, proplet: PropletId, ask: AskChunks) -> Option<FromProxy> {
        let asker = Asker {
            proplet,
            ask: ask.ask,
        };
        if ask.again {
            self.abort(&asker);
        }
        if ask.indexes.len() > CHUNKS_PER_ASK_MAX {
            let text = format!("more than {CHUNKS_PER_ASK_MAX} chunks in one ask");
            let fault = Fault::new(Reason::Refused, text);
            return Some(FromProxy::Failed(fault.told(ask.ask)));
        }
        if let Some(busy) = self.busy(&asker) {
            return Some(busy);
        }
        let answering = self.answering(&asker);
        let work = async move { answering.chunks(ask).await };
        self.spawn(asker, work);
        None
    }

    /// Takes back what was in a message that has been sent.
    pub(crate) fn sent(&self, message: FromProxy) {
        if let FromProxy::Chunk(chunk) = message {
            self.library.sent(chunk.bytes.into_vec());
        }
    }

    /// Stops answering.
    pub(crate) fn forget(&mut self, proplet: PropletId, ask: u64) {
        self.abort(&Asker { proplet, ask });
    }

    /// Waits for the end of any of them; for ever, if there is none.
    pub(crate) async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        let Some(asker) = self.by_task.remove(&id) else {
            return;
        };
        if let Some(count) = self.per_proplet.get_mut(&asker.proplet) {
            *count -= 1;
            if *count == 0 {
                self.per_proplet.remove(&asker.proplet);
            }
        }
        if let Some(tasks) = self.under_way.get_mut(&asker) {
            tasks.retain(|task| task.id() != id);
            if tasks.is_empty() {
                self.under_way.remove(&asker);
            }
        }
    }

    fn busy(&self, asker: &Asker) -> Option<FromProxy> {
        let theirs = self.per_proplet.get(&asker.proplet).copied();
        let full =
            self.tasks.len() >= ASKS_MAX || theirs.unwrap_or_default() >= ASKS_PER_PROPLET_MAX;
        let text = "the proxy answers as many asks as it can";
        full.then(|| FromProxy::Failed(Fault::new(Reason::Busy, text).told(asker.ask)))
    }

    fn answering(&self, asker: &Asker) -> Answering {
        Answering {
            library: Arc::clone(&self.library),
            answers: self.answers.clone(),
            memory: Arc::clone(&self.memory),
            documents: Arc::clone(&self.documents),
            proplet: asker.proplet.clone(),
        }
    }

    fn spawn(&mut self, asker: Asker, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(work);
        self.by_task.insert(task.id(), asker.clone());
        *self.per_proplet.entry(asker.proplet.clone()).or_default() += 1;
        self.under_way.entry(asker).or_default().push(task);
    }

    fn abort(&mut self, asker: &Asker) {
        for task in self.under_way.remove(asker).unwrap_or_default() {
            task.abort();
        }
    }
}

/// A document with its place in memory.
type Found = (documents::Document, OwnedSemaphorePermit);

/// What one ask is answered with.
struct Answering {
    library: Arc<Library>,
    answers: mpsc::Sender<Answer>,
    memory: Arc<Semaphore>,
    documents: Arc<Semaphore>,
    proplet: PropletId,
}

impl Answering {
    async fn document(self, ask: AskDocument) {
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

    async fn chunks(self, ask: AskChunks) {
        let number = ask.ask;
        if let Err(fault) = self.give(ask).await {
            self.say(FromProxy::Failed(fault.told(number)), None).await;
        }
    }

    async fn give(&self, ask: AskChunks) -> Result<(), Fault> {
        let reference = self.library.permitted(&ask.reference)?;
        let mut again = true;
        let mut coming = self.library.blob(&reference, ask.digest, ask.len)?;
        let mut indexes = ask.indexes.into_iter();
        let mut next = indexes.next();
        while let Some(index) = next {
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
            let place = self.telling(ask.ask, &bytes, ready).await?;
            match self.library.chunk(&coming, index).await {
                Ok(bytes) => {
                    let bytes = ByteBuf::from(bytes);
                    let chunk = Chunk {
                        ask: ask.ask,
                        index,
                        bytes,
                    };
                    self.say(FromProxy::Chunk(chunk), Some(place)).await;
                    next = indexes.next();
                }
                Err(error @ BlobError::Damaged(_)) if again => {
                    again = false;
                    self.library.damaged(&coming, &error);
                    coming = self.library.blob(&reference, ask.digest, ask.len)?;
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
