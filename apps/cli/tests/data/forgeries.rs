//! Whoever holds one place and no key.

use std::fs;

use propeller_ces::format::{FOOTER_LEN, HEADER_LEN};

use crate::support::{Desk, random};

/// Makes the shards in folder `d` look like those of the object in the three places, as anybody
/// can who sees those: with their headers, and a trailer whose check is right.
fn disguise(desk: &Desk) {
    for index in 0..12 {
        let file = format!("x.ces-{index:03}-of-012");
        let place = ["a", "b", "c"][index % 3];
        let header = desk.read(&format!("{place}/{file}"))[..HEADER_LEN].to_vec();
        let mut shard = desk.read(&format!("d/{file}"));
        shard[..HEADER_LEN].copy_from_slice(&header);
        let (from, to) = (shard.len() - FOOTER_LEN - 8, shard.len() - 20);
        let mut check = blake3::Hasher::new();
        check.update(&[4]).update(&shard[16..32]);
        check.update(&shard[from..to]);
        shard[to..to + 16].copy_from_slice(&check.finalize().as_bytes()[..16]);
        desk.write(&format!("d/{file}"), &shard);
    }
}

#[test]
fn one_place_full_of_forged_shards_outvotes_nobody() {
    let desk = Desk::new();
    fs::create_dir(desk.path("d")).unwrap();
    let bytes = random(20_000, 1);
    desk.write("in", &bytes);
    desk.write("false", &random(20_000, 2));
    let put = desk.does("put %/in --name x --shards ABC --level off --key-file %/key --json");
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    desk.does("put %/false --name x --shards %/d --level off --key-file %/other");
    disguise(&desk);
    // By themselves their records and footers are as good as any.
    let alone = desk.run("verify x --shards %/d --json").json();
    assert_ne!(alone["digest"].as_str().unwrap(), digest);
    fs::remove_dir_all(desk.path("c")).unwrap();
    fs::rename(desk.path("d"), desk.path("c")).unwrap();
    let before = desk.shards();
    assert_eq!(before.len(), 8 + 12);
    for command in ["repair", "verify"] {
        let refused = desk.run(&format!("{command} x --shards ABC"));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("with --digest"), "{}", refused.err);
        assert!(desk.shards() == before, "{command}");
    }
    // Whoever knows the digest gets the object back, and the good shards are as they were.
    desk.does(&format!("repair x --shards ABC --digest {digest}"));
    for (name, shard) in before.iter().filter(|(name, _)| !name.starts_with('c')) {
        assert!(desk.read(name) == *shard, "{name}");
    }
    let got = desk.does("get x --shards ABC -o - --key-file %/key");
    assert!(got.out == bytes);
}

#[test]
fn two_shards_with_one_index_are_for_the_digest_to_tell_apart() {
    let desk = Desk::new();
    desk.write("in", &random(20_000, 1));
    let put = desk.does("put %/in --name x --shards ABC --key-file %/key --json");
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    let file = "x.ces-000-of-012";
    fs::copy(
        desk.path(&format!("a/{file}")),
        desk.path(&format!("b/{file}")),
    )
    .unwrap();
    // A copy is no contradiction.
    assert!(!desk.run("verify x --shards ABC").err.contains("differ"));
    let end = desk.read(&format!("b/{file}")).len() - 30;
    desk.flip(&format!("b/{file}"), end);
    let before = desk.shards();
    let refused = desk.run("repair x --shards ABC");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("they differ"), "{}", refused.err);
    assert!(desk.shards() == before);
    desk.does(&format!("repair x --shards ABC --digest {digest}"));
}

/// Whoever holds one place has last week's shards, and waits for an outage of another.
#[test]
fn an_outage_brings_no_older_object_back() {
    let desk = Desk::new();
    desk.write("in", b"pay Mallory");
    desk.does("put %/in --name x --shards ABC --key-file %/key");
    fs::create_dir(desk.path("kept")).unwrap();
    for place in ["a", "b", "c"] {
        for file in desk.files(place) {
            let from = desk.path(&format!("{place}/{file}"));
            fs::rename(from, desk.path(&format!("kept/{file}"))).unwrap();
        }
    }
    desk.write("in", b"pay Alice");
    let put = desk.does("put %/in --name x --shards ABC --json --key-file %/key");
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    for file in desk.files("kept") {
        let to = desk.path(&format!("c/{file}"));
        fs::rename(desk.path(&format!("kept/{file}")), to).unwrap();
    }
    fs::rename(desk.path("b"), desk.path("away")).unwrap();
    for line in [
        "get x --shards ABC --key-file %/key -o -",
        "verify x --shards ABC",
        "repair x --shards ABC",
        "rotate x --shards ABC --key-file %/key --new-key-file %/other",
    ] {
        let refused = desk.run(line);
        assert_eq!(
            (refused.code, refused.text().as_str()),
            (Some(1), ""),
            "{line}"
        );
        assert!(refused.err.contains("--digest"), "{}", refused.err);
        assert!(!refused.err.contains("move away"), "{}", refused.err);
    }
    // With the digest there is too little of it, until the place is back.
    let get = format!("get x --shards ABC --key-file %/key -o - --digest {digest}");
    let refused = desk.run(&get);
    assert_eq!((refused.code, refused.text().as_str()), (Some(1), ""));
    fs::rename(desk.path("away"), desk.path("b")).unwrap();
    assert_eq!(desk.does(&get).out, b"pay Alice");
}
