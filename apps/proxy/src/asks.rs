//! What proplets ask for: each document and each blob a task of its own, a bounded number of them, with
//! few chunks in memory.

mod answering;
mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use propeller_model::PropletId;
use propeller_wire::images::{AskChunks, AskDocument, CHUNKS_PER_ASK_MAX, FromProxy, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::fault::Fault;
use crate::library::Library;

use answering::Answering;
use queue::{Joined, Queue};

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

/// What is being answered.
#[derive(Debug)]
struct Begun {
    task: AbortHandle,
    /// Of a blob.
    queue: Option<Arc<Queue>>,
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
    under_way: HashMap<Asker, Begun>,
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
        self.spawn(asker, None, work);
        None
    }

    /// As [`Asks::document`]. What is asked for of a blob that is being answered joins what is left to
    /// be answered, so that nothing is given twice at a time, however often it is asked for.
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
        match self.under_way.get(&asker).map(|begun| begun.join(&ask)) {
            Some(Joined::Yes) => return None,
            Some(Joined::Full) => return Some(busy(&asker)),
            // One number is for one thing.
            Some(Joined::Another) => self.abort(&asker),
            Some(Joined::Over) | None => {}
        }
        if let Some(busy) = self.busy(&asker) {
            return Some(busy);
        }
        let answering = self.answering(&asker);
        let number = ask.ask;
        let queue = Arc::new(Queue::of(ask));
        let to_answer = Arc::clone(&queue);
        let work = async move { answering.chunks(number, &to_answer).await };
        self.spawn(asker, Some(queue), work);
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
        let is_it = |begun: &Begun| begun.task.id() == id;
        if self.under_way.get(&asker).is_some_and(is_it) {
            self.under_way.remove(&asker);
        }
    }

    fn busy(&self, asker: &Asker) -> Option<FromProxy> {
        let theirs = self.per_proplet.get(&asker.proplet).copied();
        let full =
            self.tasks.len() >= ASKS_MAX || theirs.unwrap_or_default() >= ASKS_PER_PROPLET_MAX;
        full.then(|| busy(asker))
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

    fn spawn(
        &mut self,
        asker: Asker,
        queue: Option<Arc<Queue>>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.by_task.insert(task.id(), asker.clone());
        *self.per_proplet.entry(asker.proplet.clone()).or_default() += 1;
        self.under_way.insert(asker, Begun { task, queue });
    }

    fn abort(&mut self, asker: &Asker) {
        if let Some(begun) = self.under_way.remove(asker) {
            begun.task.abort();
        }
    }
}

impl Begun {
    fn join(&self, ask: &AskChunks) -> Joined {
        let queue = self.queue.as_ref();
        queue.map_or(Joined::Another, |queue| queue.join(ask))
    }
}

fn busy(asker: &Asker) -> FromProxy {
    let text = "the proxy answers as many asks as it can";
    FromProxy::Failed(Fault::new(Reason::Busy, text).told(asker.ask))
}
