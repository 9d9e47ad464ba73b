//! Upstream's proplets, in upstream's JSON: a whole module in chunks, to everybody at once.
//!
//! Off unless the operator turns it on. What is sent can be read by whoever reads the broker.

mod packed;
mod unpacker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use propeller_model::Digest;
use propeller_oci::image::{Place, Survey, resolve};
use propeller_oci::layer::UnpackLimits;
use propeller_oci::manifest::Descriptor;
use propeller_oci::{Reference, chain, signatures};
use propeller_wire::images::Reason;
use propeller_wire::upstream::{self, ChunkOf, Fetch};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tracing::{info, warn};

use crate::asks::{Answer, Message};
use crate::fault::Fault;
use crate::library::Library;

use unpacker::Unpacker;

/// Images that are sent at a time; more are not heard, and asked for again.
const SENDING_MAX: usize = 50;
/// Images that are looked up at a time: a manifest and a configuration may have 4 MiB each.
const LOOKING_MAX: usize = 1;
/// How long that may take: upstream's proplets wait for a minute in all.
const LOOKING_PATIENCE: Duration = Duration::from_secs(30);
/// What layers may be, packed and unpacked, as for proplets that fetch images by themselves. It bounds
/// the time, not the memory: a bomb is read to here, and a module that is a layer by itself may have
/// any size.
const LIMITS: UnpackLimits = UnpackLimits {
    unpacked_bytes: 512 << 20,
    module_bytes: 512 << 20,
    entries: 100_000,
};
/// What a chunk in JSON has besides its bytes and its name.
const AROUND: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Plain {
    library: Arc<Library>,
    chunk_len: u32,
    answers: mpsc::Sender<Answer>,
    memory: Arc<Semaphore>,
    looking: Arc<Semaphore>,
    unpacker: Arc<Unpacker>,
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
            looking: Arc::new(Semaphore::new(LOOKING_MAX)),
            unpacker: Arc::default(),
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
            looking: Arc::clone(&self.looking),
            unpacker: Arc::clone(&self.unpacker),
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
    looking: Arc<Semaphore>,
    unpacker: Arc<Unpacker>,
    app_name: String,
}

/// What there is to send, with as much of its manifest as that takes: those may be large, and many
/// modules are on their way at a time.
enum Wanted {
    /// A layer as it is.
    Layer { digest: Digest, len: u64 },
    /// A file in the layers.
    Packed(Survey),
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
        let (pinned, wanted) = {
            let _place = self.looking.acquire().await;
            let looked = tokio::time::timeout(LOOKING_PATIENCE, self.look_up(&reference)).await;
            let late = || {
                let text = format!("no manifest within {LOOKING_PATIENCE:?}");
                Err(Fault::new(Reason::Network, text))
            };
            looked.unwrap_or_else(|_| late())?
        };
        match wanted {
            Wanted::Layer { digest, len } => self.layer(&pinned, digest, len).await,
            Wanted::Packed(survey) => self.packed(&pinned, survey).await,
        }
    }

    async fn look_up(&self, reference: &Reference) -> Result<(Reference, Wanted), Fault> {
        let registry = self.library.registry();
        let resolved = resolve(registry, reference).await.map_err(other)?;
        let (pinned, manifest) = (resolved.pinned().clone(), resolved.manifest());
        let place = manifest.place().map_err(other)?;
        let encrypted = match place {
            Place::Layer(index) => manifest.layers[index].is_encrypted(),
            Place::Archives => manifest.layers.iter().any(Descriptor::is_encrypted),
        };
        if encrypted {
            let text = "the image is encrypted, which upstream's chunks cannot carry";
            return Err(Fault::new(Reason::Refused, text));
        }
        let wanted = match place {
            Place::Layer(index) => Wanted::Layer {
                digest: manifest.layers[index].digest,
                len: manifest.layers[index].size,
            },
            Place::Archives => {
                let admitted = signatures::admit(registry, resolved, &[]).await;
                let admitted = admitted.map_err(other)?;
                let survey = Survey::begin(registry, &admitted, LIMITS).await;
                Wanted::Packed(survey.map_err(other)?)
            }
        };
        Ok((pinned, wanted))
    }

    /// Sends a module that is a layer by itself.
    async fn layer(&self, image: &Reference, digest: Digest, len: u64) -> Result<(), Fault> {
        let mut coming = self.library.blob(image, digest, len)?;
        let count = coming.count();
        for index in 0..count {
            coming.ready(index).await?;
            let place = Arc::clone(&self.memory).acquire_owned().await;
            let chunk = self.library.chunk(&coming, index).await;
            let chunk = chunk.inspect_err(|error| self.library.damaged(&coming, error))?;
            self.chunk(index, count, &chunk, place.ok()).await;
            self.library.sent(chunk);
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
        let chunk = ChunkOf {
            app_name: &self.app_name,
            chunk_idx,
            total_chunks,
            data: bytes,
        };
        // At once as long as it will be: one that grows is there twice.
        let encoded = BASE64.encode_len(bytes.len());
        let mut json = Vec::with_capacity(encoded + 2 * self.app_name.len() + AROUND);
        upstream::write_to(&chunk, &mut json);
        let answer = Answer {
            message: Message::Plain(json),
            place,
        };
        // Nobody sends it any more: the proxy stops.
        let _sent = self.answers.send(answer).await;
    }
}

fn other(error: impl std::error::Error) -> Fault {
    Fault::new(Reason::Proxy, chain(&error))
}
