//! Every vector in `testdata/vectors/chunks` reads, or fails, in the way it says.
#![cfg(test)]

use std::path::Path;

use propeller_sandbox::chunks::{ListError, chunks};

/// A vector: what is expected, the chunks, the bytes.
fn read(path: &Path) -> (String, Vec<Vec<u8>>, Vec<u8>) {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut expect, mut chunks, mut body) = (None, Vec::new(), None);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim();
        match name {
            "expect" => expect = Some(value.to_owned()),
            "chunk" => chunks.push(unhex(value)),
            "body" => body = Some(unhex(value)),
            "comment" => {}
            other => panic!("{}: {other}", path.display()),
        }
    }
    (expect.unwrap(), chunks, body.unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap())
        .collect()
}

fn word(error: ListError) -> &'static str {
    match error {
        ListError::CutOff => "cut-off",
        ListError::TooMany(_) => "too-many",
        ListError::TooLong(_) => "too-long",
        ListError::Rest(_) => "rest",
        other => panic!("no vector has {other}"),
    }
}

#[test]
fn every_list_reads_or_fails_as_its_vector_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors/chunks");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        count += 1;
        let (expect, expected, body) = read(&path);
        match chunks(&body) {
            Ok(found) => {
                let found: Vec<_> = found.map(<[u8]>::to_vec).collect();
                assert_eq!(
                    (expect.as_str(), found),
                    ("ok", expected),
                    "{}",
                    path.display()
                );
            }
            Err(error) => assert_eq!(word(error), expect, "{}", path.display()),
        }
    }
    assert_eq!(count, 17);
}
