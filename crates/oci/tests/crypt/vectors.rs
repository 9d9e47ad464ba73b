//! Every vector in `testdata/vectors/ocicrypt` opens, or fails in the way it says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use aws_lc_rs::digest::{SHA256, digest};
use propeller_oci::crypt::{DecryptError, Opened, decrypt, recipients};

use crate::key_files::{folder, private};

struct Vector {
    head: Vec<(String, String)>,
    layer: Vec<u8>,
}

impl Vector {
    fn read(text: &str) -> Self {
        let (head, layer) = text.split_once("\n\n").unwrap();
        let head = head.lines().map(|line| line.split_once(": ").unwrap());
        let layer = layer.strip_prefix("layer: ").unwrap().trim_end();
        Self {
            head: head.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            layer: data_encoding::BASE64.decode(layer.as_bytes()).unwrap(),
        }
    }

    fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        self.fields("annotation")
            .map(|field| field.split_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn outcome(&self) -> Result<Opened, DecryptError> {
        let keys: Vec<_> = self.fields("key").map(private).collect();
        decrypt(self.layer.clone(), &self.annotations(), &keys)
    }

    fn field(&self, name: &str) -> &str {
        self.fields(name).next().unwrap()
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    format!("sha256:{}", data_encoding::HEXLOWER.encode(hash.as_ref()))
}

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match bytes {
        [0x1f, 0x8b, ..] => {
            let mut reader = flate2::read::GzDecoder::new(bytes);
            reader.read_to_end(&mut plain).unwrap();
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => plain = zstd::decode_all(bytes).unwrap(),
        _ => plain.extend_from_slice(bytes),
    }
    plain
}

fn name_of(error: &DecryptError) -> &'static str {
    match error {
        DecryptError::NotEncrypted => "not-encrypted",
        DecryptError::TooMuch { .. } => "too-much",
        DecryptError::PublicOptions(_) => "public-options",
        DecryptError::Cipher(_) => "cipher",
        DecryptError::Scheme(_) => "scheme",
        DecryptError::NoKey(_) => "no-key",
        DecryptError::KeyOptions(_) => "key-options",
        DecryptError::Mac => "mac",
        _ => "other",
    }
}

fn check_opened(name: &str, vector: &Vector, opened: &Opened) {
    let layer = Vec::from((*opened.bytes).clone());
    let plain = decompressed(&layer);
    assert_eq!(sha256(&plain), vector.field("uncompressed"), "{name}");
    assert!(opened.is_intact(&plain), "{name}");
    let expected = match vector.field("digest") {
        "layer" => Some(sha256(&layer)),
        "uncompressed" => Some(sha256(&plain)),
        _ => None,
    };
    assert_eq!(opened.digest.map(|d| d.to_string()), expected, "{name}");
}

fn check(name: &str, vector: &Vector) {
    let expect = vector.field("expect");
    assert!(name.starts_with(expect), "{name}");
    match (expect, vector.outcome()) {
        ("ok", Ok(opened)) => check_opened(name, vector, &opened),
        ("other-digest", Ok(opened)) => assert!(!opened.is_intact(&[]), "{name}"),
        (_, Ok(_)) => panic!("{name} opens"),
        (_, Err(error)) => {
            assert_eq!(name_of(&error), expect, "{name}: {error}");
            let shown = error.to_string();
            assert!(!shown.contains('\u{1b}') && shown.len() < 400, "{name}");
        }
    }
}

fn each(mut check: impl FnMut(&str, &Vector)) -> usize {
    let files = fs::read_dir(folder()).unwrap().map(|f| f.unwrap().path());
    let vectors = files.filter(|path| path.extension().is_some_and(|e| e == "txt"));
    vectors
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            check(name, &Vector::read(&fs::read_to_string(&path).unwrap()));
        })
        .count()
}

#[test]
fn every_vector_opens_or_fails_as_it_says() {
    assert!(each(check) > 80);
}

#[test]
fn the_recipients_of_every_vector_are_shown_in_bounded_printable_lines() {
    each(|name, vector| {
        let lines = recipients(&vector.annotations());
        let fine = |line: &String| line.len() < 300 && !line.contains(char::is_control);
        assert!(lines.iter().all(fine) && lines.len() <= 64, "{name}");
    });
}

#[test]
fn a_cut_or_flipped_annotation_never_opens_and_never_panics() {
    let text = fs::read_to_string(folder().join("ok-skopeo-tar-gzip-p256.txt")).unwrap();
    let vector = Vector::read(&text);
    let keys = [private("p256")];
    let plain = Vec::from((*vector.outcome().unwrap().bytes).clone());
    for (name, value) in vector.annotations() {
        let json = data_encoding::BASE64.decode(value.as_bytes()).unwrap();
        for at in 0..json.len() {
            let mut flipped = json.clone();
            flipped[at] ^= 1;
            for changed in [&flipped[..], &json[..at]] {
                let mut annotations = vector.annotations();
                let changed = data_encoding::BASE64.encode(changed);
                annotations.insert(name.clone(), changed);
                let outcome = decrypt(vector.layer.clone(), &annotations, &keys);
                // A flip in the name of an optional member changes nothing that matters.
                assert!(outcome.is_err() || *outcome.unwrap().bytes == plain);
            }
        }
    }
}
