//! Vectors of the older implementation's shards.

use std::fs;

use crate::installed::workspace;

/// A vector that is read with the usual geometry.
pub(crate) struct Vector {
    pub(crate) key: Vec<u8>,
    pub(crate) shards: Vec<Option<Vec<u8>>>,
    pub(crate) plain_len: usize,
}

impl Vector {
    pub(crate) fn read(name: &str) -> Self {
        let path = workspace().join("testdata/vectors/ces-v0").join(name);
        let text = fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let mut fields = head.lines().map(|line| line.split_once(": ").unwrap());
            fields.find(|(field, _)| *field == name).unwrap().1
        };
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
            key: hex(field("key")),
            shards,
            plain_len: field("plain-len").parse().unwrap(),
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}
