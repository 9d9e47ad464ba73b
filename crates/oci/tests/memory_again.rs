//! How much memory several pulls take, one after the other, each on another thread: no more than one.
//!
//! One test in a binary of its own, because the peak is the process's.
#![cfg(test)]

use std::io::Write as _;
use std::thread;

use propeller_oci::crypt::Keys;
use propeller_oci::image::{PullOptions, pull, resolve};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress, SILENTLY};
use propeller_oci::{Coming, Reference, Room, Source, media, sha256, signatures};

const MIB: usize = 1 << 20;
const MODULE_LEN: usize = 16 * MIB;
const PULLS: usize = 6;
/// The archive and what comes out of it, and a tenth for what is around them.
const MEMORY_MAX: u64 = 22 * MODULE_LEN as u64 / 10;

/// What the kernel says of the process's memory, in bytes.
fn status(what: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// An image whose module is in an archive that nothing compresses.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        let mut module = vec![7; MODULE_LEN];
        module[..8].copy_from_slice(b"\0asm\x01\0\0\0");
        let mut header = tar::Header::new_gnu();
        header.set_path("app.wasm").expect("it fits");
        header.set_size(MODULE_LEN as u64);
        header.set_cksum();
        let mut archive = tar::Builder::new(Vec::with_capacity(MODULE_LEN + MIB));
        archive.append(&header, &*module).expect("memory takes it");
        let layer = archive.into_inner().expect("memory takes it");
        let config = b"{}".to_vec();
        let of = |media_type: &str, blob: &[u8]| {
            let digest = sha256(blob).to_string();
            serde_json::json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
            "config": of(media::OCI_CONFIG, &config),
            "layers": [of(media::TAR_LAYER, &layer)],
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            config,
            layer,
        }
    }

    async fn pull(&self) -> usize {
        let options = PullOptions {
            layers_at_once: 1,
            module_bytes_max: 2 * MODULE_LEN as u64,
            unpacked_bytes_max: 2 * MODULE_LEN as u64,
            entries_max: 10,
            keys: Keys::default(),
        };
        let reference = "example.com/image".parse().expect("it is a reference");
        let resolved = resolve(self, &reference).await.expect("it is there");
        let admitted = signatures::admit(self, resolved, &[]).await;
        let admitted = admitted.expect("nobody has to sign it");
        let pulled = pull(self, &admitted, &options, SILENTLY).await;
        pulled.expect("it is whole").module.len()
    }
}

impl Source for Image {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(async { Fetched::read(reference, self.manifest.clone(), None) })
    }

    /// As a registry fills it.
    fn blob<'a>(
        &'a self,
        _: &'a Reference,
        descriptor: &'a Descriptor,
        _: Progress<'a>,
    ) -> Coming<'a, Room> {
        let blobs = [&self.config, &self.layer];
        let blob = blobs
            .into_iter()
            .find(|blob| blob.len() as u64 == descriptor.size);
        let blob = blob.expect("it is one of them");
        Box::pin(async move {
            let mut room = Room::with_capacity(blob.len()).expect("there is memory");
            for piece in blob.chunks(16 * 1024) {
                room.write_all(piece).expect("there is room");
            }
            Ok(room)
        })
    }
}

#[test]
fn what_one_pull_has_freed_the_next_one_has() {
    let image = Image::new();
    let (Ok(()), Some(before)) = (
        std::fs::write("/proc/self/clear_refs", "5"),
        status("VmHWM:"),
    ) else {
        return skipped("the kernel says nothing of this process's memory");
    };
    for _ in 0..PULLS {
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let runtime = runtime.expect("there are threads");
                assert_eq!(runtime.block_on(image.pull()), MODULE_LEN);
            });
        });
    }
    let took = status("VmHWM:").expect("it was there") - before;
    assert!(took <= MEMORY_MAX, "{PULLS} pulls took {took} bytes");
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = thread::current().name().unwrap_or("?").to_owned();
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "SKIPPED {name}: {reason}").expect("there is room");
    }
}
