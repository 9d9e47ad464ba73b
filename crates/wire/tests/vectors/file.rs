//! Reads vector files: header lines, then bodies in hex.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct File {
    /// The file's name without its extension.
    pub(crate) name: String,
    fields: Vec<(String, String)>,
    pub(crate) bodies: Vec<Vec<u8>>,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/wire")
}

pub(crate) fn all() -> Vec<File> {
    let mut files: Vec<File> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| read(&path))
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap();
    let mut parts = text.trim_end_matches('\n').split("\n\n");
    let head = parts.next().unwrap();
    let fields = head.lines().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    });
    let bodies = parts.map(|body| {
        let digits = body.strip_prefix("body:").unwrap();
        hex(&digits.split_whitespace().collect::<String>())
    });
    File {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        fields: fields.collect(),
        bodies: bodies.collect(),
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

impl File {
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let fields = self.fields(name);
        assert_eq!(fields.len(), 1, "{}: {name}", self.name);
        fields[0]
    }
}
