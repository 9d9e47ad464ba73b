//! Where keys come from, and where they go.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::support::{Desk, KEY, OTHER, fifo, mode, random, skipped};

/// The id of [`KEY`].
const ID: &str = "854e2f1e83aded11";

#[test]
fn keys_come_from_files_descriptors_commands_and_the_variable() {
    let mut desk = Desk::new();
    desk.write("in", &random(1_000, 1));
    for options in [
        "--key-file %/key",
        "--key-fd 0",
        "--key-command cat<%/key",
        "--key-file %/other --key-file %/key",
        "--key-file %/other --key-fd 0",
    ] {
        let mut command = desk.command(&format!("keys id {options}"));
        command.stdin(fs::File::open(desk.path("key")).unwrap());
        let ran = desk.ran(command.output().unwrap());
        assert!(ran.text().contains(ID), "{options}: {ran:?}");
    }
    // A pipe, as of a shell's `<(…)` or a vault's agent.
    let piped = desk.pipe("keys id --key-fd 0", format!("{KEY}\n").as_bytes());
    assert_eq!(piped.text(), format!("{ID}\n"));
    desk.variables.push(("CES_ENCRYPTION_KEY", KEY.to_owned()));
    assert_eq!(desk.does("keys id").text(), format!("{ID}\n"));
    // Whoever names a key means that one, whatever the variable says.
    assert!(!desk.does("keys id --key-file %/other").text().contains(ID));
    desk.variables = vec![("CES_ENCRYPTION_KEY", "00".repeat(32))];
    let placeholder = desk.run("put %/in --shards ABC");
    assert_eq!(placeholder.code, Some(1));
    assert!(
        placeholder.err.contains("repeats a single byte"),
        "{}",
        placeholder.err
    );
    // An empty variable is none, and none is never a random key.
    desk.variables = vec![("CES_ENCRYPTION_KEY", String::new())];
    assert_eq!(desk.run("put %/in --shards ABC").code, Some(2));
    assert!(desk.shards().is_empty());
}

#[test]
fn a_descriptor_is_read_itself_whatever_it_is() {
    let desk = Desk::new();
    // A socket has no name that could be opened.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(KEY.as_bytes()).unwrap();
    drop(ours);
    let mut command = desk.command("keys id --key-fd 0");
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let ran = desk.ran(command.output().unwrap());
    assert_eq!(ran.text(), format!("{ID}\n"), "{ran:?}");
    // A file that was closed to everybody after it was opened, read from where it stands.
    desk.secret("keys", &format!("{OTHER}\n{KEY}"));
    let mut file = fs::File::open(desk.path("keys")).unwrap();
    file.seek(SeekFrom::Start(65)).unwrap();
    fs::remove_file(desk.path("keys")).unwrap();
    let mut command = desk.command("keys id --key-fd 0");
    command.stdin(Stdio::from(file));
    let ran = desk.ran(command.output().unwrap());
    assert_eq!(ran.text(), format!("{ID}\n"), "{ran:?}");
}

#[test]
fn a_descriptor_needs_no_leave_to_be_read() {
    let desk = Desk::new();
    // The shell opens what is nobody else's to read, and the program is somebody else.
    let script = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" data keys id \
                  --key-fd 3 3<\"$1\"";
    let program = env!("CARGO_BIN_EXE_propeller-cli");
    let may = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            program,
            "--version",
        ])
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        skipped("only root can become somebody else, who has to reach the program");
        return;
    }
    let output = Command::new("sh")
        .args(["-c", script, program])
        .arg(desk.path("key"))
        .env_remove("CES_ENCRYPTION_KEY")
        .output();
    let ran = desk.ran(output.unwrap());
    assert_eq!(ran.text(), format!("{ID}\n"), "{ran:?}");
}

#[test]
fn a_command_that_prints_without_end_is_stopped() {
    let desk = Desk::new();
    let ran = desk.run("keys id --key-command yes");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("more than 65536 bytes"), "{}", ran.err);
}

#[test]
fn tenants_have_keys_of_their_own() {
    let desk = Desk::new();
    let bytes = random(1_000, 2);
    desk.write("in", &bytes);
    // By the recipe: HKDF(master, "wgt-ces-v1", "ces-pipeline-acme").
    let derived = "fee3e1de64d6b0f34bedea2cb9823d0dba1f6b96d45ad172ec41e132a69dea8b";
    desk.secret("acme", derived);
    desk.does("put %/in --shards ABC --key-file %/key --tenant acme");
    for keys in ["--key-file %/key --tenant acme", "--key-file %/acme"] {
        let got = desk.does(&format!("get in --shards ABC -o - {keys}"));
        assert!(got.out == bytes);
    }
    for keys in ["--key-file %/key", "--key-file %/key --tenant other"] {
        let got = desk.run(&format!("get in --shards ABC -o - {keys}"));
        assert_eq!((got.code, got.out.len()), (Some(1), 0), "{got:?}");
    }
    desk.does("rotate in --shards ABC --key-file %/acme --new-key-file %/other --new-tenant acme");
    desk.does("get in --shards ABC -o - --key-file %/other --tenant acme");
}

#[test]
fn a_master_secret_is_no_key_and_says_what_it_is_for() {
    let desk = Desk::new();
    desk.secret("words", "correct horse battery staple");
    desk.secret("master", &format!("{KEY}0123"));
    let backup = "keys backup -o %/backup --passphrase-file %/words --key-file %/master";
    let refused = desk.run(backup);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("--tenant"), "{}", refused.err);
    assert!(!desk.path("backup").exists());
    desk.does(&format!("{backup} --tenant acme"));
}

#[test]
fn a_new_key_is_for_its_owner_alone_and_replaces_none() {
    let desk = Desk::new();
    let made = desk.does("keys new -o %/new --label production");
    assert_eq!(mode(&desk.path("new")), 0o600);
    let text = String::from_utf8(desk.read("new")).unwrap();
    let (digits, label) = text.trim_end().split_once(' ').unwrap();
    assert_eq!((digits.len(), label), (64, "production"));
    let id = desk.does("keys id --key-file %/new").text();
    assert!(made.text().contains(id.trim_end()), "{made:?} {id}");
    let again = desk.run("keys new -o %/new");
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(desk.read("new"), text.as_bytes());
    // To standard output: the digits alone, so that a vault can read them.
    let shown = desk.does("keys new -o -");
    assert_eq!(shown.out.len(), 65);
    assert!(shown.err.starts_with("key "), "{}", shown.err);
    assert_ne!(desk.does("keys new -o -").out, shown.out);
    // The label keeps it from other objects.
    desk.write("in", b"x");
    let other = desk.run("put %/in --shards ABC --label test --key-file %/new");
    assert_eq!(other.code, Some(1));
    desk.does("put %/in --shards ABC --key-file %/new");
    let info = desk.does("info in --shards ABC --json").json();
    assert_eq!(info["objects"][0]["label"], "production");
}

#[test]
fn a_backup_brings_keys_back_with_their_labels() {
    let desk = Desk::new();
    desk.secret("labelled", &format!("{OTHER} production"));
    desk.secret("words", "correct horse battery staple");
    desk.secret("wrong", "incorrect horse");
    desk.does(
        "keys backup -o %/backup --key-file %/key --key-file %/labelled --passphrase-file %/words",
    );
    assert_eq!(mode(&desk.path("backup")), 0o600);
    desk.does("keys restore %/backup -o %/back --passphrase-file %/words");
    assert_eq!(
        desk.read("back"),
        format!("{KEY}\n{OTHER} production\n").as_bytes()
    );
    assert_eq!(mode(&desk.path("back")), 0o600);
    let wrong = desk.run("keys restore %/backup -o %/no --passphrase-file %/wrong");
    assert_eq!(wrong.code, Some(1));
    // What others read opens nothing, as with keys.
    desk.write("public", b"correct horse battery staple");
    let public = desk.run("keys restore %/backup -o %/no --passphrase-file %/public");
    assert_eq!(public.code, Some(1), "{public:?}");
    assert!(public.err.contains("by others"), "{}", public.err);
    assert!(!desk.path("no").exists());
    let piped = desk.pipe(
        "keys restore %/backup -o - --passphrase-fd 0",
        b"correct horse battery staple\r\n",
    );
    assert_eq!(piped.out, desk.read("back"));
    // Several keys in one file are read with, and not written with.
    desk.write("in", b"x");
    assert_eq!(
        desk.run("put %/in --shards ABC --key-file %/back").code,
        Some(2)
    );
    desk.does("put %/in --shards ABC --key-file %/key");
    desk.does("get in --shards ABC -o - --key-file %/back");
}

#[test]
fn every_use_of_a_key_is_in_the_log() {
    let desk = Desk::new();
    desk.write("in", b"x");
    let log = "--audit-log %/log";
    desk.does(&format!("keys new -o %/new {log}"));
    desk.does(&format!(
        "put %/in --shards ABC --label test --key-file %/key {log}"
    ));
    desk.does(&format!("get in --shards ABC -o - --key-file %/key {log}"));
    assert_eq!(
        desk.run(&format!(
            "get in --shards ABC -o - --key-file %/other {log}"
        ))
        .code,
        Some(1)
    );
    desk.does(&format!(
        "rotate in --shards ABC --key-file %/key --new-key-file %/other {log}"
    ));
    assert_eq!(mode(&desk.path("log")), 0o600);
    let text = String::from_utf8(desk.read("log")).unwrap();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said = |event: &serde_json::Value| {
        format!("{} {}", event["command"], event["action"]).replace('"', "")
    };
    let mut told: Vec<String> = events.iter().map(said).collect();
    told.dedup();
    let expected = [
        "keys new created",
        "put wrapped",
        "get unwrapped",
        "get refused",
        "rotate unwrapped",
        "rotate rotated",
    ];
    assert_eq!(told[..6], expected);
    assert_eq!(
        events
            .iter()
            .filter(|event| said(event) == "rotate rotated")
            .count(),
        12
    );
    assert_eq!(events[1]["key"], ID);
    assert_eq!(events[1]["label"], "test");
    assert_eq!(events[1]["object"], events[2]["object"]);
    assert!(events[1]["time"].as_str().unwrap().ends_with('Z'));
    assert!(!text.contains(KEY) && !text.contains(OTHER));
    // No log, no use.
    let put = desk.run("put %/in --name y --shards ABC --key-file %/key --audit-log %/none/log");
    assert_eq!(put.code, Some(1));
    let full = desk.run("put %/in --name y --shards ABC --key-file %/key --audit-log /dev/full");
    assert_eq!(full.code, Some(1), "{full:?}");
    assert_eq!(desk.shards().len(), 12);
    let full = desk.run("get in --shards ABC -o - --key-file %/other --audit-log /dev/full");
    assert_eq!((full.code, full.out.len()), (Some(1), 0), "{full:?}");
}

#[test]
fn a_key_command_gets_neither_the_input_nor_the_key_in_the_variable() {
    let mut desk = Desk::new();
    desk.variables
        .push(("CES_ENCRYPTION_KEY", OTHER.to_owned()));
    let script = format!("cat >&2\necho variable=${{CES_ENCRYPTION_KEY-none}} >&2\necho {KEY}\n");
    desk.write("script", script.as_bytes());
    let input = random(10_000, 9);
    let mut command = desk.command("put - --name x --shards ABC --key-command");
    command.arg(format!("sh {}", desk.path("script").display()));
    desk.write("input", &input);
    command.stdin(fs::File::open(desk.path("input")).unwrap());
    let put = desk.ran(command.output().unwrap());
    assert_eq!(put.code, Some(0), "{put:?}");
    assert!(put.err.contains("variable=none"), "{}", put.err);
    assert!(desk.does("get x --shards ABC -o - --key-file %/key").out == input);
}

#[test]
fn a_key_is_no_argument_and_no_input_is_read_twice() {
    let desk = Desk::new();
    let argument = desk.run(&format!("keys id --encryption-key {KEY}"));
    assert_eq!(argument.code, Some(2), "{argument:?}");
    assert!(
        argument.err.contains("unexpected argument"),
        "{}",
        argument.err
    );
    let twice = desk.pipe("put - --name x --shards ABC --key-fd 0", KEY.as_bytes());
    assert_eq!(twice.code, Some(2), "{twice:?}");
    assert!(
        twice.err.contains("both the key and what is put"),
        "{}",
        twice.err
    );
    fifo(&desk.path("pipe"));
    for line in [
        "put - --name x --shards ABC --key-file /dev/stdin",
        "put /dev/stdin --name x --shards ABC --key-fd 0",
        "put /dev/fd/0 --name x --shards ABC --key-fd 0",
        "put /proc/self/fd/0 --name x --shards ABC --key-file /dev/stdin",
        "put %/pipe --name x --shards ABC --key-file %/pipe",
    ] {
        let twice = desk.pipe(line, KEY.as_bytes());
        assert_eq!(twice.code, Some(2), "{line}: {twice:?}");
        assert!(twice.err.contains("both the key and"), "{}", twice.err);
    }
    // The same of a file that is handed over: what is put would be the key.
    let mut command = desk.command("put /dev/stdin --name x --shards ABC --key-fd 0");
    command.stdin(fs::File::open(desk.path("key")).unwrap());
    assert_eq!(desk.ran(command.output().unwrap()).code, Some(2));
    assert!(desk.shards().is_empty());
    // What others read does not count.
    desk.write("in", b"x");
    let other = desk.pipe("put %/in --shards ABC --key-fd 0", KEY.as_bytes());
    assert_eq!(other.code, Some(0), "{other:?}");
}

#[test]
fn the_new_key_is_another_one() {
    let desk = Desk::new();
    desk.write("in", b"x");
    desk.does("put %/in --shards ABC --key-file %/key");
    let before = desk.shards();
    // Whatever else is at hand, and whatever its label is.
    desk.secret("again", &format!("{KEY} production"));
    for line in [
        "rotate in --shards ABC",
        "migrate in --shards ABC --to %/a --new-name y",
    ] {
        let keys = "--key-file %/other --key-file %/key --new-key-file %/again";
        let same = desk.run(&format!("{line} {keys}"));
        assert_eq!(same.code, Some(2), "{same:?}");
        assert!(same.err.contains("is an old one"), "{}", same.err);
    }
    assert!(desk.shards() == before);
    // Nor is it one of another environment: that is refused once, and not for each shard.
    desk.secret("staging", &format!("{OTHER} staging"));
    let keys = "--key-file %/key --new-key-file %/staging --audit-log %/log";
    let label = desk.run(&format!("rotate in --shards ABC {keys}"));
    assert_eq!((label.code, label.out.len()), (Some(1), 0), "{label:?}");
    assert!(label.err.contains("has no label"), "{}", label.err);
    assert!(desk.shards() == before);
    let log = String::from_utf8(desk.read("log")).unwrap();
    assert_eq!(log.matches("refused").count(), 1, "{log}");
}

#[test]
fn a_backup_goes_to_standard_output_and_an_id_is_no_use_to_log() {
    let desk = Desk::new();
    desk.secret("words", "a long passphrase");
    let backup = desk.does("keys backup -o - --key-file %/key --passphrase-file %/words");
    assert!(backup.text().starts_with("-----BEGIN"), "{backup:?}");
    assert!(backup.err.contains(ID), "{}", backup.err);
    assert_eq!(desk.files("."), ["a", "b", "c", "key", "other", "words"]);
    desk.write("backup", &backup.out);
    let restored = desk.does("keys restore %/backup -o - --passphrase-file %/words");
    assert_eq!(restored.text(), format!("{KEY}\n"));
    let id = desk.run("keys id --key-file %/key --audit-log %/log");
    assert_eq!(id.code, Some(2), "{id:?}");
    assert!(!desk.path("log").exists());
}
