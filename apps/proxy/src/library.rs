//! The blobs that there are, and those that are on their way: each is fetched once, however many
//! proplets want it, and its last chunk is given away only when all of it is what was named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use propeller_blobs::{Blob, BlobError, Blobs, Writing};
use propeller_envelope::Keyring;
use propeller_model::Digest;
use propeller_oci::{Reference, Registry, RegistryError};
use propeller_wire::images::Reason;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::{Allowed, DOCUMENT_BYTES_MAX};
use crate::fault::Fault;

/// Pieces between a registry and the disk: enough that neither waits for the other's every step.
const PIECES_BETWEEN: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Library {
    registry: Registry,
    allowed: Allowed,
    blobs: Arc<Blobs>,
    pulls: Semaphore,
    chunk_len: usize,
    coming: Mutex<HashMap<Digest, Coming>>,
    under_way: Mutex<JoinSet<()>>,
}

/// A blob, whole or as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Coming {
    blob: Arc<Blob>,
    state: watch::Receiver<State>,
}

/// How far it has come.
#[derive(Clone, Debug, Default)]
struct State {
    /// Chunks on the disk.
    written: u32,
    /// Whether all of it is what was named, or why it never will be.
    end: Option<Result<(), Fault>>,
}

/// What a manifest or an index is.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Library {
    pub(crate) fn new(
        registry: Registry,
        allowed: Allowed,
        blobs: Arc<Blobs>,
        pulls: usize,
        chunk_len: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            allowed,
            blobs,
            pulls: Semaphore::new(pulls),
            chunk_len: chunk_len as usize,
            coming: Mutex::default(),
            under_way: Mutex::default(),
        })
    }

    /// Takes other keys into use.
    pub(crate) fn rekey(&self, keys: Keyring) {
        self.blobs.rekey(keys);
    }

    /// A reference that may be asked for.
    pub(crate) fn permitted(&self, reference: &str) -> Result<Reference, Fault> {
        let reference: Reference = reference
            .parse()
            .map_err(|error| Fault::new(Reason::Name, propeller_oci::chain(&error)))?;
        let (registry, plain) = (reference.registry(), reference.is_plain());
        match self.allowed.permits(registry, plain) {
            true => Ok(reference),
            false => {
                let scheme = if plain { "http://" } else { "" };
                let text = format!(
                    "this proxy does not ask {scheme}{registry}: its operator lists what it asks (PROXY_REGISTRIES)"
                );
                Err(Fault::new(Reason::Refused, text))
            }
        }
    }

    /// A manifest or an index.
    pub(crate) async fn document(&self, reference: &Reference) -> Result<Document, Fault> {
        let fetched = self.registry.document(reference).await?;
        if fetched.bytes.len() > DOCUMENT_BYTES_MAX {
            let text = format!(
                "the manifest has {} bytes, and at most {DOCUMENT_BYTES_MAX} are handed on",
                fetched.bytes.len()
            );
            return Err(Fault::new(Reason::Size, text));
        }
        Ok(Document {
            media_type: fetched.media_type,
            bytes: fetched.bytes,
        })
    }

    /// A blob that is here, is on its way, or is fetched now.
    pub(crate) fn blob(
        self: &Arc<Self>,
        reference: Reference,
        digest: Digest,
        len: u64,
    ) -> Result<Coming, Fault> {
        let mut coming = self.coming.lock().expect("keeping a list does not panic");
        if let Some(coming) = coming.get(&digest)
            && coming.blob.len() == len
        {
            return Ok(coming.clone());
        }
        if let Some(blob) = self.blobs.get(digest, len) {
            return Ok(Coming::whole(blob));
        }
        let writing = self.blobs.begin(digest, len)?;
        let (state, watched) = watch::channel(State::default());
        let found = Coming {
            blob: writing.blob(),
            state: watched,
        };
        coming.insert(digest, found.clone());
        let library = Arc::clone(self);
        let mut under_way = self
            .under_way
            .lock()
            .expect("keeping a list does not panic");
        while under_way.try_join_next().is_some() {}
        under_way.spawn(async move { library.pull(reference, digest, writing, state).await });
        Ok(found)
    }

    /// How registries are asked.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Forgets a blob that does not open.
    pub(crate) fn damaged(&self, digest: Digest, error: &BlobError) {
        warn!(%digest, error = %error, "a blob of the cache is fetched again");
        self.blobs.remove(digest);
    }

    /// Reads and opens a chunk.
    pub(crate) async fn chunk(
        &self,
        coming: &Coming,
        index: u32,
    ) -> Result<Zeroizing<Vec<u8>>, BlobError> {
        let (blob, keys) = (Arc::clone(&coming.blob), self.blobs.keys());
        let read = tokio::task::spawn_blocking(move || blob.piece(&keys, index));
        let read = read.await;
        read.unwrap_or_else(|_| Err(BlobError::Disk(std::io::Error::other("it stops"))))
    }

    /// Fetches a blob, for whoever waits for it and for those who come later.
    async fn pull(
        &self,
        reference: Reference,
        digest: Digest,
        writing: Writing,
        state: watch::Sender<State>,
    ) {
        let len = writing.blob().len();
        let end = self.fetch(&reference, digest, writing, &state).await;
        match &end {
            Ok(()) => info!(%digest, bytes = len, image = %reference.name(), "fetched blob"),
            Err(Fault { text, .. }) => {
                warn!(%digest, image = %reference.name(), error = %text, "no blob");
            }
        }
        // First it is on the shelf, then it is not on its way any more: nobody finds neither.
        let mut coming = self.coming.lock().expect("keeping a list does not panic");
        coming.remove(&digest);
        drop(coming);
        state.send_modify(|state| state.end = Some(end));
    }

    async fn fetch(
        &self,
        reference: &Reference,
        digest: Digest,
        writing: Writing,
        state: &watch::Sender<State>,
    ) -> Result<(), Fault> {
        let place = self.pulls.acquire().await;
        let _place = place.map_err(|_| Fault::new(Reason::Proxy, "the proxy stops"))?;
        let len = writing.blob().len();
        let (to, pieces) = mpsc::channel(PIECES_BETWEEN);
        let (written, chunk_len) = (state.clone(), self.chunk_len);
        let write =
            tokio::task::spawn_blocking(move || write(pieces, writing, chunk_len, len, &written));
        let fetched = self.registry.blob_to(reference, digest, len, to).await;
        let writing = write.await;
        let writing = writing.map_err(|_| Fault::new(Reason::Proxy, "the proxy stops"))?;
        match fetched {
            // The disk said first that it takes no more.
            Err(RegistryError::Stopped) => {}
            other => other?,
        }
        Ok(writing?.keep()?)
    }
}

/// Writes what comes, in chunks.
fn write(
    mut pieces: mpsc::Receiver<Bytes>,
    mut writing: Writing,
    chunk_len: usize,
    len: u64,
    state: &watch::Sender<State>,
) -> Result<Writing, BlobError> {
    let mut chunk = Zeroizing::new(Vec::with_capacity(chunk_len));
    let mut push = |chunk: &mut Vec<u8>| {
        let written = writing.push(chunk)?;
        chunk.clear();
        state.send_modify(|state| state.written = written);
        Ok::<_, BlobError>(())
    };
    while let Some(mut piece) = pieces.blocking_recv() {
        while !piece.is_empty() {
            let fits = piece.len().min(chunk_len - chunk.len());
            chunk.extend_from_slice(&piece.split_to(fits));
            if chunk.len() == chunk_len {
                push(&mut chunk)?;
            }
        }
    }
    // What came too short is known to whoever fetched it.
    let whole = len == 0 || !chunk.is_empty();
    if whole && chunk.len() as u64 == len % chunk_len as u64 {
        push(&mut chunk)?;
    }
    Ok(writing)
}

impl Coming {
    /// One that is on the shelf.
    fn whole(blob: Arc<Blob>) -> Self {
        let (_, state) = watch::channel(State {
            written: blob.count(),
            end: Some(Ok(())),
        });
        Self { blob, state }
    }

    pub(crate) fn count(&self) -> u32 {
        self.blob.count()
    }

    /// Bytes that are here.
    pub(crate) fn bytes(&self, chunk_len: u32) -> u64 {
        let written = self.state.borrow().written;
        (u64::from(written) * u64::from(chunk_len)).min(self.blob.len())
    }

    /// Waits until a chunk may be given away.
    pub(crate) async fn ready(&mut self, index: u32) -> Result<(), Fault> {
        let last = index + 1 >= self.count();
        let ready = |state: &State| match &state.end {
            Some(_) => true,
            None => state.written > index && !last,
        };
        let state = self.state.wait_for(ready).await;
        let state = state.map_err(|_| Fault::new(Reason::Proxy, "the proxy stops"))?;
        match &state.end {
            Some(Err(fault)) => Err(fault.clone()),
            Some(Ok(())) | None => Ok(()),
        }
    }
}
