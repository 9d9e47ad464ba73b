//! Fetching manifests and blobs.

use propeller_model::Digest;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::auth::Action;
use super::body::{Progress, read_at_most, read_exactly};
use super::exchange::Request;
use super::{Registry, RegistryError, Stage, address};
use crate::Reference;
use crate::digest::sha256;
use crate::excerpt::excerpt;
use crate::manifest::{DOCUMENT_BYTES_MAX, Descriptor, Document, essence};

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
    /// What they say.
    pub document: Document,
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

    /// As [`Registry::document`], or nothing if there is no such manifest.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn find(&self, reference: &Reference) -> Result<Option<Fetched>, RegistryError> {
        match self.document(reference).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(RegistryError::Name { .. }) => Ok(None),
            Err(error) => Err(error),
        }
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
    ) -> Result<Vec<u8>, RegistryError> {
        let limit = self.options.blob_bytes_max;
        if descriptor.size > limit {
            return Err(RegistryError::Size {
                stage: Stage::Blob,
                bytes: descriptor.size,
                at_least: false,
                why: format!("and at most {limit} are fetched"),
            });
        }
        let fetch = self.fetch_blob(reference, descriptor, progress);
        self.within(Stage::Blob, reference, fetch).await
    }

    async fn fetch(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let stage = Stage::Manifest;
        let host = reference.host();
        let answer = self.send(Request {
            reference,
            stage,
            action: Action::Pull,
            url: address(reference, &format!("manifests/{}", reference.selector()))?,
            make: &|http, url| http.get(url).header(ACCEPT, DOCUMENTS),
        });
        let answer = answer.await?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let content_type = header(CONTENT_TYPE.as_str());
        let said: Option<Digest> = header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        if content_type.as_deref().map(essence) == Some("text/html") {
            return Err(RegistryError::MediaType {
                stage,
                host: host.to_owned(),
                media_type: "text/html".to_owned(),
                hint: "it is a web site, not a registry",
            });
        }
        let bytes = read_at_most(answer, DOCUMENT_BYTES_MAX, stage, host).await?;
        let got = sha256(&bytes);
        if let Some(expected) = reference.digest().or(said).filter(|digest| *digest != got) {
            return Err(RegistryError::Digest {
                stage,
                expected,
                got,
            });
        }
        let document = Document::parse(&bytes, content_type.as_deref());
        let document = document.map_err(|error| RegistryError::Manifest {
            name: reference.to_string(),
            error,
        })?;
        Ok(Fetched {
            bytes,
            digest: got,
            document,
        })
    }

    async fn fetch_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, RegistryError> {
        let answer = self.send(Request {
            reference,
            stage: Stage::Blob,
            action: Action::Pull,
            url: address(reference, &format!("blobs/{}", descriptor.digest))?,
            make: &|http, url| http.get(url),
        });
        let host = reference.host();
        read_exactly(
            answer.await?,
            descriptor.size,
            descriptor.digest,
            host,
            progress,
        )
        .await
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
