//! Upstream's proplets, in upstream's JSON: a whole module in chunks, to everybody at once.
//!
//! Off unless the operator turns it on. What is sent can be read by whoever reads the broker.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::BASE64;
use propeller_oci::crypt::Keys;
use propeller_oci::image::{Place, PullOptions, pull, resolve};
use propeller_oci::registry::SILENTLY;
use propeller_oci::{Reference, Registry, chain, signatures};
use propeller_wire::images::Reason;
use propeller_wire::upstream::{self, Chunk, Fetch};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tracing::{info, warn};

use crate::asks::{Answer, Message};
use crate::fault::Fault;
use crate::library::Library;

/// Images that are sent at a time; more are not heard, and asked for again.
const SENDING_MAX: usize = 50;
/// The largest layers, and the largest module, of an image that has to be unpacked in memory: one
/// at a time. A module that is a layer by itself may have any size.
const UNPACKED_BYTES_MAX: u64 = 8 << 20;
const ENTRIES_MAX: usize = 10_000;
/// What a chunk in JSON has besides its bytes and its name.
const AROUND: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Plain {
    library: Arc<Library>,
    chunk_len: u32,
    answers: mpsc::Sender<Answer>,
    memory: Arc<Semaphore>,
    unpacking: Arc<Semaphore>,
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Plain {
    pub(crate) fn new(
        library: Arc<Library>,
        chunk_len: u32,
        answers: mpsc::Sender<Answer>,
        memory: Arc<Semaphore>,
    ) -> Self {
        Self {
            library,
            chunk_len,
            answers,
            memory,
            unpacking: Arc::new(Semaphore::new(1)),
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Sends a module, unless it is being sent: whoever has asked hears that as well.
    pub(crate) fn asked(&mut self, bytes: &[u8]) {
        let Ok(Fetch { app_name }) = upstream::read(bytes) else {
            return;
        };
        let known = self.names.values().any(|name| *name == app_name);
        if known || self.tasks.len() >= SENDING_MAX {
            return;
        }
        let sending = Sending {
            library: Arc::clone(&self.library),
            chunk_len: self.chunk_len as usize,
            answers: self.answers.clone(),
            memory: Arc::clone(&self.memory),
            unpacking: Arc::clone(&self.unpacking),
            app_name: app_name.clone(),
        };
        let task = self.tasks.spawn(sending.run());
        self.names.insert(task.id(), app_name);
    }

    /// Waits for the end of any of them; for ever, if there is none.
    pub(crate) async fn ended(&mut self) {
        let ended = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
        };
        self.names.remove(&ended);
    }
}

/// One module on its way to everybody.
struct Sending {
    library: Arc<Library>,
    chunk_len: usize,
    answers: mpsc::Sender<Answer>,
    memory: Arc<Semaphore>,
    unpacking: Arc<Semaphore>,
    app_name: String,
}

impl Sending {
    async fn run(self) {
        match self.send().await {
            Ok(()) => info!(image = %self.app_name, "sent module without encryption"),
            // Upstream has no word for it: whoever waits gives up after a minute.
            Err(Fault { text, .. }) => warn!(image = %self.app_name, error = %text, "no module"),
        }
    }

    async fn send(&self) -> Result<(), Fault> {
        let reference = self.library.permitted(&self.app_name)?;
        let registry = self.library.registry();
        let resolved = resolve(registry, &reference).await.map_err(other)?;
        let manifest = resolved.manifest();
        match manifest.place().map_err(other)? {
            Place::Layer(index) => {
                let layer = &manifest.layers[index];
                if layer.is_encrypted() {
                    let text = "the image is encrypted, which upstream's chunks cannot carry";
                    return Err(Fault::new(Reason::Refused, text));
                }
                let (digest, len) = (layer.digest, layer.size);
                let mut coming = self.library.blob(resolved.pinned(), digest, len)?;
                let count = coming.count();
                for index in 0..count {
                    coming.ready(index).await?;
                    let place = Arc::clone(&self.memory).acquire_owned().await;
                    let chunk = self.library.chunk(&coming, index).await;
                    let chunk = chunk.inspect_err(|error| self.library.damaged(&coming, error))?;
                    self.chunk(index, count, &chunk, place.ok()).await;
                    self.library.sent(chunk);
                }
            }
            Place::Archives => {
                let _alone = self.unpacking.acquire().await;
                let module = unpacked(registry, &reference).await?;
                let chunks = module.chunks(self.chunk_len);
                let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
                for (index, chunk) in (0..).zip(chunks) {
                    let place = Arc::clone(&self.memory).acquire_owned().await;
                    self.chunk(index, count, chunk, place.ok()).await;
                }
            }
        }
        Ok(())
    }

    async fn chunk(
        &self,
        chunk_idx: u32,
        total_chunks: u32,
        bytes: &[u8],
        place: Option<tokio::sync::OwnedSemaphorePermit>,
    ) {
        let chunk = Chunk {
            app_name: self.app_name.clone(),
            chunk_idx,
            total_chunks,
            data: BASE64.encode(bytes),
        };
        // At once as long as it will be: one that grows is there twice.
        let mut json = Vec::with_capacity(chunk.data.len() + 2 * chunk.app_name.len() + AROUND);
        upstream::write_to(&chunk, &mut json);
        drop(chunk);
        let answer = Answer {
            message: Message::Plain(json),
            place,
        };
        // Nobody sends it any more: the proxy stops.
        let _sent = self.answers.send(answer).await;
    }
}

/// The module of an image whose layers are archives.
async fn unpacked(registry: &Registry, reference: &Reference) -> Result<Vec<u8>, Fault> {
    let options = PullOptions {
        layers_at_once: 1,
        module_bytes_max: UNPACKED_BYTES_MAX,
        unpacked_bytes_max: UNPACKED_BYTES_MAX,
        entries_max: ENTRIES_MAX,
        keys: Keys::default(),
    };
    let resolved = resolve(registry, reference).await.map_err(other)?;
    let admitted = signatures::admit(registry, resolved, &[]).await;
    let admitted = admitted.map_err(other)?;
    let pulled = pull(registry, &admitted, &options, SILENTLY).await;
    let mut pulled = pulled.map_err(other)?;
    Ok(std::mem::take(&mut *pulled.module).into())
}

fn other(error: impl std::error::Error) -> Fault {
    Fault::new(Reason::Proxy, chain(&error))
}
