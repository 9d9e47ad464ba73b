//! Objects that are encrypted anew.

use std::fs;
use std::path::PathBuf;

use crate::support::{Desk, random};

#[test]
fn an_object_is_encrypted_anew_verified_and_only_then_removed() {
    let desk = Desk::new();
    let bytes = random(3_000_000, 1);
    desk.write("in", &bytes);
    fs::create_dir(desk.path("d")).unwrap();
    desk.does("put %/in --shards ABC --label test --key-file %/key");
    let migrate = "migrate in --shards ABC --to %/d --key-file %/key --new-key-file %/other";
    insta::assert_snapshot!(desk.run(migrate).transcript());
    assert_eq!(desk.shards().len(), 12);
    assert!(
        desk.does("get in --shards %/d -o - --label test --key-file %/other")
            .out
            == bytes
    );
    // The same place and name are taken.
    let again = desk.run(&format!("{migrate} --geometry 1+0"));
    assert!(
        again.err.contains("something of that name already"),
        "{}",
        again.err
    );
    let last = desk.does(&format!(
        "{migrate} --new-name y --geometry 1+0 --remove-old"
    ));
    assert!(last.text().contains("12 shards removed"), "{}", last.text());
    assert!(desk.shards().is_empty());
    assert!(desk.does("get y --shards %/d -o - --key-file %/other").out == bytes);
}

#[test]
fn an_object_that_cannot_be_read_to_its_end_stays_and_nothing_is_left_of_a_new_one() {
    let desk = Desk::new();
    desk.write("in", &random(1_000_000, 2));
    fs::create_dir(desk.path("d")).unwrap();
    desk.does("put %/in --shards ABC --geometry 2+1 --segment-size 64KiB --key-file %/key");
    let before = desk.shards();
    let (a, b) = ("a/in.ces-000-of-003", "b/in.ces-001-of-003");
    let middle = desk.read(a).len() / 2;
    desk.flip(a, middle);
    desk.flip(b, middle);
    let migrate = "migrate in --shards ABC --to %/d --remove-old --key-file %/key";
    let failed = desk.run(&format!("{migrate} --new-key-file %/other"));
    assert_eq!(failed.code, Some(1));
    let named = "shard 0 in %/a/in.ces-000-of-003: piece 0 of segment 7 is damaged";
    assert!(failed.err.contains(named), "{}", failed.err);
    assert!(desk.files("d").is_empty());
    assert_eq!(desk.shards().len(), before.len());
    let wrong = "migrate in --shards ABC --to %/d --key-file %/other --new-key-file %/key";
    assert_eq!(desk.run(wrong).code, Some(1));
    assert!(desk.files("d").is_empty());
}

#[test]
fn shards_of_the_older_implementation_are_read() {
    let vector = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let vector = vector.join("../../testdata/vectors/ces-v0/ok-four-lost.txt");
    let vector = fs::read_to_string(vector).unwrap();
    let (head, shards) = vector.split_once("\n\n").unwrap();
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .unwrap()
            .1
            .to_owned()
    };
    let desk = Desk::new();
    desk.secret("old", &value("key"));
    let mut index = String::new();
    for line in shards.lines() {
        match line.strip_prefix("shard ") {
            Some(name) => index = name.trim_end_matches(':').to_owned(),
            None => {
                let bytes = data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap();
                desk.write(&format!("a/x.shard-{index}.bin"), &bytes);
            }
        }
    }
    let migrate = "migrate x --shards %/a --to %/b --from-v0 --data 8 --parity 4";
    let there = desk.files("a").len();
    let wrong = desk.run(&format!(
        "{migrate} --key-file %/key --new-key-file %/other"
    ));
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(desk.files("b").is_empty());
    let done = desk.does(&format!(
        "{migrate} --key-file %/old --new-key-file %/other"
    ));
    assert!(
        done.text().contains("read back completely"),
        "{}",
        done.text()
    );
    assert_eq!(desk.files("a").len(), there);
    let got = desk.does("get x --shards %/b -o - --key-file %/other").out;
    assert_eq!(got.len().to_string(), value("plain-len"));
    // A second file for the same shard: which one is meant, nobody can say.
    let one = desk.files("a").remove(0);
    fs::copy(
        desk.path(&format!("a/{one}")),
        desk.path(&format!("c/{one}")),
    )
    .unwrap();
    let twice = desk.run(
        "migrate x --shards %/a %/c --to %/b --new-name y --from-v0 --data 8 --parity 4 --key-file %/old \
         --new-key-file %/other",
    );
    assert!(twice.err.contains("are both shard"), "{}", twice.err);
}
