//! What was fetched once, kept on disk in envelopes for this proplet alone, so that it starts again
//! without a network. The disk is believed no more than a registry.

use std::sync::Arc;

use propeller_blobs::Blobs;
use propeller_model::Digest;
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Kind, Progress};
use propeller_oci::{Coming, Pieces, Reference, RegistryError, Source, hold, sha256};
use serde::{Deserialize, Serialize};
use tracing::warn;
use zeroize::Zeroizing;

/// A source, and what it has given before.
#[derive(Debug)]
pub(crate) struct Shelved<'a, S: ?Sized> {
    pub(crate) source: &'a S,
    pub(crate) blobs: &'a Arc<Blobs>,
}

/// A document as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    media_type: Option<String>,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// What a document is kept by: what leads to it, which is its digest alone if it is named by that,
/// under whatever tag.
fn name(reference: &Reference) -> Digest {
    let leading = match reference.digest() {
        Some(digest) => format!("{}@{digest}", reference.name()),
        None => reference.to_string(),
    };
    sha256(format!("document {leading}").as_bytes())
}

impl<S: Source + ?Sized> Shelved<'_, S> {
    async fn kept(&self, reference: &Reference) -> Option<Fetched> {
        let blobs = Arc::clone(self.blobs);
        let name = name(reference);
        let read = move || blobs.read(&blobs.find(name)?);
        let bytes = tokio::task::spawn_blocking(read).await.ok()??;
        let kept: Kept = propeller_wire::message::decode(&bytes).ok()?;
        Fetched::read(reference, kept.bytes, kept.media_type).ok()
    }

    async fn keep(&self, digest: Digest, bytes: Pieces) -> Result<Pieces, RegistryError> {
        let blobs = Arc::clone(self.blobs);
        let put = move || {
            if let Err(error) = blobs.put_parts(digest, bytes.len() as u64, bytes.slices()) {
                warn!(%digest, error = %error, "not kept on disk");
            }
            bytes
        };
        // Only a runtime that is shutting down drops work.
        let put = tokio::task::spawn_blocking(put).await;
        put.map_err(|_| RegistryError::Stopped)
    }

    async fn document(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let pinned = reference.digest().is_some();
        if pinned && let Some(kept) = self.kept(reference).await {
            return Ok(kept);
        }
        match self.source.document(reference).await {
            Ok(fetched) => {
                let kept = Kept {
                    media_type: fetched.media_type.clone(),
                    bytes: fetched.bytes.clone(),
                };
                let kept = propeller_wire::message::encode(&kept);
                self.keep(name(reference), kept.into()).await?;
                Ok(fetched)
            }
            // A tag, such as that of signatures, may have moved on: what it was is for those who
            // cannot ask.
            Err(error) if !pinned && matches!(error.kind(), Kind::Network | Kind::Here) => {
                self.kept(reference).await.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<Pieces, RegistryError> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        let blobs = Arc::clone(self.blobs);
        let read = move || {
            let blob = blobs.get(digest, size)?;
            // What does not fit in memory is fetched, which says so.
            let pieces = Pieces::with_capacity(usize::try_from(size).ok()?).ok()?;
            let mut whole = Zeroizing::new(pieces);
            blobs.read_to(&blob, &mut *whole)?;
            let got = whole.digest();
            Some((std::mem::take(&mut *whole), got))
        };
        let kept = tokio::task::spawn_blocking(read).await.ok().flatten();
        if let Some((bytes, got)) = kept
            && hold(descriptor, bytes.len(), got).is_ok()
        {
            progress(size);
            return Ok(bytes);
        }
        let bytes = self.source.blob(reference, descriptor, progress).await?;
        self.keep(digest, bytes).await
    }
}

impl<S: Source + ?Sized> Source for Shelved<'_, S> {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(self.document(reference))
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        descriptor: &'a Descriptor,
        progress: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(self.blob(reference, descriptor, progress))
    }
}
