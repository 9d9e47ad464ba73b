//! The blobs that there are, and those that are on their way: each is fetched once, however many
//! proplets want it, and its last chunk is given away only when all of it is what was named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use propeller_blobs::{Blob, BlobError, Blobs, Writing};
use propeller_envelope::Keyring;
use propeller_model::Digest;
use propeller_oci::{Reference, Registry, RegistryError};
use propeller_wire::images::{DOCUMENT_LEN_MAX, Reason};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::Allowed;
use crate::documents::{Document, Documents, MEDIA_TYPE_MAX};
use crate::fault::Fault;

/// Pieces between a registry and the disk: enough that neither waits for the other's every step.
const PIECES_BETWEEN: usize = 4;

/// Chunks' memory that is kept for the next ones: as many as are on their way at a time.
const SPARE_MAX: usize = 2;
/// Blobs that are fetched, or wait for that.
const PULLS_MAX: usize = 64;

/// How long a blob is fetched that nobody waits for: so that what one has asked for and left keeps
/// no place from others.
const FORSAKEN_AFTER: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub(crate) struct Library {
    registry: Registry,
    allowed: Allowed,
    documents: Documents,
    blobs: Arc<Blobs>,
    pulls: Semaphore,
    /// What the next chunk is read to. One at a time: the next thread would keep a heap of its own for
    /// as long as it lives, with chunks in it that are read no more.
    reading: Arc<tokio::sync::Mutex<Vec<u8>>>,
    /// What chunks were in that have been sent.
    spare: Mutex<Vec<Vec<u8>>>,
    chunk_len: usize,
    coming: Mutex<HashMap<Wanted, Coming>>,
    under_way: Mutex<JoinSet<()>>,
}

/// What is fetched from where: whoever wants it from elsewhere waits for nobody's registry but his own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    repository: String,
    plain: bool,
    digest: Digest,
    len: u64,
}

/// A blob, whole or as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Coming {
    len: u64,
    chunk_len: u64,
    state: watch::Receiver<State>,
}

/// How far it has come.
#[derive(Clone, Debug, Default)]
struct State {
    /// Where it is written, once the registry has begun to send it.
    blob: Option<Arc<Blob>>,
    /// Chunks on the disk.
    written: u32,
    /// Whether all of it is what was named, or why it never will be.
    end: Option<Result<(), Fault>>,
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
            documents: Documents::new(Arc::clone(&blobs)),
            blobs,
            pulls: Semaphore::new(pulls),
            reading: Arc::default(),
            spare: Mutex::default(),
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

    /// The manifests and indexes that are here.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// A manifest or an index, from its registry.
    pub(crate) async fn document(&self, reference: &Reference) -> Result<Document, Fault> {
        let fetched = self.registry.document(reference).await?;
        if fetched.bytes.len() > DOCUMENT_LEN_MAX {
            let text = format!(
                "the manifest has {} bytes, and at most {DOCUMENT_LEN_MAX} are handed on",
                fetched.bytes.len()
            );
            return Err(Fault::new(Reason::Size, text));
        }
        Ok(Document {
            media_type: fetched
                .media_type
                .filter(|text| text.len() <= MEDIA_TYPE_MAX),
            bytes: fetched.bytes,
        })
    }

    /// A blob that is here, is on its way, or is fetched now.
    pub(crate) fn blob(
        self: &Arc<Self>,
        reference: &Reference,
        digest: Digest,
        len: u64,
    ) -> Result<Coming, Fault> {
        let wanted = Wanted {
            repository: reference.name(),
            plain: reference.is_plain(),
            digest,
            len,
        };
        let mut coming = lock(&self.coming);
        if let Some(coming) = coming.get(&wanted) {
            return Ok(coming.clone());
        }
        if let Some(blob) = self.blobs.get(digest, len) {
            return Ok(self.coming(len, whole(blob)));
        }
        let mut under_way = lock(&self.under_way);
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= PULLS_MAX {
            let text = "the proxy has as many blobs to fetch as it can";
            return Err(Fault::new(Reason::Busy, text));
        }
        let (state, watched) = watch::channel(State::default());
        let found = self.coming(len, watched);
        coming.insert(wanted.clone(), found.clone());
        let (library, reference) = (Arc::clone(self), reference.clone());
        under_way.spawn(async move { library.pull(reference, wanted, state).await });
        Ok(found)
    }

    fn coming(&self, len: u64, state: watch::Receiver<State>) -> Coming {
        Coming {
            len,
            chunk_len: self.chunk_len as u64,
            state,
        }
    }

    /// Stops what is being fetched.
    pub(crate) async fn stop(&self) {
        let mut under_way = std::mem::take(&mut *lock(&self.under_way));
        under_way.shutdown().await;
    }

    /// How registries are asked.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Forgets a blob that does not open.
    pub(crate) fn damaged(&self, coming: &Coming, error: &BlobError) {
        if let Some(blob) = &coming.state.borrow().blob {
            warn!(error = %error, "a blob of the cache is fetched again");
            self.blobs.remove(blob);
        }
    }

    /// Reads and opens a chunk that is ready, in the memory of one that was sent.
    pub(crate) async fn chunk(&self, coming: &Coming, index: u32) -> Result<Vec<u8>, BlobError> {
        let blob = coming.state.borrow().blob.clone();
        let missing = BlobError::Piece {
            index,
            count: coming.count(),
        };
        let (blob, keys) = (blob.ok_or(missing)?, self.blobs.keys());
        let mut sealed = Arc::clone(&self.reading).lock_owned().await;
        let mut plain = self.spare();
        let read = tokio::task::spawn_blocking(move || {
            blob.piece_in(&keys, index, &mut sealed, &mut plain)?;
            Ok(plain)
        });
        let read = read.await;
        read.unwrap_or_else(|_| Err(BlobError::Disk(std::io::Error::other("it stops"))))
    }

    /// What a chunk was in that has been sent, or else nothing yet; what is in it means nothing.
    pub(crate) fn spare(&self) -> Vec<u8> {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Takes the memory of a chunk that has been sent.
    pub(crate) fn sent(&self, chunk: Vec<u8>) {
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_MAX {
            spare.push(chunk);
        }
    }

    /// Fetches a blob, for whoever waits for it and for those who come later.
    async fn pull(&self, reference: Reference, wanted: Wanted, state: watch::Sender<State>) {
        let Wanted { digest, len, .. } = wanted;
        let end = tokio::select! {
            end = self.fetch(&reference, digest, len, &state) => end,
            () = forsaken(&state) => {
                Err(Fault::new(Reason::Proxy, "nobody waits for it any more"))
            }
        };
        match &end {
            Ok(()) => info!(%digest, bytes = len, image = %reference.name(), "fetched blob"),
            Err(Fault { text, .. }) => {
                warn!(%digest, image = %reference.name(), error = %text, "no blob");
            }
        }
        // First it is on the shelf, then it is not on its way any more: nobody finds neither.
        lock(&self.coming).remove(&wanted);
        state.send_modify(|state| state.end = Some(end));
    }

    async fn fetch(
        &self,
        reference: &Reference,
        digest: Digest,
        len: u64,
        state: &watch::Sender<State>,
    ) -> Result<(), Fault> {
        let place = self.pulls.acquire().await;
        let _place = place.map_err(|_| Fault::new(Reason::Proxy, "the proxy stops"))?;
        let (to, pieces) = mpsc::channel(PIECES_BETWEEN);
        let (written, chunk_len) = (state.clone(), self.chunk_len);
        let blobs = Arc::clone(&self.blobs);
        // Only when the registry sends something of that length does anything go for it.
        let begin = move || blobs.begin(digest, len);
        let write =
            tokio::task::spawn_blocking(move || write(pieces, begin, chunk_len, len, &written));
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

/// The state of one that is on the shelf.
fn whole(blob: Arc<Blob>) -> watch::Receiver<State> {
    let state = State {
        written: blob.count(),
        blob: Some(blob),
        end: Some(Ok(())),
    };
    watch::channel(state).1
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().expect("keeping a list does not panic")
}

/// Waits until nobody has waited for a blob for a while.
async fn forsaken(state: &watch::Sender<State>) {
    let mut look = tokio::time::interval(FORSAKEN_AFTER / 2);
    let mut alone = 0;
    while alone < 3 {
        look.tick().await;
        // One is in the list of those that are coming.
        alone = match state.receiver_count() {
            0 | 1 => alone + 1,
            _ => 0,
        };
    }
}

/// Writes what comes, in chunks.
fn write(
    mut pieces: mpsc::Receiver<Bytes>,
    begin: impl FnOnce() -> Result<Writing, BlobError>,
    chunk_len: usize,
    len: u64,
    state: &watch::Sender<State>,
) -> Result<Writing, BlobError> {
    let first = pieces.blocking_recv();
    if first.is_none() && len > 0 {
        let (index, count) = (0, 1);
        return Err(BlobError::Piece { index, count });
    }
    let mut writing = begin()?;
    state.send_modify(|state| state.blob = Some(writing.blob()));
    let mut chunk = Zeroizing::new(Vec::with_capacity(chunk_len));
    let mut push = |chunk: &mut Vec<u8>| {
        let written = writing.push(chunk)?;
        chunk.clear();
        state.send_modify(|state| state.written = written);
        Ok::<_, BlobError>(())
    };
    let mut next = first;
    while let Some(mut piece) = next {
        while !piece.is_empty() {
            let fits = piece.len().min(chunk_len - chunk.len());
            chunk.extend_from_slice(&piece.split_to(fits));
            if chunk.len() == chunk_len {
                push(&mut chunk)?;
            }
        }
        next = pieces.blocking_recv();
    }
    // What came too short is known to whoever fetched it.
    let whole = len == 0 || !chunk.is_empty();
    if whole && chunk.len() as u64 == len % chunk_len as u64 {
        push(&mut chunk)?;
    }
    Ok(writing)
}

impl Coming {
    pub(crate) fn count(&self) -> u32 {
        let count = self.len.div_ceil(self.chunk_len).max(1);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Bytes that are here.
    pub(crate) fn bytes(&self) -> u64 {
        let written = self.state.borrow().written;
        (u64::from(written) * self.chunk_len).min(self.len)
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
