//! Manifests and indexes. What is named by its digest is fetched once for everybody who waits for it,
//! and kept with the blobs, so that what is here needs no registry. A tag is looked up every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use propeller_blobs::Blobs;
use propeller_model::Digest;
use propeller_oci::registry::Fetched;
use propeller_oci::{Reference, sha256};
use propeller_wire::images::DOCUMENT_LEN_MAX;
use tracing::warn;

use crate::fault::Fault;

/// The longest name of a type; a document says by itself what it is, too.
pub(crate) const MEDIA_TYPE_MAX: usize = 255;

/// As much as is ever kept: the name of a type, a line feed, and the document.
const KEPT_LEN_MAX: u64 = (MEDIA_TYPE_MAX + 1 + DOCUMENT_LEN_MAX) as u64;

/// What a manifest or an index is.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// Whose turn it is to fetch one document. Whoever has waited for it finds the document kept, or why
/// there is none, or else fetches it by himself.
pub(crate) type Turn = tokio::sync::Mutex<Option<Fault>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Documents {
    blobs: Arc<Blobs>,
    /// For as long as somebody waits.
    turns: Mutex<HashMap<Digest, Weak<Turn>>>,
}

impl Documents {
    pub(crate) fn new(blobs: Arc<Blobs>) -> Self {
        Self {
            blobs,
            turns: Mutex::default(),
        }
    }

    /// The turn to fetch what a reference names; nothing, if it names a tag.
    pub(crate) fn turn(&self, reference: &Reference) -> Option<Arc<Turn>> {
        let name = name(reference)?;
        let mut turns = self.lock();
        if let Some(turn) = turns.get(&name).and_then(Weak::upgrade) {
            return Some(turn);
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(name, Arc::downgrade(&turn));
        Some(turn)
    }

    /// Ends a turn in which nothing came: those who wait for it hear why, and whoever comes later
    /// begins another one.
    pub(crate) fn failed(&self, reference: &Reference) {
        if let Some(name) = name(reference) {
            self.lock().remove(&name);
        }
    }

    /// Whether there is something on the disk by that name.
    pub(crate) fn holds(&self, reference: &Reference) -> bool {
        let found = name(reference).and_then(|name| self.blobs.find(name));
        found.is_some_and(|blob| blob.len() <= KEPT_LEN_MAX)
    }

    /// What is on the disk by that name, held against its digest.
    pub(crate) async fn held(&self, reference: &Reference) -> Option<Document> {
        let name = name(reference)?;
        let (blobs, reference) = (Arc::clone(&self.blobs), reference.clone());
        let read = move || {
            let blob = blobs.find(name).filter(|blob| blob.len() <= KEPT_LEN_MAX)?;
            let mut kept = blobs.read(&blob)?;
            let read = read(&reference, std::mem::take(&mut *kept));
            if read.is_none() {
                blobs.remove(&blob);
            }
            read
        };
        // Only a runtime that is shutting down drops work.
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// Keeps a document, if there is room.
    pub(crate) async fn keep(&self, reference: &Reference, document: &Document) {
        let Some(name) = name(reference) else { return };
        let media_type = document.media_type.as_deref().unwrap_or_default();
        let kept = [media_type.as_bytes(), b"\n", &document.bytes].concat();
        let blobs = Arc::clone(&self.blobs);
        let put = move || {
            if let Err(error) = blobs.put(name, &kept) {
                warn!(error = %propeller_oci::chain(&error), "a manifest is not kept");
            }
        };
        let _stopped = tokio::task::spawn_blocking(put).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<Turn>>> {
        self.turns.lock().expect("keeping a list does not panic")
    }
}

/// What a document is kept by. It is no digest of bytes, so that no blob is in its place but one that
/// somebody has made for that, which is held against the document's digest as everything is.
fn name(reference: &Reference) -> Option<Digest> {
    let digest = reference.digest()?;
    let scheme = if reference.is_plain() { "http://" } else { "" };
    let name = format!("document {scheme}{}@{digest}", reference.name());
    Some(sha256(name.as_bytes()))
}

/// A document as it is kept: its type, a line feed, its bytes.
fn read(reference: &Reference, mut kept: Vec<u8>) -> Option<Document> {
    let end = kept.iter().position(|byte| *byte == b'\n')?;
    let bytes = kept.split_off(end + 1);
    let media_type = std::str::from_utf8(kept.get(..end)?).ok()?;
    let media_type = Some(media_type.to_owned()).filter(|text| !text.is_empty());
    let fetched = Fetched::read(reference, bytes, media_type).ok()?;
    Some(Document {
        media_type: fetched.media_type,
        bytes: fetched.bytes,
    })
}
