//! Places that somebody else may write to, or that are not there.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Desk, fifo, random};

const PUT: &str = "put %/in --name x --shards ABC --key-file %/key";
const GET: &str = "get x --shards ABC -o - --key-file %/key";
const ROTATE: &str = "rotate x --shards ABC --key-file %/key --new-key-file %/other";

fn desk_with(bytes: &[u8]) -> Desk {
    let desk = Desk::new();
    desk.write("in", bytes);
    desk.does(PUT);
    desk
}

#[test]
fn a_pipe_under_the_name_of_a_shard_is_waited_for_by_nobody() {
    let bytes = random(10_000, 1);
    let desk = desk_with(&bytes);
    let shard = desk.path("a/x.ces-000-of-012");
    fs::remove_file(&shard).unwrap();
    fifo(&shard);
    let got = desk.does(GET);
    assert!(got.out == bytes);
    assert!(got.err.contains("no regular file"), "{}", got.err);
    assert_eq!(desk.run("info x --shards ABC").code, Some(0));
    assert_eq!(desk.run("verify x --shards ABC").code, Some(1));
    let rotated = desk.run(ROTATE);
    assert_eq!(rotated.code, Some(1));
    assert!(rotated.err.contains("1 of 12 shards"), "{}", rotated.err);
    // It is no ruin: what cannot be read now can perhaps be read later.
    let repaired = desk.does("repair x --shards ABC");
    assert!(
        repaired.err.contains("a/x.ces-000-of-012 stays as it is"),
        "{}",
        repaired.err
    );
    assert!(desk.path("b/x.ces-000-of-012").exists());
    // Nor is one waited for where a part would be.
    fifo(&desk.path("a/.y.ces-000-of-012.part"));
    let put = desk.run("put %/in --name y --shards ABC --key-file %/key");
    assert_eq!(put.code, Some(1));
    assert!(put.err.contains("no regular file"), "{}", put.err);
}

#[test]
fn a_ruin_has_the_name_of_the_shard_that_takes_its_place() {
    let desk = desk_with(&random(10_000, 2));
    let before = desk.shards();
    fs::remove_file(desk.path("a/x.ces-003-of-012")).unwrap();
    // Of another geometry by its name, and of nobody's by what is in it.
    desk.write("b/x.ces-003-of-009", b"my diary");
    desk.write("c/x.ces-003-of-012", b"cut");
    let repaired = desk.does("repair x --shards ABC");
    let expected = "Rebuilt shard 3 as %/c/x.ces-003-of-012\n";
    assert_eq!(repaired.text(), expected);
    assert_eq!(desk.read("b/x.ces-003-of-009"), b"my diary");
    let (_, shard) = &before[1];
    assert!(desk.read("c/x.ces-003-of-012") == *shard);
    let again = desk.does("repair x --shards ABC");
    assert!(again.text().starts_with("Nothing to rebuild"), "{again:?}");
    assert!(again.err.contains("009 stays as it is"), "{}", again.err);
}

#[test]
fn a_shard_of_a_later_version_is_no_ruin() {
    let desk = desk_with(&random(10_000, 3));
    // Bytes 7 and 8 are the version and the cipher.
    for (file, at) in [("a/x.ces-000-of-012", 7), ("b/x.ces-001-of-012", 8)] {
        let mut shard = desk.read(file);
        shard[at] = 77;
        desk.write(file, &shard);
        let repaired = desk.does("repair x --shards ABC");
        assert!(repaired.err.contains("77"), "{}", repaired.err);
        assert!(desk.read(file) == shard, "{file}");
    }
}

#[test]
fn a_place_full_of_files_counts_as_lost() {
    let bytes = random(10_000, 4);
    let desk = desk_with(&bytes);
    let fill = |place: &str, counts: std::ops::Range<u16>| {
        for count in counts {
            for index in 0..10 {
                desk.write(&format!("{place}/x.ces-{index:03}-of-{count:03}"), b"");
            }
        }
    };
    fill("c", 100..152);
    let got = desk.does(GET);
    assert!(got.out == bytes);
    assert!(got.err.contains("more than 512 files"), "{}", got.err);
    let put = desk.run("put %/in --name x --shards %/c --key-file %/key");
    assert!(put.err.contains("more than 512 files"), "{}", put.err);
    // Not as many there, and too many to hold open with all others.
    fs::remove_dir_all(desk.path("c")).unwrap();
    fs::create_dir(desk.path("c")).unwrap();
    fill("c", 100..151);
    let got = desk.does(GET);
    assert!(got.out == bytes);
    let why = "c: with its files there are more than 512 that are called like shards";
    assert!(got.err.contains(why), "{}", got.err);
}

#[test]
fn one_place_under_two_names_is_one() {
    let desk = Desk::new();
    desk.write("in", b"x");
    symlink(desk.path("a"), desk.path("again")).unwrap();
    for other in ["%/a/.", "%/b/../a", "%/again"] {
        let put = format!("put %/in --name x --shards %/a {other} --key-file %/key");
        let twice = desk.run(&put);
        assert_eq!(twice.code, Some(2), "{twice:?}");
        assert!(twice.err.contains("is named twice"), "{}", twice.err);
    }
    let twice = desk.run("get x --shards %/none %/./none -o - --key-file %/key");
    assert!(twice.err.contains("is named twice"), "{}", twice.err);
    assert!(desk.shards().is_empty());
}

#[test]
fn one_bucket_under_two_names_is_one() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let put = "put %/in --name x --geometry 2+2 --key-file %/key --shards s3://bka";
    for other in [
        "s3://bka?two",
        "s3://bka#three",
        "s3://u@bka",
        "s3://bka?x/sub",
        "s3://bka//x",
    ] {
        let refused = desk.run(&format!("{put} {other}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains("--shards"), "{}", refused.err);
    }
    for (one, other) in [("", "s3://bka/"), ("/x", "s3://bka/x/")] {
        let twice = desk.run(&format!("{put}{one} {other}"));
        assert_eq!(twice.code, Some(2), "{twice:?}");
        assert!(twice.err.contains("is named twice"), "{}", twice.err);
    }
}

#[test]
fn what_says_how_stores_are_reached_is_refused_where_none_is() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let put = "put %/in --shards ABC --key-file %/key";
    for options in ["--endpoint https://localhost:9", "--allow-http"] {
        let refused = desk.run(&format!("{put} {options}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.err.contains("no place is in one"),
            "{}",
            refused.err
        );
    }
    assert!(desk.shards().is_empty());
    // Of a migration, either side may be in a store.
    let migrate = "migrate in --shards %/a --to s3://b --key-file %/key --new-key-file %/other";
    let refused = desk.run(&format!("{migrate} --endpoint https://localhost:9"));
    assert!(refused.err.contains("there is no shard"), "{}", refused.err);
}

#[test]
fn what_says_how_to_trust_the_manager_is_refused() {
    let desk = Desk::new();
    desk.write("in", b"x");
    desk.does("put %/in --shards ABC --key-file %/key");
    for options in ["--ca-cert /x", "--insecure", "-v=false"] {
        let refused = desk.run(&format!("info in --shards ABC {options}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.err.contains("is about the manager"),
            "{}",
            refused.err
        );
    }
}

#[test]
fn one_address_is_for_the_stores_of_one_vendor() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let endpoint = "--endpoint https://localhost:9 --key-file %/key";
    for line in [
        "put %/in --shards s3://one gs://two",
        "migrate in --shards s3://one --to az://two --new-key-file %/other",
    ] {
        let refused = desk.run(&format!("{line} {endpoint}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains("one vendor"), "{}", refused.err);
    }
}

#[test]
fn a_place_that_cannot_be_looked_into_keeps_its_key_and_says_so() {
    let desk = desk_with(&random(10_000, 5));
    fs::rename(desk.path("c"), desk.path("away")).unwrap();
    let rotated = desk.run(&format!("{ROTATE} --json"));
    assert_eq!(rotated.code, Some(1), "{rotated:?}");
    assert_eq!(rotated.json()["rotated"], 8);
    assert_eq!(rotated.json()["missing"], 4);
    assert_eq!(rotated.json()["places_dark"][0], "%/c");
    assert!(
        rotated.err.contains("4 shards are nowhere to be found"),
        "{}",
        rotated.err
    );
    // It goes on when the place is there again.
    fs::rename(desk.path("away"), desk.path("c")).unwrap();
    let rest = desk.does(ROTATE);
    assert!(rest.text().starts_with("4 shards"), "{}", rest.text());
}
