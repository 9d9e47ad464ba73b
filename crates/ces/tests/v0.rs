//! Every vector in `testdata/vectors/ces-v0` is read, or refused in the way it says.
#![cfg(test)]

use std::fs;
use std::path::PathBuf;

use propeller_ces::v0::{Reader, ReconstructError};
use propeller_ces::{Audit, Geometry, Key};

struct Vector {
    fields: Vec<(String, String)>,
    shards: Vec<Option<Vec<u8>>>,
}

impl Vector {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap();
        let fields = head.lines().map(|line| line.split_once(": ").unwrap());
        let mut shards: Vec<Option<Vec<u8>>> = Vec::new();
        for line in body.lines() {
            match line.strip_prefix("shard ") {
                Some(rest) if rest.ends_with(": missing") => shards.push(None),
                Some(_) => shards.push(Some(Vec::new())),
                None => shards
                    .last_mut()
                    .unwrap()
                    .as_mut()
                    .unwrap()
                    .extend(hex(line)),
            }
        }
        Self {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            shards,
        }
    }

    fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| field == name);
        &field.unwrap().1
    }

    fn outcome(&self) -> &'static str {
        let number = |name| self.field(name).parse().unwrap();
        let reader = Reader {
            geometry: Geometry::new(number("data"), number("parity")).unwrap(),
            plain_len_max: self.field("limit").parse().unwrap(),
            audit: Audit::none(),
        };
        let key = Key::from_bytes(hex(self.field("key")).try_into().unwrap());
        let shards: Vec<Option<&[u8]>> = self.shards.iter().map(Option::as_deref).collect();
        match reader.reconstruct(&shards, &key) {
            Ok(plain) => {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &plain);
                assert_eq!(plain.len().to_string(), self.field("plain-len"));
                assert_eq!(digest.as_ref(), hex(self.field("plain-sha256")));
                "ok"
            }
            Err(ReconstructError::TooMany { .. }) => "too-many",
            Err(ReconstructError::NotEnough { .. }) => "not-enough",
            Err(ReconstructError::Lengths { .. }) => "lengths",
            Err(ReconstructError::LengthField) => "length-field",
            Err(ReconstructError::NotOurs { .. }) => "not-ours",
            Err(ReconstructError::TooLong { .. }) => "too-long",
            Err(other) => panic!("{other}"),
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

#[test]
fn every_vector_is_read_or_refused_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/ces-v0");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let vector = Vector::read(&fs::read_to_string(&path).unwrap());
            assert_eq!(
                vector.outcome(),
                vector.field("expect"),
                "{}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen >= 34, "only {seen} vectors found");
}
