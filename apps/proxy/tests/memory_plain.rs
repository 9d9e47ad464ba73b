//! How much memory a proxy takes that unpacks images for upstream's proplets, across Debian's mosquitto.
//!
//! The proxy is the program that operators run: the peak is its process's.
#![cfg(test)]

mod measured;

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::BASE64;
use measured::{Bed, GROWTH_MAX, MEMORY_MAX, forget_peak, say};
use propeller_envelope::WorkloadKey;
use propeller_model::Digest;
use propeller_oci::{media, sha256};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::upstream::{self, Chunk, Fetch};
use propeller_wire::{Channel, mqtt};
use serde_json::json;
use tokio::task::JoinSet;

const MODULE_LEN: usize = 30_000_000;
/// What is in the image besides.
const OTHER_LEN: usize = 10_000_000;
/// As far as zstd looks back by default, which whoever unpacks has in memory.
const WINDOW_LOG: u32 = 21;
/// As far as it may.
const WIDE_LOG: u32 = 23;
/// How long a proplet waits for the next chunk before it asks once more.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for, each at one time.
const NARROW: &[&[&str]] = &[
    &["layer"],
    &["plain"],
    &["gzip"],
    &["zstd"],
    &["gzip"],
    &["zstd"],
    &["layer", "plain", "gzip", "zstd"],
];
/// The same, with a layer for which zstd looks back as far as it may.
const WIDE: &[&[&str]] = &[&["wide"], &["gzip"], &["wide"], &["wide", "zstd", "layer"]];

/// Bytes that nothing makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn module() -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), &noise(MODULE_LEN - 8)].concat()
}

/// The archive of an image, with the module behind so many bytes of something else.
fn archive(module: &[u8], other: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [("data.bin", noise(other).as_slice()), ("app.wasm", module)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(archive: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(archive).unwrap();
    gzip.finish().unwrap()
}

fn zstd(archive: &[u8], window_log: u32) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.window_log(window_log).unwrap();
    zstd.write_all(archive).unwrap();
    zstd.finish().unwrap()
}

/// A registry with images, by tag.
#[derive(Default)]
struct Registry {
    manifests: HashMap<&'static str, String>,
    blobs: HashMap<Digest, Bytes>,
}

impl Registry {
    /// One that has a module in every way.
    fn of(module: &[u8]) -> Self {
        let (small, archive) = (archive(&module[..8], 0), archive(module, OTHER_LEN));
        let diff_id = sha256(&archive);
        let zstd = |window_log| zstd(&archive, window_log);
        Self::default()
            .with("small", media::TAR_LAYER, small.clone(), sha256(&small))
            .with("layer", media::WASM_LAYER, module.to_vec(), diff_id)
            .with("gzip", media::TAR_GZIP_LAYER, gzip(&archive), diff_id)
            .with("zstd", media::TAR_ZSTD_LAYER, zstd(WINDOW_LOG), diff_id)
            .with("wide", media::TAR_ZSTD_LAYER, zstd(WIDE_LOG), diff_id)
            .with("plain", media::TAR_LAYER, archive, diff_id)
    }

    fn with(
        mut self,
        tag: &'static str,
        media_type: &str,
        layer: Vec<u8>,
        diff_id: Digest,
    ) -> Self {
        let config = json!({"rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]}});
        let mut keep = |media_type: &str, blob: Vec<u8>| {
            let (digest, size) = (sha256(&blob), blob.len());
            self.blobs.insert(digest, blob.into());
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
        };
        let config = keep(media::OCI_CONFIG, config.to_string().into_bytes());
        let layer = keep(media_type, layer);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": [layer],
        });
        self.manifests.insert(tag, manifest.to_string());
        self
    }

    async fn serve(self, tasks: &mut JoinSet<()>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().route("/v2/{*rest}", get(answer));
        let router = router.with_state(Arc::new(self));
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }
}

async fn answer(State(registry): State<Arc<Registry>>, Path(rest): Path<String>) -> Response {
    let last = rest.rsplit('/').next().unwrap_or_default();
    let blob = last
        .parse()
        .ok()
        .and_then(|digest| registry.blobs.get(&digest));
    match (registry.manifests.get(last), blob) {
        (Some(manifest), _) => manifest.clone().into_response(),
        (None, Some(blob)) => blob.clone().into_response(),
        (None, None) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// One of upstream's proplets, as far as a proxy knows it.
struct Proplet {
    link: Link,
    _tasks: JoinSet<()>,
}

impl Proplet {
    async fn connect(bed: &Bed) -> Self {
        let options = mqtt::Options {
            client_id: "edge".to_owned(),
            queues: mqtt::Queues::default(),
            ..bed.config.mqtt.clone()
        };
        let listen = Listen::AsProplet("edge".parse().unwrap());
        let (mut link, carry) = mqtt::connect(&options, listen).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(carry);
        while !matches!(link.incoming.recv().await.unwrap(), Incoming::Up) {}
        Self {
            link,
            _tasks: tasks,
        }
    }

    async fn ask(&self, image: &str) {
        let app_name = image.to_owned();
        let frame = Outgoing {
            channel: Channel::Ask,
            bytes: upstream::write(&Fetch { app_name }).into(),
        };
        self.link.outgoing.send(frame).await.unwrap();
    }

    /// The next chunk of any module.
    async fn chunk(&mut self) -> Option<Chunk> {
        loop {
            let incoming = tokio::time::timeout(PATIENCE, self.link.incoming.recv());
            if let Incoming::Frame { bytes, .. } = incoming.await.ok()??
                && let Ok(chunk) = upstream::read(&bytes)
            {
                return Some(chunk);
            }
        }
    }

    /// Waits until the proxy has come to the broker: before, it hears nothing.
    async fn meet(&mut self, image: &str) {
        loop {
            self.ask(image).await;
            let chunk = tokio::time::timeout(Duration::from_millis(200), self.chunk());
            if chunk.await.is_ok() {
                return;
            }
        }
    }

    /// Fetches the modules of images that are asked for at one time.
    async fn fetch(&mut self, images: &[String]) -> Vec<Vec<u8>> {
        let mut coming: Vec<Vec<u8>> = images.iter().map(|_| Vec::new()).collect();
        for image in images {
            self.ask(image).await;
        }
        let mut left = images.len();
        while left > 0 {
            let chunk = self.chunk().await.expect("the proxy sends it");
            let index = images.iter().position(|image| *image == chunk.app_name);
            let Some(index) = index else { continue };
            let module = &mut coming[index];
            module.extend(BASE64.decode(chunk.data.as_bytes()).unwrap());
            left -= usize::from(chunk.chunk_idx + 1 == chunk.total_chunks);
        }
        coming
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_in_an_archive_of_any_size_is_sent_with_few_chunks_in_memory() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let module = module();
    let registry = Registry::of(&module);
    let mut tasks = JoinSet::new();
    let registry = registry.serve(&mut tasks).await;
    let allowed = ("allow_plaintext_proplets", "true".to_owned());
    let key = WorkloadKey::generate().unwrap();
    let Some(bed) = Bed::start(&registry, &key, &[allowed]) else {
        return;
    };
    let proxy = &bed.proxy;
    let mut proplet = Proplet::connect(&bed).await;
    let image = |tag: &str| format!("http://{registry}/a/b:{tag}");
    proplet.meet(&image("small")).await;
    let idle = say(proxy, "idle", Duration::ZERO);
    for (rounds, more) in [(NARROW, 0), (WIDE, 1 << WIDE_LOG)] {
        let mut peaks = Vec::new();
        for tags in rounds {
            forget_peak(proxy);
            let images: Vec<_> = tags.iter().map(|tag| image(tag)).collect();
            let begun = Instant::now();
            for fetched in proplet.fetch(&images).await {
                assert!(fetched == module, "{tags:?}: {} bytes", fetched.len());
            }
            peaks.push(say(proxy, &tags.join(" and "), begun.elapsed()));
        }
        let most = peaks.into_iter().max().unwrap();
        assert!(most < MEMORY_MAX + more, "{most} bytes");
        let growth = most.saturating_sub(idle);
        assert!(
            growth < GROWTH_MAX + more,
            "{growth} bytes more than {idle}"
        );
    }
}
