//! The format against its vectors, and against a second implementation in Python.
#![cfg(test)]

#[path = "format/maker.rs"]
mod maker;
#[path = "format/python.rs"]
mod python;
#[path = "format/reader.rs"]
mod reader;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use propeller_ces::{Key, Label};
use serde_json::{Value, json};

/// Every way to be wrong that the format names. The vectors have each of them.
const CODES: [&str; 36] = [
    "ok",
    "missing",
    "magic",
    "cut-header",
    "version",
    "cipher",
    "check",
    "geometry",
    "index",
    "segment-size",
    "label-field",
    "foreign",
    "label",
    "key",
    "cut",
    "record-mac",
    "record-flags",
    "record-sealed-length",
    "record-plain-length",
    "record-nonce",
    "piece",
    "index-check",
    "index-sealed-length",
    "index-place",
    "end",
    "trailer-length",
    "trailer-check",
    "trailer-offset",
    "trailer-plain-length",
    "footer-mac",
    "root",
    "sealed",
    "padding",
    "compressed",
    "lost 0",
    "no-shard",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/ces")
}

fn vectors() -> Vec<Value> {
    let manifest = fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["vectors"].as_array().unwrap().clone()
}

fn shards(vector: &Value) -> Vec<Option<Vec<u8>>> {
    let names = vector["shards"].as_array().unwrap();
    let read = |name: &Value| Some(fs::read(folder().join(name.as_str()?)).unwrap());
    names.iter().map(read).collect()
}

/// What the manifest says of a vector, without what it is made of.
fn expected(vector: &Value) -> Value {
    let names = ["verdicts", "object", "plain", "digest"];
    let fields = names
        .iter()
        .filter_map(|name| Some((*name, vector.get(*name)?.clone())));
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn label(text: &Value) -> Option<Label> {
    text.as_str().map(|text| Label::new(text).unwrap())
}

#[test]
fn every_vector_is_read_as_the_manifest_says() {
    let vectors = vectors();
    for vector in &vectors {
        let key = Key::from_bytes(maker::hex(&vector["key"]));
        let found = reader::read(&shards(vector), &key, label(&vector["label"]));
        assert_eq!(found, expected(vector), "{}", vector["name"]);
    }
    assert!(vectors.len() >= 98, "only {} vectors", vectors.len());
}

#[test]
fn every_way_to_be_wrong_has_a_vector() {
    let vectors = vectors();
    let verdicts = vectors
        .iter()
        .flat_map(|vector| vector["verdicts"].as_array().unwrap());
    let objects = vectors.iter().map(|vector| &vector["object"]);
    let found = verdicts.chain(objects).map(|code| code.as_str().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), BTreeSet::from(CODES));
}

#[test]
fn every_whole_object_is_written_again_bit_for_bit() {
    let version = zstd::zstd_safe::version_string();
    let (mut again, mut without_compressed) = (0, 0);
    for vector in vectors()
        .iter()
        .filter(|vector| vector.get("made").is_some())
    {
        without_compressed += usize::from(vector.get("zstd").is_none());
        // Another version of zstd compresses differently, and either frame is right.
        if vector
            .get("zstd")
            .is_some_and(|made_with| made_with != version)
        {
            continue;
        }
        let written = maker::write(&vector["made"]);
        let shards: Vec<_> = shards(vector).into_iter().map(Option::unwrap).collect();
        assert!(written == shards, "{}", vector["name"]);
        again += 1;
    }
    assert!(
        without_compressed >= 10 && again >= without_compressed,
        "{again}"
    );
}

#[test]
fn python_reads_every_vector_and_writes_every_whole_object_again() {
    let folder = folder();
    let Some(mut script) = python::script(&["check", folder.to_str().unwrap()]) else {
        return;
    };
    let output = script.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Cipher, `k`, `m`, segment size, level of compression, and length.
type Kind = (u8, u8, u8, u32, Option<i32>, usize);

/// Objects of every kind, too large to keep.
fn fresh() -> Vec<Value> {
    let kinds: [Kind; 10] = [
        (1, 1, 0, 65_536, None, 0),
        (2, 1, 3, 65_536, Some(3), 1),
        (1, 8, 4, 1 << 20, Some(3), 3_000_000),
        (2, 8, 4, 1 << 20, None, 1 << 20),
        (1, 3, 2, 65_536, Some(1), 200_001),
        (2, 5, 7, 131_072, Some(19), 262_144),
        (1, 128, 128, 65_536, None, 65_537),
        (2, 17, 1, 8_388_608, None, 8_388_609),
        // Two index blocks, of which the second is short; and one that ends with its block.
        (2, 1, 1, 65_536, Some(1), 1024 * 65_536 + 1),
        (1, 1, 0, 65_536, Some(1), 1024 * 65_536),
    ];
    let make = |(index, kind): (usize, Kind)| {
        let (cipher, k, m, segment_size, level, len) = kind;
        let random = |what: &str| blake3::hash(format!("{what} {index}").as_bytes());
        let kind = if level.is_some() { "text" } else { "noise" };
        json!({
            "op": "write", "cipher": cipher, "k": k, "m": m, "segment_size": segment_size,
            "level": level, "label": if index % 2 == 0 { "test" } else { "" },
            "key": random("key").to_hex().as_str(),
            "data_key": random("data key").to_hex().as_str(),
            "id": &random("id").to_hex()[..32], "nonces": format!("nonces {index}"),
            "plain": {
                "kind": kind, "name": "fresh", "text": "any eight of twelve shards ",
                "len": len, "prefix": "",
            },
        })
    };
    kinds.into_iter().enumerate().map(make).collect()
}

fn to_hex(shards: &[Vec<u8>]) -> Vec<String> {
    let encode = |shard: &Vec<u8>| data_encoding::HEXLOWER.encode(shard);
    shards.iter().map(encode).collect()
}

#[test]
fn what_we_write_python_reads_also_with_the_first_shards_missing() {
    let mut requests = Vec::new();
    let mut plains = Vec::new();
    for made in fresh() {
        let mut shards: Vec<_> = to_hex(&maker::write(&made)).into_iter().map(Some).collect();
        let lost = usize::try_from(made["m"].as_u64().unwrap()).unwrap();
        // A few, because rebuilding is slow in Python.
        shards
            .iter_mut()
            .take(lost.min(3))
            .for_each(|shard| *shard = None);
        requests.push(json!({
            "op": "read", "shards": shards, "key": made["key"], "label": made["label"],
        }));
        plains.push(maker::plain(&made["plain"]));
    }
    let Some(answers) = python::answers(&requests) else {
        return;
    };
    for ((request, plain), answer) in requests.iter().zip(plains).zip(&answers) {
        let hash = blake3::hash(&plain).to_hex();
        let expected = json!({"len": plain.len(), "blake3": hash.as_str()});
        assert_eq!(answer["plain"], expected, "{}", answer["object"]);
        let verdict = |shard: &Value| if shard.is_null() { "missing" } else { "ok" };
        let shards = request["shards"].as_array().unwrap();
        let verdicts: Vec<_> = shards.iter().map(verdict).collect();
        assert_eq!(answer["verdicts"], json!(verdicts));
    }
}

#[test]
fn what_python_writes_we_read_and_write_alike() {
    let made = fresh();
    let Some(answers) = python::answers(&made) else {
        return;
    };
    for (made, answer) in made.iter().zip(&answers) {
        let decode = |shard: &Value| {
            let digits = shard.as_str().unwrap().as_bytes();
            data_encoding::HEXLOWER.decode(digits).unwrap()
        };
        let shards: Vec<_> = answer["shards"]
            .as_array()
            .unwrap()
            .iter()
            .map(decode)
            .collect();
        if made["level"].is_null() {
            assert!(maker::write(made) == shards, "{made}");
        }
        let shards: Vec<_> = shards.into_iter().map(Some).collect();
        let key = Key::from_bytes(maker::hex(&made["key"]));
        let found = reader::read(&shards, &key, label(&made["label"]));
        let plain = maker::plain(&made["plain"]);
        assert_eq!(
            found["plain"]["blake3"],
            blake3::hash(&plain).to_hex().as_str()
        );
        let verdicts = found["verdicts"].as_array().unwrap();
        assert!(verdicts.iter().all(|verdict| verdict == "ok"), "{found}");
    }
}
