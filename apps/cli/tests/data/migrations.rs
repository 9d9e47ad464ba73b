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

#[test]
fn only_shards_of_the_old_object_are_removed() {
    let desk = Desk::new();
    let bytes = random(10_000, 3);
    desk.write("in", &bytes);
    desk.write("in2", &random(10_000, 4));
    for place in ["d", "e"] {
        fs::create_dir(desk.path(place)).unwrap();
    }
    let put = desk.does("put %/in --name x --shards ABC --key-file %/key --json");
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    // Another object's shard and a text, both under names of shards.
    desk.does("put %/in2 --name x --shards %/d --geometry 1+0 --key-file %/key");
    let other = desk.read("d/x.ces-000-of-001");
    desk.write("a/x.ces-000-of-001", &other);
    desk.write("b/x.ces-004-of-009", b"my diary");
    fs::remove_file(desk.path("d/x.ces-000-of-001")).unwrap();
    fs::remove_file(desk.path("c/x.ces-011-of-012")).unwrap();
    let migrate = "migrate x --shards ABC --to %/e --geometry 1+0 --remove-old --key-file %/key \
        --new-key-file %/other";
    // Each of the two objects is there, and under the key.
    let refused = desk.run(migrate);
    assert!(refused.err.contains("with --digest"), "{}", refused.err);
    let done = desk.run(&format!("{migrate} --digest {digest} --json"));
    // One shard was nowhere, and may be somewhere.
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("1 old shard was nowhere"), "{}", done.err);
    let json = done.json();
    assert_eq!(json["old_removed"], 11);
    assert_eq!(json["old_left_alone"].as_array().unwrap().len(), 2);
    assert!(json["new"]["digest"].is_string());
    assert_eq!(desk.files("a"), ["x.ces-000-of-001"]);
    assert_eq!(desk.files("b"), ["x.ces-004-of-009"]);
    assert!(desk.files("c").is_empty());
    assert!(desk.does("get x --shards %/e -o - --key-file %/other").out == bytes);
}

#[test]
fn shards_that_say_nothing_of_themselves_are_never_removed() {
    let desk = Desk::new();
    desk.write("a/other-report-3.pdf", b"a report");
    let refused = desk.run(
        "migrate other --shards %/a --to %/b --from-v0 --data 8 --parity 4 --remove-old \
         --key-file %/key --new-key-file %/other",
    );
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.err.contains("older implementation"),
        "{}",
        refused.err
    );
    assert_eq!(desk.files("a"), ["other-report-3.pdf"]);
}

#[test]
fn what_is_in_a_place_that_cannot_be_looked_into_is_not_removed_and_the_digest_is_told() {
    let desk = Desk::new();
    desk.write("in", &random(10_000, 5));
    fs::create_dir(desk.path("d")).unwrap();
    desk.does("put %/in --shards ABC --key-file %/key");
    fs::rename(desk.path("c"), desk.path("away")).unwrap();
    let migrate = "migrate in --shards ABC --to %/d --geometry 1+0 --remove-old --key-file %/key";
    let done = desk.run(&format!("{migrate} --new-key-file %/other"));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.text().contains("digest"), "{}", done.text());
    assert!(done.text().contains("8 shards removed"), "{}", done.text());
    assert!(
        done.err.contains("nothing is removed from %/c"),
        "{}",
        done.err
    );
}
