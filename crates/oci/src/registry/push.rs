//! Sending blobs and manifests.

use bytes::Bytes;
use futures_util::stream;
use propeller_model::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, StatusCode};

use super::auth::Action;
use super::body::{Progress, authority};
use super::exchange::Request;
use super::{Registry, RegistryError, Stage, address};
use crate::Reference;
use crate::digest::sha256;
use crate::excerpt::excerpt;

/// How much of a blob is handed to the connection at once; progress is told for each.
const PIECE_BYTES: usize = 256 << 10;

/// Told how many more bytes have left. It outlives the call, because the connection asks for them.
pub type Sent = std::sync::Arc<dyn Fn(u64) + Send + Sync>;

impl Registry {
    /// Sends a blob, unless the repository has it. Says whether it was sent.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn push_blob(
        &self,
        reference: &Reference,
        blob: &Bytes,
        sent: Sent,
    ) -> Result<bool, RegistryError> {
        let work = async {
            let digest = sha256(blob);
            if self.has_blob(reference, digest).await? {
                sent(blob.len() as u64);
                return Ok(false);
            }
            self.upload(reference, blob, digest, sent).await?;
            Ok(true)
        };
        self.within(Stage::Upload, reference, work).await
    }

    /// Sends a manifest to the tag of `reference`, or to its digest, and says what it is.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        manifest: &Bytes,
    ) -> Result<Digest, RegistryError> {
        let digest = sha256(manifest);
        let selector = match reference.tag() {
            Some(tag) => tag.to_owned(),
            None => digest.to_string(),
        };
        let put = |http: &reqwest::Client, url| {
            let request = http.put(url).header(CONTENT_TYPE, media_type);
            request.body(manifest.clone())
        };
        let request = self.send(Request {
            reference,
            stage: Stage::Manifest,
            action: Action::Push,
            url: address(reference, &format!("manifests/{selector}"))?,
            make: &put,
        });
        self.within(Stage::Manifest, reference, request).await?;
        Ok(digest)
    }

    async fn has_blob(&self, reference: &Reference, digest: Digest) -> Result<bool, RegistryError> {
        let request = Request {
            reference,
            stage: Stage::Blob,
            action: Action::Push,
            url: address(reference, &format!("blobs/{digest}"))?,
            make: &|http, url| http.head(url),
        };
        // Whatever else is wrong, the upload will say.
        Ok(self.answer(&request).await?.status() == StatusCode::OK)
    }

    /// A session of its own, then all of the blob (end-4a and end-6 of the specification).
    async fn upload(
        &self,
        reference: &Reference,
        blob: &Bytes,
        digest: Digest,
        sent: Sent,
    ) -> Result<(), RegistryError> {
        let stage = Stage::Upload;
        let session = self.send(Request {
            reference,
            stage,
            action: Action::Push,
            url: address(reference, "blobs/uploads/")?,
            make: &|http, url| http.post(url).header(CONTENT_LENGTH, 0),
        });
        let session = session.await?;
        let location = session.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.and_then(|location| session.url().join(location).ok());
        let away = |to: String| RegistryError::Redirect {
            host: excerpt(reference.host()),
            to,
        };
        let mut url = location.ok_or_else(|| away("of a blob nowhere".to_owned()))?;
        if url.scheme() != session.url().scheme() && url.scheme() != "https" {
            let to = authority(&url);
            return Err(away(format!("of a blob to {to}, without TLS")));
        }
        url.query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        self.send(Request {
            reference,
            stage,
            action: Action::Push,
            url,
            make: &|http, url| {
                let request = http.put(url).header(CONTENT_LENGTH, blob.len());
                let request = request.header(CONTENT_TYPE, "application/octet-stream");
                request.body(in_pieces(blob.clone(), sent.clone()))
            },
        })
        .await?;
        Ok(())
    }
}

/// A body that tells how far it is.
fn in_pieces(blob: Bytes, sent: Sent) -> Body {
    let pieces = stream::unfold((blob, sent), |(mut rest, sent)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        sent(piece.len() as u64);
        Some((Ok::<_, std::io::Error>(piece), (rest, sent)))
    });
    Body::wrap_stream(pieces)
}

/// Progress that nobody looks at.
#[must_use]
pub fn silently() -> Sent {
    std::sync::Arc::new(|_| {})
}

/// The same for what is fetched.
pub const SILENTLY: Progress<'static> = &|_| {};
