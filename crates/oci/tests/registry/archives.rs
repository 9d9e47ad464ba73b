//! Archives that nobody should unpack, from a registry that is honest about their bytes.

use std::io::Write as _;

use propeller_oci::{media, sha256};
use tar::EntryType;

use crate::hostile::{of_type, told};
use crate::support::{Answer, MODULE};

/// An archive with these entries, in which nothing is checked that a library would check.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, *content).expect("memory takes it");
    }
    archive.into_inner().expect("memory takes it")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory takes it");
    gzip.finish().expect("memory takes it")
}

/// What comes of an image with this layer.
async fn pulled(layer: Vec<u8>) -> String {
    let config = b"{}".to_vec();
    let of = |media_type: &str, blob: &[u8]| {
        let digest = sha256(blob).to_string();
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": of(media::OCI_CONFIG, &config),
        "layers": [of(media::TAR_GZIP_LAYER, &layer)],
    });
    let manifest = manifest.to_string();
    let layer_digest = sha256(&layer).to_string();
    told(move |asked| {
        if asked.path.contains("/manifests/") {
            return of_type(manifest.clone());
        }
        match asked.path.ends_with(&layer_digest) {
            true => Answer::new(200, &[], layer.clone()),
            false => Answer::new(200, &[], config.clone()),
        }
    })
    .await
}

#[tokio::test]
async fn an_honest_layer_is_unpacked() {
    let layer = archive(&[("app.wasm", EntryType::Regular, MODULE)]);
    assert_eq!(pulled(gzip(&layer)).await, "8 bytes");
}

/// An archive in a frame that says how far it looks back, whatever its length.
fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("it can be made");
    zstd.window_log(window_log).expect("there is such a window");
    zstd.write_all(bytes).expect("memory takes it");
    zstd.finish().expect("memory takes it")
}

#[tokio::test]
async fn a_layer_that_looks_back_too_far_is_not_damaged() {
    let layer = archive(&[("app.wasm", EntryType::Regular, MODULE)]);
    assert_eq!(pulled(zstd(&layer, 23)).await, "8 bytes");
    let far = zstd(&layer, 24);
    let why = "size: layer 1 needs a zstd window of more than 8 MiB to be unpacked: compress it \
        without `--long`, and without `--ultra` or with a level of at most 19";
    assert_eq!(pulled(far.clone()).await, why);
    // A frame of its own behind one that is right.
    let second = [zstd(&layer[..512], 23), zstd(&layer[512..], 24)].concat();
    assert_eq!(pulled(second).await, why);
    let damaged = pulled([&zstd(&layer, 23)[..20], b"x"].concat()).await;
    assert!(
        damaged.starts_with("media type: layer 1 is no tar archive"),
        "{damaged}"
    );
}

#[tokio::test]
async fn a_bomb_is_not_unpacked_to_its_end() {
    let zeros = vec![0; 8 << 20];
    let beside = archive(&[("readme", EntryType::Regular, &zeros)]);
    let bomb = gzip(&beside);
    assert!(bomb.len() < 100_000);
    assert_eq!(
        pulled(bomb).await,
        "size: the layers unpack to more than 4194304 bytes"
    );
    let module = archive(&[("app.wasm", EntryType::Regular, &zeros)]);
    assert_eq!(
        pulled(gzip(&module)).await,
        "size: the modules in the layers have more than 1048576 bytes"
    );
}

#[tokio::test]
async fn an_entry_that_only_says_that_it_is_large_is_refused() {
    let mut layer = archive(&[("app.wasm", EntryType::Regular, MODULE)]);
    let mut header = tar::Header::from_byte_slice(&layer[..512]).clone();
    header.set_size(6_000_000_000);
    header.set_cksum();
    layer[..512].copy_from_slice(header.as_bytes());
    assert_eq!(
        pulled(gzip(&layer)).await,
        "size: the modules in the layers have more than 1048576 bytes"
    );
}

#[tokio::test]
async fn a_name_that_leads_out_is_refused() {
    for name in ["../app.wasm", "/a/../../app.wasm"] {
        let layer = archive(&[(name, EntryType::Regular, MODULE)]);
        let why = format!("media type: `{name}` in layer 1 leads out of the archive");
        assert_eq!(pulled(gzip(&layer)).await, why);
    }
}

#[tokio::test]
async fn a_link_is_no_module() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let layer = archive(&[
            ("real.bin", EntryType::Regular, MODULE),
            ("app.wasm", kind, b""),
        ]);
        assert_eq!(
            pulled(gzip(&layer)).await,
            "media type: `app.wasm` in layer 1 is a link, not a file: put the module itself there"
        );
    }
}

#[tokio::test]
async fn a_module_that_is_there_twice_is_refused() {
    let other = [MODULE, b"\0\x02\x01x"].concat();
    let layer = archive(&[
        ("app.wasm", EntryType::Regular, MODULE),
        ("./app.wasm", EntryType::Regular, &other),
    ]);
    assert_eq!(
        pulled(gzip(&layer)).await,
        "media type: `app.wasm` in layer 1 is there twice, so that nobody can say which one is meant"
    );
}
