//! From a module to an image: layer, configuration, manifest.
//!
//! The same module makes the same bytes every time, so that who builds it again can compare digests.
//! Only encryption differs each time.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use propeller_model::Digest;
use serde_json::json;

use crate::crypt::{self, EncryptError, Recipients};
use crate::manifest::{Descriptor, Manifest};
use crate::registry::{Registry, RegistryError, Sent};
use crate::{Reference, media, sha256};

/// The name of the module in an archive.
const FILE: &str = "module.wasm";

/// When it was made, which must be said and says nothing: a clock would make every build another.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Bytes 4 to 8 of a component (component model, binary format).
const COMPONENT: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];

/// What a module becomes in a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A Wasm artifact: the module is a layer of its own (CNCF Wasm OCI artifact layout).
    #[default]
    Artifact,
    /// An OCI image: the module is in a tar archive, which every tool for images knows.
    Image,
}

/// What a component imports and exports, for whoever chooses it by that.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
}

/// An image that is ready to be sent.
#[derive(Debug)]
pub struct Built {
    /// The layer.
    pub layer: Bytes,
    /// The configuration.
    pub config: Bytes,
    /// The manifest, which names both.
    pub manifest: Bytes,
    /// Its digest, which is the image's.
    pub digest: Digest,
}

/// Makes an image of `wasm`, encrypted to `recipients` if there are any.
///
/// # Errors
///
/// [`EncryptError`].
pub fn build<'a>(
    wasm: &[u8],
    form: Form,
    interfaces: &Interfaces,
    recipients: impl Into<Recipients<'a>>,
) -> Result<Built, EncryptError> {
    let recipients = recipients.into();
    let secret = recipients.count() > 0;
    let Plain {
        layer,
        media_type,
        diff_id,
    } = plain(wasm, form);
    let (layer, media_type, annotations) = if !secret {
        (layer, media_type.to_owned(), Default::default())
    } else {
        let encrypted = crypt::encrypt(layer, recipients)?;
        let media_type = format!("{media_type}{}", media::ENCRYPTED);
        (encrypted.bytes, media_type, encrypted.annotations)
    };
    let layer = Bytes::from(layer);
    let layers = vec![Descriptor {
        annotations,
        ..descriptor(&media_type, &layer)
    }];
    let (config_type, config) = match form {
        Form::Artifact => (
            media::WASM_CONFIG,
            wasm_config(wasm, &layers, interfaces, secret),
        ),
        Form::Image => (media::OCI_CONFIG, image_config(wasm, diff_id)),
    };
    let config = Bytes::from(config);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: descriptor(config_type, &config),
        layers,
        annotations: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).expect("a manifest has text keys");
    Ok(Built {
        layer,
        config,
        digest: sha256(&manifest),
        manifest: manifest.into(),
    })
}

/// Sends an image: its blobs first, so that the manifest names nothing that is not there.
///
/// # Errors
///
/// [`RegistryError`].
pub async fn push(
    registry: &Registry,
    reference: &Reference,
    built: &Built,
    sent: Sent,
) -> Result<Digest, RegistryError> {
    push_blobs(registry, reference, built, sent).await?;
    push_manifest(registry, reference, built).await
}

/// Sends the blobs of an image, which nobody finds before its manifest.
///
/// # Errors
///
/// [`RegistryError`].
pub async fn push_blobs(
    registry: &Registry,
    reference: &Reference,
    built: &Built,
    sent: Sent,
) -> Result<(), RegistryError> {
    registry
        .push_blob(reference, &built.layer, sent.clone())
        .await?;
    registry.push_blob(reference, &built.config, sent).await?;
    Ok(())
}

/// Sends the manifest of an image whose blobs are there.
///
/// # Errors
///
/// [`RegistryError`].
pub async fn push_manifest(
    registry: &Registry,
    reference: &Reference,
    built: &Built,
) -> Result<Digest, RegistryError> {
    registry
        .push_manifest(reference, media::OCI_MANIFEST, &built.manifest)
        .await
}

/// What `blob` is called in a manifest.
pub(crate) fn descriptor(media_type: &str, blob: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: sha256(blob),
        size: blob.len() as u64,
        annotations: Default::default(),
        platform: None,
    }
}

struct Plain {
    layer: Vec<u8>,
    media_type: &'static str,
    /// The digest of what the layer unpacks to.
    diff_id: Digest,
}

fn plain(wasm: &[u8], form: Form) -> Plain {
    match form {
        Form::Artifact => Plain {
            layer: wasm.to_vec(),
            media_type: media::WASM_LAYER,
            diff_id: sha256(wasm),
        },
        Form::Image => {
            let archive = archive(wasm);
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            let written = gzip.write_all(&archive).and_then(|()| gzip.finish());
            Plain {
                layer: written.expect("memory takes what is written"),
                media_type: media::TAR_GZIP_LAYER,
                diff_id: sha256(&archive),
            }
        }
    }
}

fn archive(wasm: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(wasm.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    let added = archive.append_data(&mut header, FILE, wasm);
    let written = added.and_then(|()| archive.into_inner());
    written.expect("memory takes what is written, and the name is short")
}

fn os(wasm: &[u8]) -> &'static str {
    match wasm.get(4..8) {
        Some(version) if version == COMPONENT => "wasip2",
        _ => "wasip1",
    }
}

/// The configuration of a Wasm artifact. What an encrypted component imports and exports stays in it.
fn wasm_config(
    wasm: &[u8],
    layers: &[Descriptor],
    interfaces: &Interfaces,
    secret: bool,
) -> Vec<u8> {
    let digests: Vec<_> = layers
        .iter()
        .map(|layer| layer.digest.to_string())
        .collect();
    let os = os(wasm);
    let mut config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": os,
        "layerDigests": digests,
    });
    if os == "wasip2" {
        let Interfaces { imports, exports } = match secret {
            true => &Interfaces::default(),
            false => interfaces,
        };
        config["component"] = json!({ "imports": imports, "exports": exports });
    }
    config.to_string().into_bytes()
}

fn image_config(wasm: &[u8], diff_id: Digest) -> Vec<u8> {
    let config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": os(wasm),
        "config": { "Entrypoint": [format!("/{FILE}")] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    });
    config.to_string().into_bytes()
}
