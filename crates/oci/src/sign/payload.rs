//! What is signed: a short JSON text that names an image and the place it is meant for.
//!
//! ```json
//! {"critical":{"identity":{"docker-reference":"registry.example/app"},
//!  "image":{"docker-manifest-digest":"sha256:…"},
//!  "type":"cosign container image signature"},"optional":null}
//! ```
//!
//! It is read as strictly as containers/image reads it (`sigstore_payload.go`): an unknown field
//! under `critical` may be a condition, and whoever does not know it must not count the signature.
//! What is under `optional` is for people, and is passed over.

use propeller_model::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{PayloadError, printable};

/// What `critical.type` says, in every payload of cosign's.
const TYPE: &str = "cosign container image signature";

/// The bytes to sign for an image: the same for the same arguments, always.
///
/// `identity` is the image's name as others will ask for it: its repository, with or without a
/// tag. It need not be checked here, because whoever verifies compares it.
#[must_use]
pub fn payload(identity: &str, manifest: Digest) -> Vec<u8> {
    // Strings in an object in a fixed order: writing that down cannot fail.
    serde_json::json!({
        "critical": {
            "identity": {"docker-reference": identity},
            "image": {"docker-manifest-digest": manifest.to_string()},
            "type": TYPE,
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    critical: Critical,
    #[serde(default, rename = "optional")]
    _optional: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// What a payload says. That it says so proves nothing: see [`super::verify`].
pub(super) struct Payload {
    pub(super) identity: String,
    pub(super) manifest: Digest,
}

impl Payload {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PayloadError> {
        let Document { critical, .. } =
            serde_json::from_slice(bytes).map_err(|error| PayloadError::Json {
                line: error.line(),
                column: error.column(),
            })?;
        if critical.kind != TYPE {
            return Err(PayloadError::Type(printable(&critical.kind)));
        }
        let manifest = critical
            .image
            .digest
            .parse()
            .map_err(|_| PayloadError::Digest(printable(&critical.image.digest)))?;
        Ok(Self {
            identity: critical.identity.reference,
            manifest,
        })
    }

    /// Whether it was signed for this repository. Its tag does not matter: cosign writes none,
    /// skopeo the one it copied to.
    pub(super) fn is_for(&self, repository: &str) -> bool {
        !repository.is_empty() && same_registry(repository_of(&self.identity), repository)
    }
}

/// A reference without its digest and its tag.
fn repository_of(reference: &str) -> &str {
    let name = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before a slash belongs to a port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Cosign calls the Docker Hub `index.docker.io`, everybody else `docker.io`.
fn same_registry(one: &str, other: &str) -> bool {
    let usual = |name: &str| match name.strip_prefix("index.") {
        Some(rest) if rest.starts_with("docker.io/") => rest.to_owned(),
        _ => name.to_owned(),
    };
    usual(one) == usual(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: Digest = Digest([0xab; 32]);

    #[test]
    fn a_payload_is_the_same_bytes_every_time_and_reads_back() {
        let bytes = payload("registry.example:5000/team/app", MANIFEST);
        let hex = "ab".repeat(32);
        let expected = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry.example:5000/team/app"}},"image":{{"docker-manifest-digest":"sha256:{hex}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        let read = Payload::read(&bytes).unwrap();
        assert_eq!(read.identity, "registry.example:5000/team/app");
        assert_eq!(read.manifest, MANIFEST);
    }

    #[test]
    fn what_stands_in_an_identity_does_not_get_out_of_it() {
        let identity = "a\"}, \"image\": {\"docker-manifest-digest\": \"sha256:00\"\u{7}";
        let read = Payload::read(&payload(identity, MANIFEST)).unwrap();
        assert_eq!(read.identity, identity);
        assert_eq!(read.manifest, MANIFEST);
    }

    #[test]
    fn an_identity_is_for_its_repository_with_any_tag_and_for_no_other() {
        for (identity, repository, expected) in [
            ("r.example/app", "r.example/app", true),
            ("r.example/app:1.0", "r.example/app", true),
            ("r.example/app@sha256:00", "r.example/app", true),
            ("r.example/app:1@sha256:00", "r.example/app", true),
            ("r.example:5000/app", "r.example:5000/app", true),
            ("r.example:5000/app:1", "r.example:5000/app", true),
            ("index.docker.io/library/a", "docker.io/library/a", true),
            ("docker.io/library/a:3", "index.docker.io/library/a", true),
            ("index.r.example/app", "r.example/app", false),
            ("index.docker.io.example/a", "docker.io.example/a", false),
            ("r.example/app2", "r.example/app", false),
            ("r.example/app/2", "r.example/app", false),
            ("r.example/App", "r.example/app", false),
            ("r.example:5000/app", "r.example/app", false),
            ("r.example/app", "r.example", false),
            ("", "", false),
            (":1", "", false),
            ("", "r.example/app", false),
        ] {
            let payload = Payload::read(&payload(identity, MANIFEST)).unwrap();
            assert_eq!(
                payload.is_for(repository),
                expected,
                "{identity} {repository}"
            );
        }
    }
}
