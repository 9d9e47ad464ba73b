//! Modules for upstream's proplets, out of layers that are archives.

use std::io::{self, Read as _, Write as _};

use data_encoding::BASE64;
use propeller_oci::{media, sha256};
use propeller_wire::link::Incoming;
use propeller_wire::upstream::{self, Chunk, Fetch};
use propeller_wire::{Channel, link::Link, link::Outgoing};
use serde_json::json;

use crate::bed::{Bed, Behaviour, CHUNK, PATIENCE, content};

/// An archive with these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The start of an archive that unpacks to more than anybody unpacks.
fn bomb() -> Vec<u8> {
    const LEN: u64 = 600 << 20;
    let mut header = tar::Header::new_gnu();
    header.set_path("readme").unwrap();
    header.set_size(LEN);
    header.set_cksum();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(LEN), &mut zstd).unwrap();
    zstd.finish().unwrap()
}

/// A registry's blobs, and the references of images among them.
#[derive(Default)]
struct Images {
    blobs: Vec<Vec<u8>>,
    references: Vec<String>,
}

impl Images {
    fn keep(&mut self, media_type: &str, blob: Vec<u8>) -> serde_json::Value {
        let said = json!({
            "mediaType": media_type, "digest": sha256(&blob).to_string(), "size": blob.len(),
        });
        self.blobs.push(blob);
        said
    }

    /// Adds an image with these layers, and with what its configuration says they unpack to.
    fn add(&mut self, layers: &[Vec<u8>], diff_ids: &[Vec<u8>], media_type: &str) {
        let diff_ids: Vec<_> = diff_ids
            .iter()
            .map(|bytes| sha256(bytes).to_string())
            .collect();
        let config = json!({"rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.keep(media::OCI_CONFIG, config.to_string().into_bytes());
        let layers = layers
            .iter()
            .map(|layer| self.keep(media_type, layer.clone()));
        let layers: Vec<_> = layers.collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        self.references.push(format!("a/b@{}", sha256(&manifest)));
        self.blobs.push(manifest);
    }

    /// A proxy in front of them, and an upstream's proplet.
    async fn bed(self) -> (Bed, Link, Vec<String>) {
        let mut bed = Bed::new(Behaviour::AnyOf(self.blobs)).await;
        let link = bed.link("edge");
        let references = self.references.iter();
        let references = references.map(|rest| bed.reference(rest)).collect();
        (bed, link, references)
    }
}

async fn ask(link: &Link, app_name: &str) {
    let app_name = app_name.to_owned();
    let frame = Outgoing {
        channel: Channel::Ask,
        bytes: upstream::write(&Fetch { app_name }).into(),
    };
    link.outgoing.send(frame).await.unwrap();
}

/// The next module that comes as a whole, its chunks in order, and whose it is.
async fn module(link: &mut Link) -> (String, Vec<u8>) {
    let mut module = Vec::new();
    for index in 0.. {
        let chunk: Chunk = loop {
            let incoming = tokio::time::timeout(PATIENCE, link.incoming.recv());
            let incoming = incoming.await.expect("a chunk comes").unwrap();
            let Incoming::Frame { bytes, .. } = incoming else {
                continue;
            };
            if let Ok(chunk) = upstream::read(&bytes) {
                break chunk;
            }
        };
        assert_eq!(chunk.chunk_idx, index);
        let bytes = BASE64.decode(chunk.data.as_bytes()).unwrap();
        let is_last = index + 1 == chunk.total_chunks;
        assert!(bytes.len() == CHUNK || is_last && bytes.len() < CHUNK);
        module.extend(bytes);
        if is_last {
            return (chunk.app_name, module);
        }
    }
    unreachable!("a module has an end")
}

fn wasm(len: usize) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), &content(len - 8)].concat()
}

#[tokio::test]
async fn the_module_is_that_of_the_layers_together_whatever_they_are_compressed_with() {
    let (old, new) = (wasm(20_000), wasm(3 * CHUNK + 5));
    let below = archive(&[("app.wasm", &old), ("lib/b.wasm", &old)]);
    let above = archive(&[
        ("readme", b"text"),
        ("lib/.wh.b.wasm", b""),
        ("app.wasm", &new),
    ]);
    let archives = [below, above];
    let mut images = Images::default();
    images.add(&archives, &archives, media::TAR_LAYER);
    let packed = archives.clone().map(|archive| gzip(&archive));
    images.add(&packed, &archives, media::TAR_GZIP_LAYER);
    let packed = archives
        .clone()
        .map(|archive| zstd::encode_all(&*archive, 3).unwrap());
    images.add(&packed, &archives, media::TAR_ZSTD_LAYER);
    // Exactly as many chunks as there are.
    let even = [archive(&[("app.wasm", &wasm(2 * CHUNK))])];
    images.add(&even, &[], media::TAR_LAYER);
    let (bed, mut link, references) = images.bed().await;
    for reference in &references[..3] {
        ask(&link, reference).await;
        assert_eq!(module(&mut link).await, (reference.clone(), new.clone()));
    }
    ask(&link, &references[3]).await;
    assert_eq!(module(&mut link).await.1.len(), 2 * CHUNK);
    drop(bed);
}

#[tokio::test]
async fn of_what_is_refused_no_chunk_is_sent() {
    let good = [archive(&[("app.wasm", &wasm(1000))])];
    let packed = good.clone().map(|archive| gzip(&archive));
    let mut images = Images::default();
    // What a layer unpacks to is known when all of it has been read.
    images.add(
        &packed,
        &[b"something else".to_vec()],
        media::TAR_GZIP_LAYER,
    );
    images.add(&[bomb()], &[], media::TAR_ZSTD_LAYER);
    let two = [archive(&[("a.wasm", &wasm(9)), ("b.wasm", &wasm(9))])];
    images.add(&two, &two, media::TAR_LAYER);
    let text = [archive(&[("a.wasm", b"text")])];
    images.add(&text, &text, media::TAR_LAYER);
    let encrypted = format!("{}{}", media::TAR_GZIP_LAYER, media::ENCRYPTED);
    images.add(&packed, &good, &encrypted);
    images.add(&packed, &good, media::TAR_GZIP_LAYER);
    let (bed, mut link, references) = images.bed().await;
    // One is looked up and unpacked after the other.
    for reference in &references {
        ask(&link, reference).await;
    }
    assert_eq!(Some(&module(&mut link).await.0), references.last());
    drop(bed);
}
