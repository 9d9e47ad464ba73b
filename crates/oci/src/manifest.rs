//! What a registry says an image is: manifests, indexes, and the configuration of an image.
//!
//! The OCI image specification 1.1 and Docker's manifest 2.2, which has the same members.

use std::collections::BTreeMap;

use propeller_model::Digest;
use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::media;

/// The longest manifest, index or configuration that is read. Registries allow 4 MiB.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// The most layers of an image. Container runtimes stop at 127.
pub const LAYERS_MAX: usize = 256;
/// The most images of an index.
pub const MANIFESTS_MAX: usize = 1024;

/// Architectures and operating systems that say WebAssembly.
const WASM_ARCHITECTURES: [&str; 3] = ["wasm", "wasm32", "wasm64"];
const WASM_SYSTEMS: [&str; 5] = ["wasi", "wasip1", "wasip2", "wasip3", "js"];

/// A blob, by what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What is in it.
    pub media_type: String,
    /// Its digest; of the ciphertext, if it is encrypted.
    #[serde(with = "text")]
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// What else is said of it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `wasm` or `amd64`.
    pub architecture: String,
    /// Such as `wasip1` or `linux`.
    pub os: String,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What this is; Docker requires it, OCI does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// What else is said of it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Several images, one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// The images.
    pub manifests: Vec<Descriptor>,
}

/// What a reference can lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Image(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// Of a configuration, what chooses the module and checks the layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// How it is run.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Execution,
    /// What its layers have to be.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
}

/// How an image is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// The program and its first arguments.
    #[serde(default, deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// More arguments, or all of it.
    #[serde(default, deserialize_with = "or_default")]
    pub cmd: Vec<String>,
}

/// The digests of the layers as tar archives, which is what they are before compression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// One for each layer.
    #[serde(default, deserialize_with = "digests", serialize_with = "texts")]
    pub diff_ids: Vec<Digest>,
}

/// Why a document says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not JSON, or members are missing or of another type.
    #[error("it is no manifest: {0}")]
    Malformed(String),
    /// Another version of the format, long gone.
    #[error(
        "its schema version is {0}, and only 2 is known: push the image again with a newer tool"
    )]
    Version(u32),
    /// It is something else.
    #[error("it is {0:?}, which is neither an image nor an index of images")]
    MediaType(String),
    /// It is two things at once, or is called something else than it says.
    #[error("it says that it is both an image and an index, so that nobody can say what it is")]
    Ambiguous,
    /// It is too long to be one.
    #[error("it has {count} {what}; at most {limit} are read")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No image of an index can be chosen.
    #[error("its index has no image that could hold a module")]
    NoImage,
}

impl Document {
    /// Reads a manifest or an index, which it says itself or `content_type` does.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            schema_version: u32,
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let head: Head = json(bytes)?;
        if head.schema_version != 2 {
            return Err(ManifestError::Version(head.schema_version));
        }
        if head.manifests.is_some() && (head.config.is_some() || head.layers.is_some()) {
            // One digest would be of two things (CVE-2021-41190).
            return Err(ManifestError::Ambiguous);
        }
        let header = content_type.map(essence).filter(|known| is_document(known));
        let said = head.media_type.as_deref().or(content_type).map(essence);
        if header.is_some() && said.is_some_and(is_document) && header != said {
            return Err(ManifestError::Ambiguous);
        }
        match said {
            Some(media::OCI_MANIFEST | media::DOCKER_MANIFEST) => image(bytes),
            Some(media::OCI_INDEX | media::DOCKER_INDEX) => index(bytes),
            None | Some("application/json") if head.manifests.is_some() => index(bytes),
            None | Some("application/json") => image(bytes),
            Some(other) => Err(ManifestError::MediaType(excerpt(other))),
        }
    }
}

impl Config {
    /// Reads the configuration of an image.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        json(bytes)
    }

    /// The program that the image runs, as a path or a name.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        let Execution { entrypoint, cmd } = &self.config;
        let program = entrypoint.first().or_else(|| cmd.first())?;
        Some(program)
    }
}

impl Index {
    /// The image to run: one for WebAssembly, or else the first that is for anything at all.
    ///
    /// # Errors
    ///
    /// [`ManifestError::NoImage`].
    pub fn choose(&self) -> Result<&Descriptor, ManifestError> {
        let known = |descriptor: &&Descriptor| {
            let media_type = essence(&descriptor.media_type);
            matches!(media_type, media::OCI_MANIFEST | media::DOCKER_MANIFEST)
        };
        let images = || self.manifests.iter().filter(known);
        let wasm = images().find(|one| one.platform.as_ref().is_some_and(Platform::is_wasm));
        // What builders file beside an image, such as attestations, runs on nothing.
        let runs = |one: &&Descriptor| one.platform.as_ref().is_none_or(|it| it.os != "unknown");
        let chosen = wasm.or_else(|| images().find(runs));
        chosen.ok_or(ManifestError::NoImage)
    }
}

impl Platform {
    /// Whether it says WebAssembly.
    #[must_use]
    pub fn is_wasm(&self) -> bool {
        WASM_ARCHITECTURES.contains(&self.architecture.as_str())
            || WASM_SYSTEMS.contains(&self.os.as_str())
    }
}

/// Whether a media type is of an image or an index.
fn is_document(media_type: &str) -> bool {
    matches!(
        media_type,
        media::OCI_MANIFEST | media::OCI_INDEX | media::DOCKER_MANIFEST | media::DOCKER_INDEX
    )
}

/// A media type without its parameters.
pub(crate) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn image(bytes: &[u8]) -> Result<Document, ManifestError> {
    let manifest: Manifest = json(bytes)?;
    at_most("layers", manifest.layers.len(), LAYERS_MAX)?;
    Ok(Document::Image(Box::new(manifest)))
}

fn index(bytes: &[u8]) -> Result<Document, ManifestError> {
    let index: Index = json(bytes)?;
    at_most("images", index.manifests.len(), MANIFESTS_MAX)?;
    Ok(Document::Index(index))
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), ManifestError> {
    match count <= limit {
        true => Ok(()),
        false => Err(ManifestError::TooMany { what, count, limit }),
    }
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ManifestError::Malformed(excerpt(&error.to_string())))
}

/// `null` is what Go writes for what is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Digests as `sha256:…`.
mod text {
    use propeller_model::Digest;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text(#[serde(with = "text")] Digest);

fn digests<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Digest>, D::Error> {
    let texts: Option<Vec<Text>> = Option::deserialize(from)?;
    Ok(texts
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.0)
        .collect())
}

fn texts<S: serde::Serializer>(digests: &[Digest], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(digests.iter().copied().map(Text))
}
