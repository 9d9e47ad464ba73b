//! Signatures of images, as cosign and skopeo make them with a key of their own.
//!
//! The signature of the image whose manifest has the digest `sha256:HEX` is a manifest at the tag
//! `sha256-HEX.sig` of the same repository. Each of its layers is one signature: the layer's blob
//! is a [payload](payload()) that names the image, and the layer's annotation [`SIGNATURE`] is an
//! ECDSA signature over those bytes. Whoever can write to a registry can put anything there, so
//! [`verify`] believes a payload only after a key that its caller pinned has signed it.
//!
//! This module neither reads nor sends anything: the caller brings what a registry said, and
//! stores what is to be stored. `docs/formats/image-signatures.md` describes the bytes.
//!
//! Sources: cosign's `specs/SIGNATURE_SPEC.md`; `signature/internal/sigstore_payload.go` of
//! containers/image, which skopeo and podman use.

mod error;
mod keys;
mod payload;
mod sealed_key;

use std::collections::BTreeMap;

use propeller_model::Digest;

pub use error::{KeyError, Others, PayloadError, SignError, UnusableError, VerifyError};
pub use keys::{SigningKey, VerifyingKey};
pub use payload::payload;

use payload::Payload;

/// The annotation of a layer that holds its signature, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The annotation of a layer that was signed without a key of the signer's own: a certificate
/// that names a person. Only whether it is there is ever looked at.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// How many signatures of one image are looked at. Each costs one elliptic-curve operation per
/// trusted key, and whoever can write to the repository decides how many there are.
pub const CANDIDATES_MAX: usize = 100;

/// The longest payload that is looked at. One from cosign or skopeo has some 250 bytes; what a
/// signer adds under `optional` may make it longer.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// The longest signature that is decoded, in characters. One of P-256 has at most 96, and one of
/// the longest RSA keys in use 684: that is somebody else's signature, and not garbage.
const SIGNATURE_CHARS_MAX: usize = 1024;

/// The tag at which the signatures of an image are, in the repository of the image.
#[must_use]
pub fn tag(manifest: Digest) -> String {
    format!("sha256-{}.sig", manifest.hex())
}

/// What a registry offers as one signature: a layer of the manifest at [`tag`] whose media type is
/// [`SIMPLE_SIGNING`](crate::media::SIMPLE_SIGNING).
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The layer's blob. Its own digest is the caller's to check, as for every blob.
    pub payload: &'a [u8],
    /// The annotations of the layer's descriptor.
    pub annotations: &'a BTreeMap<String, String>,
}

/// That a trusted key has signed this image. [`verify`] is the only way to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The [fingerprint](VerifyingKey::fingerprint) of the key that signed.
    pub key: Digest,
    /// The name under which the image was signed (`docker-reference`): a repository, with or
    /// without a tag. For people: it is cut and cleaned like every foreign text.
    pub identity: String,
}

/// Finds a signature by one of `trusted` that says `manifest`, and, where `repository` is given,
/// that names this repository (`registry.example/team/app`, without a tag).
///
/// Without `repository`, a signature says that its owner knows this image, not under which name:
/// someone who can write to two repositories can offer one's signed image in the other.
///
/// # Errors
/// Says what kept the most promising signature from counting: one by a trusted key about
/// something else is told before ones by strangers, and these before what is no signature.
pub fn verify(
    candidates: &[Candidate<'_>],
    trusted: &[VerifyingKey],
    manifest: Digest,
    repository: Option<&str>,
) -> Result<Verified, VerifyError> {
    if candidates.is_empty() {
        return Err(VerifyError::NotSigned { manifest });
    }
    if candidates.len() > CANDIDATES_MAX {
        return Err(VerifyError::TooMany {
            count: candidates.len(),
        });
    }
    let mut verdicts = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        match judge(candidate, trusted, manifest, repository) {
            Verdict::Good(verified) => return Ok(verified),
            other => verdicts.push((candidate, other)),
        }
    }
    Err(explain(verdicts, trusted))
}

/// What one candidate is worth.
enum Verdict {
    Good(Verified),
    /// A trusted key has signed it, and still it does not count.
    Unfit(VerifyError),
    /// None of the trusted keys has signed it.
    Foreign,
    /// It is no signature at all.
    Unusable(UnusableError),
}

fn judge(
    candidate: &Candidate<'_>,
    trusted: &[VerifyingKey],
    manifest: Digest,
    repository: Option<&str>,
) -> Verdict {
    let signature = match signature(candidate) {
        Ok(signature) => signature,
        Err(error) => return Verdict::Unusable(error),
    };
    let signer = trusted
        .iter()
        .find(|key| key.has_signed(candidate.payload, &signature));
    let Some(signer) = signer else {
        return Verdict::Foreign;
    };
    match believe(signer, candidate.payload, manifest, repository) {
        Ok(verified) => Verdict::Good(verified),
        Err(error) => Verdict::Unfit(error),
    }
}

/// The signature's bytes, whoever made it.
fn signature(candidate: &Candidate<'_>) -> Result<Vec<u8>, UnusableError> {
    if candidate.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(UnusableError::PayloadTooLong {
            bytes: candidate.payload.len(),
        });
    }
    let text = candidate
        .annotations
        .get(SIGNATURE)
        .ok_or(UnusableError::NoSignature)?;
    if text.len() > SIGNATURE_CHARS_MAX {
        return Err(UnusableError::SignatureTooLong { chars: text.len() });
    }
    data_encoding::BASE64
        .decode(text.as_bytes())
        .map_err(|_| UnusableError::NotBase64)
}

/// Reads a payload that `signer` has signed, and asks it what it says.
fn believe(
    signer: &VerifyingKey,
    payload: &[u8],
    manifest: Digest,
    repository: Option<&str>,
) -> Result<Verified, VerifyError> {
    let key = signer.fingerprint();
    let payload =
        Payload::read(payload).map_err(|reason| VerifyError::Malformed { key, reason })?;
    if payload.manifest != manifest {
        return Err(VerifyError::OtherImage {
            key,
            signed: payload.manifest,
            manifest,
        });
    }
    match repository {
        Some(repository) if !payload.is_for(repository) => Err(VerifyError::OtherRepository {
            key,
            identity: error::printable(&payload.identity),
            repository: repository.to_owned(),
        }),
        _ => Ok(Verified {
            key,
            identity: error::printable(&payload.identity),
        }),
    }
}

/// Why none of the candidates counted. There is at least one.
fn explain(verdicts: Vec<(&Candidate<'_>, Verdict)>, trusted: &[VerifyingKey]) -> VerifyError {
    let mut unfit = Vec::new();
    let mut others = Others::default();
    let mut unusable = Vec::new();
    for (candidate, verdict) in verdicts {
        match verdict {
            Verdict::Good(_) => {}
            Verdict::Unfit(error) => unfit.push(error),
            Verdict::Foreign => others.add(
                Payload::read(candidate.payload).ok().map(|p| p.identity),
                candidate.annotations.contains_key(CERTIFICATE),
            ),
            Verdict::Unusable(error) => unusable.push(error),
        }
    }
    if let Some(error) = unfit.into_iter().max_by_key(VerifyError::nearness) {
        return error;
    }
    let count = unusable.len();
    match unusable.into_iter().next() {
        Some(first) if others.count == 0 => VerifyError::Unusable { count, first },
        _ => VerifyError::SomebodyElse {
            others,
            trusted: trusted.iter().map(VerifyingKey::fingerprint).collect(),
        },
    }
}
