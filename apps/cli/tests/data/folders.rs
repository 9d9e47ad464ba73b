//! Objects over folders.

use std::fs;

use crate::support::{Desk, mode, random};

/// So many, and so small segments, that there are several.
const PUT: &str = "put %/in --name x --shards ABC --segment-size 64KiB --key-file %/key";

fn desk_with(bytes: &[u8]) -> (Desk, String) {
    let desk = Desk::new();
    desk.write("in", bytes);
    let put = desk.does(&format!("{PUT} --json"));
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    (desk, digest)
}

#[test]
fn what_is_put_is_got_back() {
    for len in [0, 1, 65_536, 300_007] {
        let bytes = random(len, 1);
        let (desk, digest) = desk_with(&bytes);
        for place in ["a", "b", "c"] {
            assert_eq!(desk.files(place).len(), 4);
        }
        desk.does("get x --shards ABC -o %/out --key-file %/key");
        assert!(desk.read("out") == bytes, "{len}");
        assert_eq!(mode(&desk.path("out")), 0o600);
        let line = format!("get x --shards ABC -o - --digest {digest} --key-file %/key");
        assert!(desk.does(&line).out == bytes);
        assert_eq!(
            desk.files("."),
            ["a", "b", "c", "in", "key", "other", "out"]
        );
    }
}

#[test]
fn every_choice_is_in_the_object() {
    let desk = Desk::new();
    desk.write("in", &vec![b'x'; 200_000]);
    desk.does(
        "put %/in --shards %/a --geometry 1+0 --cipher aes-256-gcm --level off --segment-size 128KiB \
         --label staging --threads 3 --key-file %/key",
    );
    let info = desk.does("info in --shards %/a --json").json();
    let object = &info["objects"][0];
    assert_eq!(object["geometry"], "1+0");
    assert_eq!(object["cipher"], "AES-256-GCM");
    assert_eq!(object["segment_bytes"], 131_072);
    assert_eq!(object["label"], "staging");
    assert_eq!(object["plain_bytes"], 200_000);
    assert_eq!(object["segments"], 2);
    // Nothing was compressed.
    assert!(info["shards"][0]["bytes"].as_u64().unwrap() > 200_000);
}

#[test]
fn a_pipe_is_put_and_got() {
    let desk = Desk::new();
    let bytes = random(200_000, 2);
    let put = desk.pipe("put - --name x --shards ABC --key-file %/key", &bytes);
    assert_eq!(put.code, Some(0), "{put:?}");
    assert!(desk.does("get x --shards ABC -o - --key-file %/key").out == bytes);
}

#[test]
fn a_range_is_a_part_of_it() {
    let bytes = random(300_000, 3);
    let (desk, _) = desk_with(&bytes);
    for (offset, length) in [
        (0, 1),
        (65_535, 2),
        (70_000, 200_000),
        (299_999, 1),
        (300_000, 0),
    ] {
        let range = format!("range x --shards ABC --offset {offset} --length {length}");
        let got = desk.does(&format!("{range} --key-file %/key"));
        assert!(
            got.out == bytes[offset..offset + length],
            "{offset} {length}"
        );
    }
    desk.does("range x --shards ABC --offset 5 --length 10 -o %/out --key-file %/key");
    assert_eq!(desk.read("out"), bytes[5..15]);
    let far = desk.run("range x --shards ABC --offset 299999 --length 2 -o %/far --key-file %/key");
    assert_eq!(far.code, Some(1));
    assert!(far.err.contains("the object has 300000"), "{}", far.err);
    assert!(!desk.path("far").exists());
}

#[test]
fn a_lost_place_is_survived_and_rebuilt_bit_for_bit() {
    let bytes = random(300_000, 4);
    let (desk, digest) = desk_with(&bytes);
    let before = desk.shards();
    fs::remove_dir_all(desk.path("b")).unwrap();
    let got = desk.does("get x --shards ABC -o - --key-file %/key");
    assert!(got.out == bytes);
    assert!(got.err.contains("cannot look into %/b"), "{}", got.err);

    // A folder that is not there is not made: perhaps a disk is not mounted.
    fs::create_dir(desk.path("b")).unwrap();
    let repaired = desk.does(&format!("repair x --shards ABC --digest {digest}"));
    assert_eq!(repaired.text().lines().count(), 4);
    assert!(desk.shards() == before);
    desk.does(&format!("verify x --shards ABC --digest {digest}"));
}

#[test]
fn damaged_shards_are_found_named_and_rebuilt() {
    let bytes = random(300_000, 5);
    let (desk, digest) = desk_with(&bytes);
    let before = desk.shards();
    // A piece, a header, a trailer, and one that was cut to nothing.
    desk.flip("a/x.ces-000-of-012", 5_000);
    desk.flip("b/x.ces-001-of-012", 13);
    let len = desk.read("c/x.ces-002-of-012").len();
    desk.flip("c/x.ces-002-of-012", len - 50);
    desk.write("a/x.ces-003-of-012", b"");
    let verified = desk.run(&format!("verify x --shards ABC --digest {digest}"));
    assert_eq!(verified.code, Some(1));
    insta::assert_snapshot!(verified.transcript());
    let got = desk.does("get x --shards ABC -o %/out --key-file %/key");
    assert!(
        got.err
            .contains("%/b/x.ces-001-of-012: the header is damaged"),
        "{}",
        got.err
    );
    assert!(desk.read("out") == bytes);
    let repaired = desk.does(&format!("repair x --shards ABC --digest {digest}"));
    insta::assert_snapshot!(repaired.transcript());
    assert!(desk.shards() == before);
    let again = desk.does("repair x --shards ABC");
    assert!(again.text().contains("Nothing to rebuild"));
}

#[test]
fn one_shard_too_few_is_an_error_that_names_them() {
    let (desk, _) = desk_with(&random(100_000, 6));
    for index in 0..4 {
        let place = ["a", "b", "c"][index % 3];
        fs::remove_file(desk.path(&format!("{place}/x.ces-{index:03}-of-012"))).unwrap();
    }
    desk.flip("b/x.ces-004-of-012", 5_000);
    insta::assert_snapshot!(desk.transcript(&[
        "get x --shards ABC -o %/out --key-file %/key",
        "repair x --shards ABC",
        "get x --shards %/a %/b -o %/out --key-file %/key",
    ]));
    assert!(!desk.path("out").exists());
}

#[test]
fn a_shard_of_another_object_is_no_ruin() {
    let bytes = random(100_000, 7);
    let (desk, _) = desk_with(&bytes);
    desk.write("in", b"something else");
    desk.does("put %/in --name y --shards ABC --key-file %/key");
    let foreign = desk.read("a/y.ces-000-of-012");
    let own = desk.read("a/x.ces-000-of-012");
    desk.write("a/x.ces-000-of-012", &foreign);
    let repaired = desk.does("repair x --shards ABC");
    assert!(
        repaired.err.contains("a/x.ces-000-of-012 stays as it is"),
        "{repaired:?}"
    );
    assert!(desk.read("a/x.ces-000-of-012") == foreign);
    // Where its name is free.
    assert!(desk.read("b/x.ces-000-of-012") == own);
    // Shards that were renamed are still what they are.
    let (one, other) = (
        desk.path("b/x.ces-001-of-012"),
        desk.path("b/x.ces-004-of-012"),
    );
    let keep = desk.path("keep");
    for (from, to) in [(&one, &keep), (&other, &one), (&keep, &other)] {
        fs::rename(from, to).unwrap();
    }
    assert!(desk.does("get x --shards ABC -o - --key-file %/key").out == bytes);
}

#[test]
fn rotation_changes_64_bytes_and_may_be_interrupted() {
    let bytes = random(100_000, 8);
    let (desk, digest) = desk_with(&bytes);
    let before = desk.shards();
    let rotate = "rotate x --shards ABC --key-file %/key --new-key-file %/other";
    // An interrupted one: the rest is in another place.
    desk.does("rotate x --shards ABC --key-file %/key --new-key-file %/other");
    let rotated = desk.shards();
    for ((name, old), (_, new)) in before.iter().zip(&rotated) {
        assert!(
            old[..56] == new[..56] && old[56..120] != new[56..120],
            "{name}"
        );
        assert!(old[120..] == new[120..], "{name}");
    }
    for (name, old) in before.iter().take(5) {
        desk.write(name, old);
    }
    let both = desk.does("info x --shards ABC --json").json();
    assert_eq!(both["objects"][0]["keys"].as_array().unwrap().len(), 2);
    let verified = desk.does(&format!("verify x --shards ABC --digest {digest}"));
    assert!(verified.err.contains("rotate again"), "{}", verified.err);
    let again = desk.does(rotate);
    assert!(
        again.text().starts_with("5 shards of x have key"),
        "{}",
        again.text()
    );
    assert!(
        again.text().ends_with("and 7 had it already\n"),
        "{}",
        again.text()
    );
    assert!(desk.does("get x --shards ABC -o - --key-file %/other").out == bytes);
    let old = desk.run("get x --shards ABC -o %/out --key-file %/key");
    assert_eq!(old.code, Some(1));
    // Nothing is touched with a key that does not open the object.
    let wrong = desk.run("rotate x --shards ABC --key-command cat<%/key --new-key-fd 0");
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
}

#[test]
fn a_shard_that_cannot_be_rotated_is_named_and_the_others_are() {
    let bytes = random(100_000, 9);
    let (desk, _) = desk_with(&bytes);
    desk.flip("a/x.ces-003-of-012", 20);
    let rotated = desk.run("rotate x --shards ABC --key-file %/key --new-key-file %/other");
    assert_eq!(rotated.code, Some(1));
    insta::assert_snapshot!(rotated.transcript());
    desk.does("repair x --shards ABC");
    desk.does("rotate x --shards ABC --key-file %/key --new-key-file %/other");
    assert!(desk.does("get x --shards ABC -o - --key-file %/other").out == bytes);
}

#[test]
fn what_is_said_about_an_object() {
    let desk = Desk::new();
    desk.write("in", "all is well\n".repeat(100_000).as_bytes());
    insta::assert_snapshot!(desk.transcript(&[
        "put %/in --shards ABC --label production --key-file %/key",
        "put %/in --name whole --shards %/a --geometry 1+0 --key-file %/key",
        "put %/in --name few --shards %/a %/b --geometry 2+1 --key-file %/key",
        "info in --shards ABC",
        "verify in --shards ABC",
        "get in --shards ABC -o %/out --key-file %/key --label production",
        "rotate in --shards ABC --key-file %/key --new-key-file %/other",
    ]));
}
