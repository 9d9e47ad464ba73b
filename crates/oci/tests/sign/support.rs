//! What these tests share: where files are, and how a test says that it was skipped.

use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

pub(crate) fn vectors_folder() -> PathBuf {
    tests_folder().join("vectors/sign")
}

pub(crate) fn key_file(name: &str) -> Vec<u8> {
    let path = vectors_folder().join("keys").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}
