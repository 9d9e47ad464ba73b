//! Files that an object does not need: its shards are all there without them.

use std::fs;

use crate::support::{Desk, random};

const PUT: &str = "put %/in --name x --shards ABC --geometry 2+1 --key-file %/key";
const VERIFY: &str = "verify x --shards ABC";
const REPAIR: &str = "repair x --shards ABC";

fn desk_with(bytes: &[u8]) -> Desk {
    let desk = Desk::new();
    desk.write("in", bytes);
    desk.does(PUT);
    desk
}

/// A place is away, the object is repaired, and the place comes back.
fn desk_with_a_shard_twice() -> Desk {
    let desk = desk_with(&random(10_000, 1));
    fs::rename(desk.path("b"), desk.path("away")).unwrap();
    let repaired = desk.does(REPAIR);
    assert!(repaired.text().contains("Rebuilt shard 1 as %/a/"));
    // It has two of 2+1, and whoever loses it loses the object.
    let full = "warning: %/a holds 2 shards of 2+1: whoever loses it loses the object";
    assert!(repaired.err.contains(full), "{}", repaired.err);
    fs::rename(desk.path("away"), desk.path("b")).unwrap();
    desk
}

#[test]
fn a_place_that_comes_back_after_a_repair_leaves_the_object_whole() {
    let desk = desk_with_a_shard_twice();
    insta::assert_snapshot!(desk.transcript(&[VERIFY, REPAIR, VERIFY]));
    let report = desk.does(&format!("{VERIFY} --json")).json();
    assert_eq!(report["whole"], true);
    assert_eq!(report["bad"], serde_json::json!([]));
    assert_eq!(report["superfluous"].as_array().unwrap().len(), 1);
    let got = desk.does("get x --shards ABC -o - --key-file %/key");
    assert!(got.err.contains("superfluous"), "{}", got.err);
    assert!(!got.err.contains("data repair"), "{}", got.err);
    // As the hint says: the one in the place that holds more.
    fs::remove_file(desk.path("a/x.ces-001-of-003")).unwrap();
    let verified = desk.does(VERIFY);
    assert!(!verified.text().contains("superfluous"), "{verified:?}");
}

#[test]
fn of_two_of_which_one_is_damaged_the_damaged_one_is_rebuilt() {
    let desk = desk_with_a_shard_twice();
    let put = desk.does("info x --shards ABC --json").json();
    let digest = put["objects"][0]["digest"].as_str().unwrap();
    desk.flip("b/x.ces-001-of-003", 5_000);
    let line = |verb: &str| format!("{verb} x --shards ABC --digest {digest}");
    assert_eq!(desk.run(&line("verify")).code, Some(1));
    let repaired = desk.does(&line("repair"));
    let expected = "Rebuilt shard 1 as %/b/x.ces-001-of-003\n";
    assert_eq!(repaired.text(), expected);
    desk.does(&line("verify"));
}

#[test]
fn a_foreign_file_beside_a_whole_object_is_none_of_its_faults() {
    let desk = desk_with(&random(10_000, 2));
    desk.write("in", b"another");
    desk.does("put %/in --name y --shards ABC --geometry 2+1 --key-file %/key");
    let foreign = desk.read("a/y.ces-000-of-003");
    desk.write("b/x.ces-000-of-003", &foreign);
    desk.write("c/x.ces-003-of-009", b"my diary");
    insta::assert_snapshot!(desk.transcript(&[VERIFY, REPAIR]));
    // In the place of a shard, the object lacks one; under its name alone, it says so as well.
    desk.write("a/x.ces-000-of-003", &foreign);
    let verified = desk.run(VERIFY);
    assert_eq!(verified.code, Some(1));
    let text = verified.text();
    assert!(text.contains("  shard 0 is nowhere\n"), "{text}");
    assert!(text.contains("superfluous: %/a/x.ces-000-of-003"), "{text}");
}

#[test]
fn a_file_that_an_object_does_not_need_keeps_no_rotation_from_its_end() {
    let desk = desk_with(&random(10_000, 4));
    desk.write("a/x.ces-001-of-009", b"garbage");
    let rotate = "rotate x --shards ABC --key-file %/key --new-key-file %/other --json";
    let rotated = desk.does(rotate);
    let json = rotated.json();
    assert_eq!((&json["rotated"], &json["missing"]), (&3.into(), &0.into()));
    assert_eq!(json["kept"], serde_json::json!([]));
    assert_eq!(json["superfluous"].as_array().unwrap().len(), 1);
    assert!(rotated.err.contains("move away"), "{}", rotated.err);
    // Nor does it stand for one that is nowhere, and has the old key wherever it is.
    fs::remove_file(desk.path("b/x.ces-001-of-003")).unwrap();
    let rotated = desk.does(rotate);
    assert_eq!(rotated.json()["missing"], 1);
    let nowhere = "1 shard is nowhere to be found, and keeps its key";
    assert!(rotated.err.contains(nowhere), "{}", rotated.err);
    // One that is called like the missing shard does.
    desk.write("b/x.ces-001-of-003", b"garbage");
    let rotated = desk.run(rotate);
    assert_eq!(rotated.code, Some(1), "{rotated:?}");
    assert_eq!(rotated.json()["missing"], 0);
    let kept = "1 of 3 shards keeps its header";
    assert!(rotated.err.contains(kept), "{}", rotated.err);
}

#[test]
fn shards_that_contradict_each_other_are_named_by_where_they_are() {
    let desk = desk_with(&random(10_000, 3));
    fs::copy(
        desk.path("b/x.ces-001-of-003"),
        desk.path("a/x.ces-001-of-003"),
    )
    .unwrap();
    desk.does("rotate x --shards %/a --key-file %/key --new-key-file %/other --json");
    insta::assert_snapshot!(desk.transcript(&[VERIFY, REPAIR]));
}
