//! The vectors of the format, through the readers of whole objects.

use std::fs;
use std::path::PathBuf;

use propeller_ces::format::OpenError;
use propeller_ces::{
    Digest, GatherError, Key, KeyRing, Label, ObjectError, ReadError, Threads, Wanted, verify,
};
use serde_json::Value;

use crate::objects::{Failure, read_with};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/ces")
}

/// What came of it, as the manifest says it.
fn outcome(result: &Result<Vec<u8>, Failure>) -> String {
    let lost = |segment: &u32| format!("lost {segment}");
    let read = |error: &ReadError| match error {
        ReadError::Lost { segment, .. } | ReadError::LostRecord { segment, .. } => lost(segment),
        ReadError::Segment(OpenError::Padding { .. }) => "padding".to_owned(),
        ReadError::Segment(OpenError::Sealed { .. }) => "sealed".to_owned(),
        ReadError::Segment(OpenError::Compressed { .. }) => "compressed".to_owned(),
        other => other.to_string(),
    };
    match result {
        Ok(_) => "ok".to_owned(),
        Err(Failure::Read(error) | Failure::Open(ObjectError::Read(error))) => read(error),
        Err(Failure::Open(error)) => match error {
            ObjectError::Gather(GatherError::NoShard { .. }) => "no-shard".to_owned(),
            ObjectError::Gather(GatherError::Label { .. }) => "label".to_owned(),
            // There are not enough pieces of any segment.
            ObjectError::Gather(GatherError::TooFew { .. }) => lost(&0),
            ObjectError::Missing { .. } | ObjectError::Unwrap { .. } => "key".to_owned(),
            other => other.to_string(),
        },
    }
}

#[test]
fn every_vector_of_the_format_comes_out_as_the_manifest_says() {
    let manifest = fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let vectors = manifest["vectors"].as_array().unwrap();
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let key = Key::from_hex(vector["key"].as_str().unwrap()).unwrap();
        let label = vector["label"].as_str();
        let wanted = Wanted {
            label: label.map(|label| Label::new(label).unwrap()),
            ..Wanted::default()
        };
        let files = vector["shards"].as_array().unwrap().iter();
        let (places, shards): (Vec<usize>, Vec<Vec<u8>>) = files
            .enumerate()
            .filter_map(|(index, file)| Some((index, folder().join(file.as_str()?))))
            .map(|(index, file)| (index, fs::read(file).unwrap()))
            .unzip();
        for threads in [1, 2].map(Threads::new) {
            let keys = KeyRing::new(key.clone());
            let read = read_with(shards.clone(), &keys, wanted, threads);
            let read = read.map(|(plain, _)| plain);
            assert_eq!(outcome(&read), vector["object"].as_str().unwrap(), "{name}");
            if let Ok(plain) = read {
                assert_eq!(vector["plain"]["len"], plain.len(), "{name}");
                let hash = blake3::hash(&plain).to_hex();
                assert_eq!(vector["plain"]["blake3"], hash.as_str(), "{name}");
            }
        }
        if let Some(digest) = vector["digest"].as_str() {
            verified(vector, name, digest.parse().unwrap(), &places, shards);
        }
    }
    assert!(vectors.len() >= 98);
}

/// Whoever has the digest and no key finds the same shards wrong.
fn verified(vector: &Value, name: &str, digest: Digest, places: &[usize], shards: Vec<Vec<u8>>) {
    let wanted = Wanted {
        digest: Some(digest),
        ..Wanted::default()
    };
    let report = match verify(shards, wanted, &mut |_| ()) {
        Ok(report) => report,
        Err(error) => {
            assert_ne!(vector["object"], "ok", "{name}: {error}");
            return;
        }
    };
    for (input, place) in places.iter().enumerate() {
        let is_ok = vector["verdicts"][place] == "ok";
        let found = report.damage.of(input);
        assert_eq!(found.is_none(), is_ok, "{name}, shard {place}: {found:?}");
    }
}
