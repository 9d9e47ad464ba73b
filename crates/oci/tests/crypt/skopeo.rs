//! The real skopeo decrypts what we encrypt, for every recipient.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use propeller_oci::crypt::{decrypt, encrypt};
use propeller_oci::media;
use serde_json::{Value, json};

use crate::key_files::{PAIRS, path, private, public, skipped};

fn sha256(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    format!("sha256:{}", data_encoding::HEXLOWER.encode(hash.as_ref()))
}

fn has_skopeo() -> bool {
    let found = Command::new("skopeo").arg("--version").output().is_ok();
    if !found {
        skipped("no `skopeo` in PATH: install it, for example with `apt-get install skopeo`");
    }
    found
}

fn skopeo_copies(folder: &Path, flags: &[String], from: &str, to: &str) -> bool {
    let location = |name: &str| format!("oci:{}:v", folder.join(name).display());
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "-q"])
        .args(flags)
        .args([location(from), location(to)])
        .output()
        .unwrap();
    output.status.success()
}

fn tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(8);
    header.set_mode(0o644);
    header.set_cksum();
    archive
        .append_data(&mut header, "module.wasm", &b"\0asm\x01\0\0\0"[..])
        .unwrap();
    archive.into_inner().unwrap()
}

/// An OCI layout with an image of one layer, whose tar hashes to `diff_id`.
fn write_layout(folder: &Path, layer: &[u8], media_type: &str, diff_id: &str, notes: Value) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |media_type: &str, bytes: &[u8], notes: &Value| {
        let digest = sha256(bytes);
        fs::write(blobs.join(digest.strip_prefix("sha256:").unwrap()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len(), "annotations": notes})
    };
    let none = json!({});
    let config = json!({
        "architecture": "wasm", "os": "wasip1", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": blob(media::OCI_CONFIG, config.to_string().as_bytes(), &none),
        "layers": [blob(media_type, layer, &notes)],
    });
    let tag = json!({"org.opencontainers.image.ref.name": "v"});
    let entry = blob(media::OCI_MANIFEST, manifest.to_string().as_bytes(), &tag);
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    let version = json!({"imageLayoutVersion": "1.0.0"});
    fs::write(folder.join("oci-layout"), version.to_string()).unwrap();
}

/// The only layer of the image: its bytes and its descriptor.
fn read_layout(folder: &Path) -> (Vec<u8>, Value) {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        fs::read(folder.join("blobs").join(digest.replace(':', "/"))).unwrap()
    };
    let index = fs::read(folder.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
    let layer = &manifest["layers"][0];
    (blob(layer), layer.clone())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// skopeo compresses what it encrypts, and leaves what it decrypts as it is.
fn uncompressed(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
    plain
}

fn check_that_skopeo_decrypts(layer: &[u8], media_type: &str, names: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let publics: Vec<_> = names.iter().map(|name| public(name)).collect();
    let encrypted = encrypt(layer.to_vec(), &publics).unwrap();
    let media_type = format!("{media_type}{}", media::ENCRYPTED);
    let source = folder.path().join("source");
    let notes = json!(encrypted.annotations);
    write_layout(
        &source,
        &encrypted.bytes,
        &media_type,
        &sha256(&tar()),
        notes,
    );
    for name in names {
        let key = path(&format!("{name}.pem")).display().to_string();
        let flags = ["--decryption-key".to_owned(), key];
        assert!(
            skopeo_copies(folder.path(), &flags, "source", name),
            "{name}"
        );
        let (bytes, _) = read_layout(&folder.path().join(name));
        assert_eq!(uncompressed(&bytes), tar(), "{name}");
    }
    let key = path("p256-other.pem").display().to_string();
    let flags = ["--decryption-key".to_owned(), key];
    assert!(!skopeo_copies(folder.path(), &flags, "source", "stranger"));
}

#[test]
fn skopeo_decrypts_what_we_encrypt_to_one() {
    if !has_skopeo() {
        return;
    }
    for pair in PAIRS {
        check_that_skopeo_decrypts(&tar(), media::TAR_LAYER, &[pair]);
        check_that_skopeo_decrypts(&gzip(&tar()), media::TAR_GZIP_LAYER, &[pair]);
    }
}

#[test]
fn skopeo_decrypts_what_we_encrypt_to_several_for_each_of_them() {
    if !has_skopeo() {
        return;
    }
    check_that_skopeo_decrypts(&tar(), media::TAR_LAYER, &PAIRS);
    check_that_skopeo_decrypts(&gzip(&tar()), media::TAR_GZIP_LAYER, &["p521", "rsa2048"]);
}

#[test]
fn we_decrypt_what_skopeo_encrypts_for_each_of_its_recipients() {
    if !has_skopeo() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    write_layout(
        &source,
        &tar(),
        media::TAR_LAYER,
        &sha256(&tar()),
        json!({}),
    );
    let flags: Vec<String> = PAIRS
        .iter()
        .map(|pair| path(&format!("{pair}.pub.pem")).display().to_string())
        .flat_map(|key| ["--encryption-key".to_owned(), format!("jwe:{key}")])
        .collect();
    assert!(skopeo_copies(folder.path(), &flags, "source", "encrypted"));
    let (bytes, layer) = read_layout(&folder.path().join("encrypted"));
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(layer["annotations"].clone()).unwrap();
    for pair in PAIRS {
        let opened = decrypt(bytes.clone(), &annotations, &[private(pair)]).unwrap();
        assert_eq!(
            uncompressed(&Vec::from((*opened.bytes).clone())),
            tar(),
            "{pair}"
        );
        // The digest is the one of the tar, not of what was encrypted.
        assert!(opened.is_intact(&tar()) && !opened.is_intact(&[]), "{pair}");
    }
}
