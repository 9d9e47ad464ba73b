//! Fetching manifests and blobs.

use bytes::Bytes;
use propeller_model::Digest;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::mpsc;

use super::auth::Action;
use super::body::{Progress, Sink, Whole, authority, held, read_at_most, read_exactly};
use super::exchange::Request;
use super::{Registry, RegistryError, Stage, address};
use crate::digest::sha256;
use crate::excerpt::excerpt;
use crate::manifest::{DOCUMENT_BYTES_MAX, Descriptor, Document, essence};
use crate::{Pieces, Reference};

/// Everything that can be read of what a reference leads to.
const DOCUMENTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// How registries say what they have sent.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or an index, as it came.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes, which its digest is of.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// What the registry calls them.
    pub media_type: Option<String>,
    /// What they say.
    pub document: Document,
}

impl Fetched {
    /// Holds a document against the digest of the reference that led to it, if that has one, and
    /// reads it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn read(
        reference: &Reference,
        bytes: Vec<u8>,
        media_type: Option<String>,
    ) -> Result<Self, RegistryError> {
        let digest = sha256(&bytes);
        if let Some(expected) = reference.digest() {
            held(Stage::Manifest, expected, digest)?;
        }
        let document = Document::parse(&bytes, media_type.as_deref());
        let document = document.map_err(|error| RegistryError::Manifest {
            name: reference.to_string(),
            error,
        })?;
        Ok(Self {
            bytes,
            digest,
            media_type,
            document,
        })
    }
}

impl Registry {
    /// Fetches what `reference` leads to, and holds it against the digest, if that has one.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn document(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        self.within(Stage::Manifest, reference, self.fetch(reference))
            .await
    }

    /// Fetches a blob, and holds it against its size and digest.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; a blob that says it is larger than the limit is not asked for.
    pub async fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<Pieces, RegistryError> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        self.permits(size)?;
        let mut whole = Whole::new(size, progress)?;
        self.blob_into(reference, digest, size, &mut whole).await?;
        Ok(whole.bytes)
    }

    /// As [`Registry::blob`], piece by piece as they come: whoever takes them knows only at the end
    /// that they are the right ones, and may make the registry wait.
    ///
    /// # Errors
    ///
    /// As [`Registry::blob`].
    pub async fn blob_to(
        &self,
        reference: &Reference,
        digest: Digest,
        size: u64,
        mut to: mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        self.blob_into(reference, digest, size, &mut to).await
    }

    /// Whether a blob that says it is that large is asked for.
    fn permits(&self, size: u64) -> Result<(), RegistryError> {
        let limit = self.options.blob_bytes_max;
        match size <= limit {
            true => Ok(()),
            false => Err(RegistryError::Size {
                stage: Stage::Blob,
                bytes: size,
                at_least: false,
                why: format!("and at most {limit} are fetched"),
            }),
        }
    }

    async fn blob_into(
        &self,
        reference: &Reference,
        digest: Digest,
        size: u64,
        sink: &mut impl Sink,
    ) -> Result<(), RegistryError> {
        self.permits(size)?;
        let fetch = self.fetch_blob(reference, digest, size, sink);
        self.within(Stage::Blob, reference, fetch).await
    }

    async fn fetch(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let stage = Stage::Manifest;
        let answer = self.send(Request {
            reference,
            stage,
            action: Action::Pull,
            url: address(reference, &format!("manifests/{}", reference.selector()))?,
            make: &|http, url| http.get(url).header(ACCEPT, DOCUMENTS),
        });
        let answer = answer.await?;
        let host = authority(answer.url());
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let content_type = header(CONTENT_TYPE.as_str());
        let said: Option<Digest> = header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        if content_type.as_deref().map(essence) == Some("text/html") {
            return Err(RegistryError::MediaType {
                stage,
                host,
                media_type: "text/html".to_owned(),
                hint: "it is a web site, not a registry",
            });
        }
        let pace = self.options.pace;
        let bytes = read_at_most(answer, DOCUMENT_BYTES_MAX, pace, stage, &host).await?;
        if let Some(said) = said.filter(|_| reference.digest().is_none()) {
            held(stage, said, sha256(&bytes))?;
        }
        Fetched::read(reference, bytes, content_type)
    }

    async fn fetch_blob(
        &self,
        reference: &Reference,
        digest: Digest,
        size: u64,
        sink: &mut impl Sink,
    ) -> Result<(), RegistryError> {
        let answer = self.send(Request {
            reference,
            stage: Stage::Blob,
            action: Action::Pull,
            url: address(reference, &format!("blobs/{digest}"))?,
            make: &|http, url| http.get(url),
        });
        let (pace, registry) = (self.options.pace, reference.host());
        read_exactly(answer.await?, size, digest, pace, registry, sink).await
    }

    /// Ends what takes too long.
    pub(super) async fn within<T>(
        &self,
        stage: Stage,
        reference: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let patience = self.options.patience;
        let done = tokio::time::timeout(patience, work).await;
        done.unwrap_or_else(|_| {
            Err(RegistryError::Patience {
                stage,
                host: excerpt(reference.host()),
                patience,
            })
        })
    }
}
