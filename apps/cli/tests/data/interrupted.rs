//! What ends before its end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};

use crate::support::{Desk, random};

const MIB: usize = 1024 * 1024;
const PUT: &str = "put - --name x --shards ABC --geometry 2+1 --key-file %/key";

/// A put under way: some of its input is written, and the rest is awaited.
fn half_put(desk: &Desk) -> Child {
    let mut child = desk.start(PUT);
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(&random(4 * MIB, 1)).unwrap();
    // What was read of it is more than a pipe holds, so that it has begun to write.
    while desk.files("a") != [".x.ces-000-of-003.part"] {
        std::thread::yield_now();
    }
    child
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing() {
    for signal in ["-INT", "-TERM"] {
        let desk = Desk::new();
        let mut child = half_put(&desk);
        let id = child.id().to_string();
        let mut kill = Command::new("kill");
        assert!(kill.args([signal, &id]).status().unwrap().success());
        // It hears it when it reads or writes; until then it takes what comes.
        let mut stdin = child.stdin.take().unwrap();
        while stdin.write_all(&random(MIB, 2)).is_ok() {}
        let ran = desk.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(130), "{signal}: {ran:?}");
        assert_eq!(ran.err, "error: interrupted\n");
        assert!(desk.shards().is_empty(), "{signal}");
    }
}

#[test]
fn a_put_that_was_killed_leaves_nothing_under_the_name_and_the_next_one_cleans_up() {
    let desk = Desk::new();
    let mut child = half_put(&desk);
    // Two at once are told apart.
    let second = desk.pipe(PUT, b"the other one");
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains("another command is writing it"),
        "{}",
        second.err
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(desk.files("a"), [".x.ces-000-of-003.part"]);
    let none = desk.run("get x --shards ABC -o - --key-file %/key");
    assert!(none.err.contains("there is no shard of x"), "{}", none.err);
    // Whatever its geometry was.
    desk.write("in", b"whole");
    desk.does("put %/in --name x --shards ABC --key-file %/key");
    assert_eq!(desk.shards().len(), 12);
    assert_eq!(
        desk.does("get x --shards ABC -o - --key-file %/key").out,
        b"whole"
    );
}

#[test]
fn a_place_that_cannot_be_written_leaves_nothing_anywhere() {
    let desk = Desk::new();
    desk.write("in", &random(MIB, 3));
    // Something that is no folder stands where a shard's temporary file would be.
    fs::create_dir(desk.path("c/.x.ces-002-of-003.part")).unwrap();
    let put = desk.run("put %/in --name x --shards ABC --geometry 2+1 --key-file %/key");
    assert_eq!(put.code, Some(1));
    assert!(put.err.contains("c/.x.ces-002-of-003.part"), "{}", put.err);
    assert!(desk.files("a").is_empty() && desk.files("b").is_empty());
}

#[test]
fn a_shard_that_cannot_be_put_in_its_place_takes_the_others_back() {
    let desk = Desk::new();
    let mut child = half_put(&desk);
    // A folder that is not empty cannot be replaced by a file.
    fs::create_dir_all(desk.path("c/x.ces-002-of-003/full")).unwrap();
    drop(child.stdin.take());
    let ran = desk.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("cannot write %/c/x.ces-002-of-003"),
        "{}",
        ran.err
    );
    assert!(desk.files("a").is_empty() && desk.files("b").is_empty());
    assert_eq!(desk.files("c"), ["x.ces-002-of-003"]);
}

#[test]
fn what_came_under_the_name_meanwhile_stays_and_the_put_takes_its_shards_back() {
    let desk = Desk::new();
    let mut child = half_put(&desk);
    desk.write("b/x.ces-001-of-003", b"somebody else's");
    drop(child.stdin.take());
    let ran = desk.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("cannot write %/b/x.ces-001-of-003"),
        "{}",
        ran.err
    );
    assert_eq!(desk.shards().len(), 1);
    assert_eq!(desk.read("b/x.ces-001-of-003"), b"somebody else's");
}

/// Where the piece of a segment begins in a shard of 2+1 with segments of 1 MiB that do not
/// compress.
pub(crate) fn piece(segment: usize) -> usize {
    let head = 97 + 2 * 32;
    120 + segment * (head + (MIB + 16) / 2) + head
}

#[test]
fn a_get_goes_on_where_it_stopped() {
    let desk = Desk::new();
    let bytes = random(40 * MIB + 5, 4);
    desk.write("in", &bytes);
    desk.does("put %/in --name x --shards ABC --geometry 2+1 --key-file %/key");
    let spoil = || {
        for shard in ["a/x.ces-000-of-003", "b/x.ces-001-of-003"] {
            desk.flip(shard, piece(30));
        }
    };
    spoil();
    // One thread, so that nothing is under way when the lost segment is found.
    let get = "get x --shards ABC -o %/out --threads 1 --key-file %/key";
    let stopped = desk.run(get);
    assert_eq!(stopped.code, Some(1));
    insta::assert_snapshot!(stopped.transcript());
    let part = desk.files(".");
    let part = part.iter().find(|name| name.starts_with(".out.")).unwrap();
    assert_eq!(desk.read(part).len(), 30 * MIB);
    assert!(!desk.path("out").exists());

    // It begins behind what is on the disk for sure, and reads nothing of what is before.
    spoil();
    for shard in ["a/x.ces-000-of-003", "b/x.ces-001-of-003"] {
        desk.flip(shard, piece(3));
    }
    let ended = desk.does(get);
    assert!(
        ended.err.contains("going on at 14.0 MiB of 40.0 MiB"),
        "{}",
        ended.err
    );
    assert!(desk.read("out") == bytes);
    assert!(!desk.path(part).exists());
    // A new beginning needs everything.
    let anew = desk.run(&format!("{get} --restart"));
    assert!(anew.err.contains("segment 3 is lost"), "{}", anew.err);
}

#[test]
fn what_others_may_have_written_is_not_gone_on_with() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    desk.write("in", b"x");
    let put = desk.does("put %/in --name x --shards ABC --json --key-file %/key");
    let digest = put.json()["digest"].as_str().unwrap()[..32].to_owned();
    let part = format!(".out.{digest}.part");
    desk.write(&part, b"planted");
    fs::set_permissions(desk.path(&part), fs::Permissions::from_mode(0o666)).unwrap();
    let get = desk.run("get x --shards ABC -o %/out --key-file %/key");
    assert_eq!(get.code, Some(1));
    assert!(
        get.err.contains("others may have written it"),
        "{}",
        get.err
    );
}

/// What the rest is like is not known then: 141 is what a shell says of a program that is ended by
/// the pipe it writes to.
#[test]
fn a_reader_that_leaves_before_the_end_is_told_by_the_exit_code() {
    let desk = Desk::new();
    desk.write("in", &random(4 * MIB, 5));
    desk.does("put %/in --name x --shards ABC --geometry 2+1 --key-file %/key");
    let get = "get x --shards ABC --key-file %/key -o";
    let range = "range x --shards ABC --key-file %/key --offset 1 --length 4000000 -o";
    for line in [
        format!("{get} -"),
        format!("{get} /dev/stdout"),
        format!("{range} -"),
    ] {
        let mut child = desk.start(&line);
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 10]).unwrap();
        drop(out);
        let ran = desk.ran(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(141), ""), "{line}");
    }
    // Also of the last bytes, which are few.
    desk.write("in", b"few");
    desk.does("put %/in --name y --shards ABC --geometry 2+1 --key-file %/key");
    let mut command = desk.command("get y --shards ABC --key-file %/key -o -");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = desk.ran(command.stdout(writer).output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(141), ""));
}
