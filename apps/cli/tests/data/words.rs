//! What is said about few shards, and about names that would say other than they seem to.

use crate::support::Desk;

#[test]
fn one_shard_is_one_and_has_one_place() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let put = desk.does("put %/in --name x --shards ABC --geometry 1+0 --key-file %/key");
    assert!(put.text().contains("1+0, in 1 place\n"), "{}", put.text());
    let info = desk.does("info x --shards ABC").text();
    assert!(info.contains("1 of 1 shard is there\n"), "{info}");
    let verified = desk.does("verify x --shards ABC");
    assert!(
        verified.err.contains("1 shard is whole"),
        "{}",
        verified.err
    );
    let keys = "--key-file %/key --new-key-file %/other";
    let rotated = desk.does(&format!("rotate x --shards ABC {keys}"));
    assert!(rotated.text().starts_with("1 shard of x has key"));
    let migrate = format!("migrate x --shards ABC --to ABC --new-name y --geometry 1+0 {keys}");
    let migrated = desk.does(
        &migrate
            .replace("%/key --", "%/other --")
            .replace("--new-key-file %/other", "--new-key-file %/key"),
    );
    let old = "old       1 shard is still there, and may go\n";
    assert!(migrated.text().contains(old), "{}", migrated.text());
}

#[test]
fn a_name_turns_no_text_around() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let turned = "x\u{202e}gpj";
    let lines = [
        format!("put %/in --name {turned} --shards ABC --key-file %/key"),
        format!("get {turned} --shards ABC --key-file %/key -o %/out{turned}"),
        format!("rotate {turned} --shards ABC --key-file %/key --new-key-file %/other"),
        format!("verify {turned} --shards ABC"),
        format!("info {turned} --shards ABC"),
    ];
    for line in lines {
        let ran = desk.does(&line);
        let said = format!("{}{}", ran.text(), ran.err);
        assert!(!said.contains('\u{202e}'), "{said}");
        assert!(said.contains("x\\u{202e}gpj"), "{said}");
    }
}

#[test]
fn what_has_no_label_is_not_asked_for_by_one() {
    let desk = Desk::new();
    desk.write("in", b"x");
    desk.does("put %/in --name x --shards ABC --key-file %/key");
    let refused = desk.run("get x --shards ABC --key-file %/key --label staging -o -");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("leave --label out"), "{}", refused.err);
}
