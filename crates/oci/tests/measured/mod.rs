//! What tests of memory share: an image with one layer, and what the kernel says of this process.

use std::io::Write as _;

use propeller_oci::crypt::Keys;
use propeller_oci::image::{ImageError, PullOptions, Pulled, pull, resolve};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress, SILENTLY};
use propeller_oci::{Coming, Pieces, Reference, Source, media, sha256, signatures};

pub(crate) const MIB: u64 = 1 << 20;
/// The module that may come out, and what the layers may unpack to, as the command line has them.
pub(crate) const MODULE_BYTES_MAX: u64 = 128 * MIB;
pub(crate) const UNPACKED_BYTES_MAX: u64 = 512 * MIB;

/// The peak of the process's memory in bytes, of which the kernel is told to forget the past.
pub(crate) fn forget_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    peak()
}

/// The peak of the process's memory in bytes.
pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Notes that a test did not run.
pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "SKIPPED {name}: {reason}").expect("there is room");
    }
}

/// The header of an entry of an archive, which says that it has `len` bytes.
pub(crate) fn header(name: &str, len: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("it fits");
    header.set_size(len);
    header.set_cksum();
    header
}

/// An image with one layer.
pub(crate) struct Image {
    manifest: Vec<u8>,
    blobs: [Vec<u8>; 2],
}

impl Image {
    pub(crate) fn new(media_type: &str, layer: Vec<u8>) -> Self {
        let of = |media_type: &str, blob: &[u8]| {
            let digest = sha256(blob).to_string();
            serde_json::json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
        };
        let config = b"{}".to_vec();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
            "config": of(media::OCI_CONFIG, &config),
            "layers": [of(media_type, &layer)],
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs: [config, layer],
        }
    }

    pub(crate) async fn pull(&self) -> Result<Pulled, ImageError> {
        let options = PullOptions {
            layers_at_once: 4,
            module_bytes_max: MODULE_BYTES_MAX,
            unpacked_bytes_max: UNPACKED_BYTES_MAX,
            entries_max: 1000,
            keys: Keys::default(),
        };
        let reference = "example.com/image".parse().expect("it is a reference");
        let resolved = resolve(self, &reference).await.expect("it is there");
        let admitted = signatures::admit(self, resolved, &[]).await;
        let admitted = admitted.expect("nobody has to sign it");
        pull(self, &admitted, &options, SILENTLY).await
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
    ) -> Coming<'a, Pieces> {
        let mut blobs = self.blobs.iter();
        let blob = blobs.find(|blob| sha256(blob) == descriptor.digest);
        let blob = blob.expect("it is one of them");
        Box::pin(async move {
            let mut room = Pieces::with_capacity(blob.len()).expect("there is memory");
            room.write_all(blob).expect("there is room");
            Ok(room)
        })
    }
}
