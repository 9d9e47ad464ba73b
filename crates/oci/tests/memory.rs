//! How much memory archives take that say or become more than they should, measured at the process:
//! zstd does not ask Rust's allocator.
//!
//! One test in a binary of its own, because the peak is the process's.
#![cfg(test)]

use std::io::{self, Read as _, Write as _};

use propeller_oci::crypt::Keys;
use propeller_oci::image::{PullOptions, pull, resolve};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress, SILENTLY};
use propeller_oci::{Coming, Reference, Room, Source, media, sha256, signatures};

const MIB: u64 = 1 << 20;
/// The module that may come out, and what the layers may unpack to, as the command line has them.
const MODULE_BYTES_MAX: u64 = 128 * MIB;
const UNPACKED_BYTES_MAX: u64 = 512 * MIB;
/// What a refused archive may take: the window of zstd is 8 MiB.
const MEMORY_MAX: u64 = 24 * MIB;

/// The peak of the process's memory in bytes, of which the kernel is told to forget the past.
fn forget_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    peak()
}

fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "SKIPPED {name}: {reason}").expect("there is room");
    }
}

/// An image with one layer.
struct Image {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Source for Image {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(async { Fetched::read(reference, self.manifest.clone(), None) })
    }

    fn blob<'a>(
        &'a self,
        _: &'a Reference,
        descriptor: &'a Descriptor,
        _: Progress<'a>,
    ) -> Coming<'a, Room> {
        let mut blobs = self.blobs.iter();
        let blob = blobs.find(|blob| sha256(blob) == descriptor.digest);
        Box::pin(async move { Ok(blob.expect("it is one of them").clone().into()) })
    }
}

/// An archive, in zstd, whose only entry says that it has `said` bytes and has `there` zeros.
fn layer(name: &str, said: u64, there: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("it fits");
    header.set_size(said);
    header.set_cksum();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("there is room");
    zstd.write_all(header.as_bytes()).expect("memory takes it");
    io::copy(&mut io::repeat(0).take(there), &mut zstd).expect("memory takes it");
    zstd.finish().expect("memory takes it")
}

fn image(layer: Vec<u8>) -> Image {
    let of = |media_type: &str, blob: &[u8]| {
        let digest = sha256(blob).to_string();
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
    };
    let config = b"{}".to_vec();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": of(media::OCI_CONFIG, &config),
        "layers": [of(media::TAR_ZSTD_LAYER, &layer)],
    });
    Image {
        manifest: manifest.to_string().into_bytes(),
        blobs: vec![config, layer],
    }
}

async fn told(image: &Image) -> String {
    let options = PullOptions {
        layers_at_once: 4,
        module_bytes_max: MODULE_BYTES_MAX,
        unpacked_bytes_max: UNPACKED_BYTES_MAX,
        entries_max: 1000,
        keys: Keys::default(),
    };
    let reference = "example.com/image".parse().expect("it is a reference");
    let resolved = resolve(image, &reference).await.expect("it is there");
    let admitted = signatures::admit(image, resolved, &[]).await;
    let admitted = admitted.expect("nobody has to sign it");
    let pulled = pull(image, &admitted, &options, SILENTLY).await;
    pulled.expect_err("it is too large").to_string()
}

#[tokio::test]
async fn what_is_refused_takes_no_memory_of_its_size() {
    let Some(_) = forget_peak() else {
        return skipped("the kernel does not say how much memory a process takes");
    };
    let too_large = format!("size: the layers unpack to more than {UNPACKED_BYTES_MAX} bytes");
    let module = format!("size: the modules in the layers have more than {MODULE_BYTES_MAX} bytes");
    for (what, layer, why) in [
        (
            "a bomb beside the module",
            layer("readme", 600 * MIB, 600 * MIB),
            &too_large,
        ),
        (
            "a bomb that is the module",
            layer("app.wasm", 300 * MIB, 300 * MIB),
            &module,
        ),
        (
            "an entry that says that it has six gigabytes",
            layer("app.wasm", 6_000_000_000, 300 * MIB),
            &module,
        ),
        (
            "one that says so and has nothing",
            layer("app.wasm", 6_000_000_000, 0),
            &module,
        ),
    ] {
        let image = image(layer);
        let before = forget_peak().expect("it was said before");
        assert_eq!(&told(&image).await, why, "{what}");
        let after = peak().expect("it was said before");
        let taken = after.saturating_sub(before);
        println!("{what}: {} KiB", taken / 1024);
        assert!(taken < MEMORY_MAX, "{what} takes {taken} bytes");
    }
}
