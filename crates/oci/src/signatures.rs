//! Signatures in a registry: where they are put, and where they are looked for.

use std::collections::HashMap;

use bytes::Bytes;
use propeller_model::Digest;
use serde_json::json;

use crate::artifact::descriptor;
use crate::image::Resolved;
use crate::manifest::{Descriptor, Document, Manifest, essence};
use crate::registry::{Kind, Registry, RegistryError, SILENTLY, silently};
use crate::sign::{
    self, CANDIDATES_MAX, Candidate, PAYLOAD_BYTES_MAX, SIGNATURE, SignError, SigningKey, Verified,
    VerifyError, VerifyingKey,
};
use crate::source::{Source, find};
use crate::{Reference, media};

/// Why an image is not signed, or not by whom it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no signature that counts.
    #[error("signature: {0}")]
    Verify(VerifyError),
    /// The key does not sign.
    #[error("signature: {0}")]
    Sign(SignError),
    /// What is at the signatures' tag is something else.
    #[error("signature: {name} is no list of signatures, and is left as it is")]
    NoList {
        /// Which reference.
        name: String,
    },
    /// There is no room for another.
    #[error(
        "signature: {name} has {CANDIDATES_MAX} signatures already, and more are not looked at"
    )]
    Full {
        /// Which reference.
        name: String,
    },
}

impl From<VerifyError> for SignatureError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(error)
    }
}

impl From<SignError> for SignatureError {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}

/// One signature, as a registry offers it.
#[derive(Clone, Debug)]
pub struct Offered {
    /// What is signed.
    pub payload: Vec<u8>,
    /// With the signature among them.
    pub descriptor: Descriptor,
}

/// What came of signing an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// There is one signature more.
    Signed,
    /// The same key had signed it under the same name: nothing was sent.
    Before,
}

/// Signs the image whose manifest is `manifest` under the name of its repository, and puts the
/// signature beside those that are there; unless one of those is as good.
///
/// # Errors
///
/// [`SignatureError`].
pub async fn add(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
    key: &SigningKey,
) -> Result<Added, SignatureError> {
    let at = reference.tagged(sign::tag(manifest));
    let mut layers = list(registry, &at).await?;
    let name = reference.name();
    let there = payloads(registry, &at, layers.clone()).await?;
    if verified(&there, &[key.verifying_key()], manifest, &name).is_ok() {
        return Ok(Added::Before);
    }
    if layers.len() >= CANDIDATES_MAX {
        let name = at.to_string();
        return Err(SignatureError::Full { name });
    }
    let payload = Bytes::from(sign::payload(&name, manifest));
    let mut layer = descriptor(media::SIMPLE_SIGNING, &payload);
    layer
        .annotations
        .insert(SIGNATURE.to_owned(), key.sign(&payload)?);
    layers.push(layer);
    let config = Bytes::from(config(&layers));
    let list = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: descriptor(media::OCI_CONFIG, &config),
        layers,
        annotations: Default::default(),
    };
    let list = serde_json::to_vec(&list).expect("a manifest has text keys");
    registry.push_blob(&at, &payload, silently()).await?;
    registry.push_blob(&at, &config, silently()).await?;
    registry
        .push_manifest(&at, media::OCI_MANIFEST, &list.into())
        .await?;
    Ok(Added::Signed)
}

/// The signatures that the registry offers for `manifest`.
///
/// # Errors
///
/// [`SignatureError`].
pub async fn offered(
    source: &dyn Source,
    reference: &Reference,
    manifest: Digest,
) -> Result<Vec<Offered>, SignatureError> {
    let at = reference.tagged(sign::tag(manifest));
    payloads(source, &at, list(source, &at).await?).await
}

/// What is signed by each of these layers, as far as a verifier looks.
async fn payloads(
    source: &dyn Source,
    at: &Reference,
    layers: Vec<Descriptor>,
) -> Result<Vec<Offered>, SignatureError> {
    let mut offered = Vec::new();
    let mut payloads = HashMap::new();
    for descriptor in layers.into_iter().take(CANDIDATES_MAX) {
        let simple = essence(&descriptor.media_type) == media::SIMPLE_SIGNING;
        if !simple || descriptor.size > PAYLOAD_BYTES_MAX as u64 {
            continue;
        }
        // Most signatures of one image are of one payload.
        let payload: Vec<u8> = match payloads.get(&descriptor.digest) {
            Some(known) => Vec::clone(known),
            None => match source.blob(at, &descriptor, SILENTLY).await {
                Ok(payload) => payload.into(),
                // Whoever may push there must not keep others from being believed.
                Err(error) if matches!(error.kind(), Kind::Name | Kind::Digest | Kind::Size) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            },
        };
        payloads.insert(descriptor.digest, payload.clone());
        offered.push(Offered {
            payload,
            descriptor,
        });
    }
    Ok(offered)
}

/// An image that may be fetched: whoever has to have signed it, has. [`admit`] is the only way to get
/// one.
#[derive(Clone, Debug)]
pub struct Admitted {
    resolved: Resolved,
    signed: Option<Verified>,
}

impl Admitted {
    /// The image.
    #[must_use]
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// Who has signed it, if somebody had to.
    #[must_use]
    pub fn signed(&self) -> Option<&Verified> {
        self.signed.as_ref()
    }
}

/// Admits an image if one of `trusted` has signed it under the name of its repository: what the
/// reference leads to, or, where that is an index, the image in it. Without `trusted`, nobody has to.
///
/// # Errors
///
/// [`SignatureError`].
pub async fn admit(
    source: &dyn Source,
    resolved: Resolved,
    trusted: &[VerifyingKey],
) -> Result<Admitted, SignatureError> {
    let signed = match trusted {
        [] => None,
        trusted => Some(check(source, &resolved, trusted).await?),
    };
    Ok(Admitted { resolved, signed })
}

async fn check(
    source: &dyn Source,
    resolved: &Resolved,
    trusted: &[VerifyingKey],
) -> Result<Verified, SignatureError> {
    let (top, image) = (resolved.digest(), resolved.image());
    let first = check_one(source, resolved, top, trusted).await;
    match first {
        Err(SignatureError::Verify(_)) if top != image => {
            check_one(source, resolved, image, trusted).await
        }
        decided => decided,
    }
}

async fn check_one(
    source: &dyn Source,
    resolved: &Resolved,
    manifest: Digest,
    trusted: &[VerifyingKey],
) -> Result<Verified, SignatureError> {
    let reference = resolved.pinned();
    let offered = offered(source, reference, manifest).await?;
    Ok(verified(&offered, trusted, manifest, &reference.name())?)
}

/// Which of `trusted` has signed `manifest` under the name of a repository.
fn verified(
    offered: &[Offered],
    trusted: &[VerifyingKey],
    manifest: Digest,
    repository: &str,
) -> Result<Verified, VerifyError> {
    let candidates = offered.iter().map(|one| Candidate {
        payload: &one.payload,
        annotations: &one.descriptor.annotations,
    });
    let candidates: Vec<_> = candidates.collect();
    sign::verify(&candidates, trusted, manifest, Some(repository))
}

/// The layers of the manifest at the signatures' tag; none, if there is none.
async fn list(source: &dyn Source, at: &Reference) -> Result<Vec<Descriptor>, SignatureError> {
    match find(source, at).await?.map(|found| found.document) {
        None => Ok(Vec::new()),
        Some(Document::Image(manifest)) => Ok(manifest.layers),
        Some(Document::Index(_)) => Err(SignatureError::NoList {
            name: at.to_string(),
        }),
    }
}

/// An image's configuration, which registries and tools expect, of layers that unpack to themselves.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    let digests: Vec<_> = layers
        .iter()
        .map(|layer| layer.digest.to_string())
        .collect();
    let config = json!({
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    config.to_string().into_bytes()
}
