//! Images that tasks name.

use propeller_model::Digest;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// A reference with a digest: the same bytes for every attempt.
    pub reference: String,
    /// Whether its layers are encrypted, as far as the manager could see.
    pub encrypted: bool,
    /// Of a task that only a TEE may open: where a key broker keeps the image's key. Empty leaves it
    /// to the image, or to the proplet.
    pub key: Option<String>,
    /// Fingerprint of the key that had signed it, under its name, when it was named; nothing if nobody
    /// had to.
    pub signed: Option<Digest>,
}

impl Image {
    /// The digest in its reference.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let (_, digest) = self.reference.rsplit_once('@')?;
        digest.parse().ok()
    }

    /// What was stored, if a task names one.
    pub(super) fn from_columns(
        reference: Option<String>,
        encrypted: bool,
        key: Option<String>,
        signed: Option<[u8; 32]>,
    ) -> Option<Self> {
        reference.map(|reference| Self {
            reference,
            encrypted,
            key,
            signed: signed.map(Digest),
        })
    }

    /// What is stored of it: reference, encrypted, key, signed.
    pub(super) fn columns(
        image: Option<&Self>,
    ) -> (Option<&str>, bool, Option<&str>, Option<[u8; 32]>) {
        let Some(image) = image else {
            return (None, false, None, None);
        };
        let Self {
            reference,
            encrypted,
            key,
            signed,
        } = image;
        let signed = signed.map(|key| key.0);
        (Some(reference), *encrypted, key.as_deref(), signed)
    }
}
