//! The test keys of `testdata/vectors/ocicrypt/keys`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use propeller_oci::crypt::{PrivateKey, PublicKey};

/// A pair of every kind.
pub(crate) const PAIRS: [&str; 4] = ["rsa2048", "p256", "p384", "p521"];

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/ocicrypt")
}

pub(crate) fn path(file: &str) -> PathBuf {
    folder().join("keys").join(file)
}

pub(crate) fn file(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

pub(crate) fn public(name: &str) -> PublicKey {
    PublicKey::from_bytes(&file(&format!("{name}.pub.pem"))).unwrap()
}

pub(crate) fn private(name: &str) -> PrivateKey {
    PrivateKey::from_bytes(&file(&format!("{name}.pem"))).unwrap()
}

/// Says that this test could not run, and why.
pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}
