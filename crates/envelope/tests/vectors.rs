//! Every vector in `testdata/vectors/envelope` opens, or fails in the way it says.
#![cfg(test)]

use std::fs;
use std::path::PathBuf;

use propeller_envelope::{Context, Keyring, OpenError, WorkloadKey, open};
use serde_json::Value;

struct Vector {
    expect: String,
    keys: Vec<WorkloadKey>,
    context: Value,
    plain_len: Option<usize>,
    plain_sha256: Option<String>,
    body: Vec<u8>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/envelope")
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn read(text: &str) -> Vector {
    let (head, body) = text.split_once("\n\n").unwrap();
    let field = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    let body: String = body
        .strip_prefix("body: ")
        .unwrap()
        .split_whitespace()
        .collect();
    Vector {
        expect: field("expect")[0].clone(),
        keys: field("key")
            .iter()
            .map(|key| WorkloadKey::from_bytes(hex(key).try_into().unwrap()))
            .collect(),
        context: serde_json::from_str(&field("context")[0]).unwrap(),
        plain_len: field("plain-len").first().map(|n| n.parse().unwrap()),
        plain_sha256: field("plain-sha256").first().cloned(),
        body: hex(&body),
    }
}

fn context(value: &Value) -> Context<'_> {
    let text = |name: &str| value[name].as_str().unwrap();
    let bytes = |name: &str| hex(text(name));
    match text("kind") {
        "module" => Context::Module {
            tenant: text("tenant"),
            digest: bytes("digest").try_into().unwrap(),
        },
        "input" => Context::Input {
            tenant: text("tenant"),
            task: bytes("task").try_into().unwrap(),
        },
        "result" => Context::Result {
            tenant: text("tenant"),
            task: bytes("task").try_into().unwrap(),
            attempt: u32::try_from(value["attempt"].as_u64().unwrap()).unwrap(),
            proplet: text("proplet"),
        },
        "log" => Context::Log {
            tenant: text("tenant"),
            task: bytes("task").try_into().unwrap(),
            attempt: u32::try_from(value["attempt"].as_u64().unwrap()).unwrap(),
            proplet: text("proplet"),
            stream: u8::try_from(value["stream"].as_u64().unwrap()).unwrap(),
            offset: value["offset"].as_u64().unwrap(),
        },
        "record" => Context::Record {
            owner: text("owner"),
            name: text("name"),
        },
        other => panic!("no context {other}"),
    }
}

fn outcome(vector: &Vector) -> String {
    let mut keys = vector.keys.iter().cloned();
    let ring = Keyring::with_opening(keys.next().unwrap(), keys).unwrap();
    match open(&ring, &context(&vector.context), &vector.body) {
        Ok(plain) => {
            assert_eq!(Some(plain.len()), vector.plain_len);
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &plain);
            let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
            assert_eq!(Some(digest), vector.plain_sha256);
            "ok".to_owned()
        }
        Err(OpenError::Malformed(_)) => "malformed".to_owned(),
        Err(OpenError::Version(_)) => "version".to_owned(),
        Err(OpenError::NotOurs) => "not_ours".to_owned(),
        Err(OpenError::Payload) => "payload".to_owned(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_vector_opens_or_fails_as_it_says() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt") {
            let vector = read(&fs::read_to_string(&path).unwrap());
            assert_eq!(outcome(&vector), vector.expect, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 90, "only {seen} vectors found");
}
