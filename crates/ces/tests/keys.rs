//! Backups of keys against vectors and against Python, and what the audit log is told.
#![cfg(test)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use propeller_ces::backup::{ImportError, export, import};
use propeller_ces::{Action, Audit, Event, Key, Label};

const PASSPHRASE: &str = "correct horse battery staple";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

/// A key as the vectors write it.
fn line(key: &Key) -> String {
    format!("{} {}", *key.to_hex(), key.label())
        .trim_end()
        .to_owned()
}

fn outcome(error: ImportError) -> &'static str {
    match error {
        ImportError::NotABackup => "not-a-backup",
        ImportError::Line { .. } => "line",
        ImportError::Cut => "cut",
        ImportError::Version { .. } => "version",
        ImportError::Damaged => "damaged",
        ImportError::Cost { .. } => "cost",
        ImportError::Length { .. } => "length",
        ImportError::Passphrase => "passphrase",
        ImportError::Label => "label",
        _ => "?",
    }
}

#[test]
fn every_vector_of_key_backups_comes_out_as_it_says() {
    let folder = root().join("../../testdata/vectors/ces-backup");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap();
        let (head, text) = file.split_once("\n\n").unwrap();
        let values = |name: &str| -> Vec<String> {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(found, _)| *found == name)
                .map(|(_, value)| value.to_owned())
                .collect()
        };
        let opened = import(text, values("passphrase")[0].as_bytes(), Audit::none());
        let (found, keys) = match opened {
            Ok(keys) => ("ok", keys.iter().map(line).collect()),
            Err(error) => (outcome(error), Vec::new()),
        };
        assert_eq!(found, values("expect")[0], "{}", path.display());
        assert_eq!(keys, values("key"), "{}", path.display());
        count += 1;
    }
    assert!(count >= 40, "only {count} vectors were found");
}

/// The independent implementation, or `None` if there is no Python.
fn python(command: &str, argument: &str) -> Option<Command> {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the `cryptography` package: run the tests with `cargo xtask test`");
        return None;
    };
    let mut script = Command::new(python);
    script.arg("-B");
    script.arg(root().join("tests/independent/ces_backup.py"));
    script.args([command, argument]);
    Some(script)
}

#[test]
fn every_vector_of_key_backups_is_read_by_python_as_it_says() {
    let folder = root().join("../../testdata/vectors/ces-backup");
    if let Some(mut script) = python("check", folder.to_str().unwrap()) {
        assert!(script.status().unwrap().success());
    }
}

#[test]
fn what_we_export_python_opens() {
    let Some(mut script) = python("open", PASSPHRASE) else {
        return;
    };
    let label = Label::new("production").unwrap();
    let keys = [
        Key::random().unwrap().labelled(label),
        Key::random().unwrap(),
    ];
    let text = export(&keys, PASSPHRASE.as_bytes(), Audit::none()).unwrap();
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let opened = String::from_utf8(output.stdout).unwrap();
    let opened: Vec<&str> = opened.lines().map(str::trim_end).collect();
    assert_eq!(opened, keys.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn every_key_in_a_backup_is_told_when_it_goes_and_when_it_comes() {
    let told = Mutex::new(Vec::new());
    let hook = |event: &Event| told.lock().unwrap().push(*event);
    let audit = Audit::to(&hook);
    let label = Label::new("test").unwrap();
    let keys = [
        Key::random().unwrap().labelled(label),
        Key::random().unwrap(),
    ];
    let text = export(&keys, PASSPHRASE.as_bytes(), audit).unwrap();
    import(&text, b"another passphrase", audit).unwrap_err();
    import(&text, PASSPHRASE.as_bytes(), audit).unwrap();
    let expected: Vec<Event> = [Action::Exported, Action::Imported]
        .into_iter()
        .flat_map(|action| {
            keys.iter().map(move |key| Event {
                action,
                key: key.id(),
                label: key.label(),
                object: None,
            })
        })
        .collect();
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn neither_keys_nor_passphrases_are_in_messages_or_in_a_backup() {
    let key = Key::random().unwrap();
    let hex = key.to_hex();
    let text = export(
        std::slice::from_ref(&key),
        PASSPHRASE.as_bytes(),
        Audit::none(),
    )
    .unwrap();
    let error = import(&text, b"another passphrase", Audit::none()).unwrap_err();
    for said in [text, format!("{key:?}"), format!("{error} {error:?}")] {
        assert!(!said.contains(&*hex) && !said.contains(PASSPHRASE));
        assert!(!said.contains("another passphrase"));
    }
}
