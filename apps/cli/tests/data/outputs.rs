//! Where objects go: files, which are replaced when the object is whole, pipes and devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

use crate::support::{Desk, fifo, random};

const GET: &str = "get x --shards ABC --key-file %/key -o";
const RANGE: &str = "range x --shards ABC --key-file %/key --offset 5 --length 100 -o";

fn desk_with(bytes: &[u8]) -> Desk {
    let desk = Desk::new();
    desk.write("in", bytes);
    desk.does("put %/in --name x --shards ABC --key-file %/key");
    desk
}

#[test]
fn a_pipe_is_written_to_and_stays_one() {
    let bytes = random(100_000, 1);
    let desk = desk_with(&bytes);
    fifo(&desk.path("fifo"));
    for (line, expected) in [(GET, &bytes[..]), (RANGE, &bytes[5..105])] {
        let mut command = desk.command(&format!("{line} %/fifo"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        assert!(desk.read("fifo") == expected, "{line}");
        let ran = desk.ran(child.wait_with_output().unwrap());
        // What is said would be among the bytes if the pipe were our own output.
        assert_eq!((ran.code, ran.text().as_str()), (Some(0), ""), "{ran:?}");
        let kind = fs::symlink_metadata(desk.path("fifo")).unwrap().file_type();
        assert!(kind.is_fifo(), "{line}");
    }
    let files = ["a", "b", "c", "fifo", "in", "key", "other"];
    assert_eq!(desk.files("."), files);
}

#[test]
fn a_device_is_written_to_by_whatever_name() {
    let desk = desk_with(b"x");
    // By a link of our own, which is all that could be replaced.
    symlink("/dev/null", desk.path("null")).unwrap();
    symlink("/dev/full", desk.path("full")).unwrap();
    let range = RANGE.replace("--offset 5 --length 100", "--offset 0 --length 1");
    for line in [GET, &range] {
        desk.does(&format!("{line} %/null"));
        let full = desk.run(&format!("{line} %/full"));
        assert_eq!(full.code, Some(1), "{full:?}");
        assert!(full.err.contains("cannot write %/full"), "{}", full.err);
    }
    assert!(desk.path("null").is_symlink() && desk.path("full").is_symlink());
}

#[test]
fn a_file_is_replaced_and_a_link_to_one_stays_a_link() {
    let bytes = random(1_000, 2);
    let desk = desk_with(&bytes);
    for line in [GET, RANGE] {
        let expected = if line == GET {
            &bytes[..]
        } else {
            &bytes[5..105]
        };
        desk.write("a/there", b"old");
        symlink("a/there", desk.path("link")).unwrap();
        desk.does(&format!("{line} %/link"));
        assert!(desk.path("link").is_symlink());
        assert!(desk.read("a/there") == expected);
        fs::remove_file(desk.path("link")).unwrap();
        let folder = desk.run(&format!("{line} %/b"));
        assert_eq!(folder.code, Some(1), "{folder:?}");
    }
}

#[test]
fn a_file_that_is_replaced_keeps_who_may_read_it() {
    let desk = desk_with(&random(1_000, 4));
    for (line, mode) in [(GET, 0o640), (RANGE, 0o644), (GET, 0o400)] {
        desk.write("out", b"old");
        fs::set_permissions(desk.path("out"), fs::Permissions::from_mode(mode)).unwrap();
        desk.does(&format!("{line} %/out"));
        assert_eq!(crate::support::mode(&desk.path("out")), mode);
        fs::remove_file(desk.path("out")).unwrap();
        // What replaces nothing was encrypted, and is for its owner alone.
        desk.does(&format!("{line} %/out"));
        assert_eq!(crate::support::mode(&desk.path("out")), 0o600);
        fs::remove_file(desk.path("out")).unwrap();
    }
}

#[test]
fn a_range_takes_away_nothing_of_others() {
    let desk = desk_with(&random(1_000, 3));
    desk.write(".out.part", b"somebody else's");
    desk.does(&format!("{RANGE} %/out"));
    assert_eq!(desk.read(".out.part"), b"somebody else's");
    assert_eq!(desk.read("out").len(), 100);
}

#[test]
fn what_leads_elsewhere_under_the_name_of_a_part_is_not_written_to() {
    let desk = Desk::new();
    desk.write("in", b"secret");
    let put = desk.does("put %/in --name x --shards ABC --json --key-file %/key");
    let digest = put.json()["digest"].as_str().unwrap()[..32].to_owned();
    let part = desk.path(&format!(".out.{digest}.part"));
    desk.secret("precious", "as it was");
    symlink(desk.path("precious"), &part).unwrap();
    for option in ["", " --restart"] {
        let get = desk.run(&format!("{GET} %/out{option}"));
        assert_eq!(get.code, Some(1), "{get:?}");
        assert!(get.err.contains("no regular file"), "{}", get.err);
    }
    // Another name of somebody's file.
    fs::remove_file(&part).unwrap();
    fs::hard_link(desk.path("precious"), &part).unwrap();
    let get = desk.run(&format!("{GET} %/out"));
    assert!(get.err.contains("others may have written"), "{}", get.err);
    assert_eq!(desk.read("precious"), b"as it was\n");
}
