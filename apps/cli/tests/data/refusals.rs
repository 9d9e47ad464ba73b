//! What is refused, and what is left behind then: nothing.

use crate::support::{Desk, KEY, random};

#[test]
fn what_goes_wrong_says_where_to_look() {
    let desk = Desk::new();
    desk.write("in", &random(1_000, 1));
    desk.does("put %/in --shards ABC --label production --key-file %/key");
    desk.secret("staging", &format!("{KEY} staging"));
    desk.secret("short", &KEY[2..]);
    desk.secret("nothing", "# no key yet");
    desk.write("public", KEY.as_bytes());
    insta::assert_snapshot!(desk.transcript(&[
        "put %/in --shards ABC --key-file %/key",
        "put %/none --shards ABC --key-file %/key",
        "put %/a --shards ABC --key-file %/key",
        "put - --shards ABC --key-file %/key",
        "put %/in --name y --shards %/a %/nowhere --key-file %/key",
        "put %/in --name y --shards %/a %/a --key-file %/key",
        "put %/in --name y --shards ABC",
        "put %/in --name y --shards ABC --key-file %/key --key-file %/other",
        "put %/in --name y --shards ABC --key-file %/public",
        "put %/in --name y --shards ABC --key-file %/short",
        "put %/in --name y --shards ABC --key-file %/nothing",
        "put %/in --name y --shards ABC --key-file %/gone",
        "put %/in --name y --shards ABC --key-command false",
        "put %/in --name y --shards ABC --key-fd 77",
        "put %/in --name y --shards ABC --key-file %/staging --label production",
        "put %/in --name y --shards s3://bucket --endpoint http://127.0.0.1:9 --key-file %/key",
        "get in --shards ABC -o %/out --key-file %/other",
        "get in --shards ABC -o %/out --key-file %/staging",
        "get in --shards ABC -o %/out --key-file %/key --label staging",
        "get in --shards ABC -o %/out --key-file %/key --digest 0000000000000000000000000000000000000000000000000000000000000000",
        "get other --shards ABC -o %/out --key-file %/key",
        "get other --shards %/nowhere -o %/out --key-file %/key",
        "verify in --shards ABC --digest 0000000000000000000000000000000000000000000000000000000000000000",
        "rotate in --shards ABC --key-file %/other --new-key-file %/key",
    ]));
    assert_eq!(desk.shards().len(), 12);
    assert!(!desk.path("out").exists());
}

#[test]
fn arguments_that_make_no_sense() {
    let desk = Desk::new();
    for (line, word) in [
        ("put x --shards http://host/x", "s3://"),
        ("put x --shards a --geometry 8", "--geometry"),
        ("put x --shards a --geometry 0+1", "--geometry"),
        ("put x --shards a --level 23", "--level"),
        ("put x --shards a --segment-size 100KiB", "--segment-size"),
        ("put x --shards a --label Production", "--label"),
        ("put x --shards a --name ../x", "--name"),
        ("put x --shards a --threads 0", "--threads"),
        ("get x --shards a --digest 00 -o y", "--digest"),
        ("rotate x --shards a --key-file k", "--new-key-file"),
        (
            "migrate x --shards a --to b --from-v0 --new-key-fd 1",
            "--data",
        ),
    ] {
        let ran = desk.run(line);
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(ran.err.contains(word), "{line}: {}", ran.err);
    }
}
