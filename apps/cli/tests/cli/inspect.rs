//! `inspect`: a file in, a description out, and nobody is asked.

use std::fs;
use std::path::{Path, PathBuf};

use propeller_cli::Exit;
use tempfile::TempDir;

use crate::support::{Ran, run_at};

const NOBODY: &str = "http://127.0.0.1:9";

/// A WASI 0.2 command, a library of functions and interfaces.
const COMMAND: &str = include_str!("../../../../crates/inspect/tests/command.wat");
const LIBRARY: &str = include_str!("../../../../crates/inspect/tests/library.wat");

fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/guests")
        .join(name)
}

fn inspect(path: &Path, flags: &[&str]) -> Ran {
    let line = [&["inspect", path.to_str().expect("a path is text")], flags].concat();
    let Ran { exit, out, err } = run_at(NOBODY, &line);
    let folder = path.parent().and_then(Path::to_str).expect("it has one");
    let shorter = |text: &str| text.replace(&format!("{folder}/"), "");
    let out = String::from_utf8(out).expect("a description is text");
    Ran {
        exit,
        out: stable(&shorter(&out)).into_bytes(),
        err: shorter(&err),
    }
}

/// What is said about a file of this content.
fn said(name: &str, content: &[u8], flags: &[&str]) -> String {
    let folder = TempDir::new().expect("a folder can be made");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("its files can be written");
    inspect(&path, flags).transcript()
}

fn of_wat(text: &str) -> String {
    let module = wat::parse_str(text).expect("the test's text is right");
    said("m.wasm", &module, &[])
}

/// Sizes and digests change with the compilers that made a module.
fn stable(transcript: &str) -> String {
    let lines = transcript.lines().map(|line| {
        let name = ["digest", "size", "  \"digest", "  \"size"];
        match name.iter().find(|name| line.starts_with(**name)) {
            Some(name) => format!("{name} …\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

#[test]
fn the_guests() {
    for name in [
        "add",
        "dial",
        "greet",
        "hello",
        "thumbnail",
        "web",
        "wordcount",
    ] {
        let ran = inspect(&guest(&format!("{name}.wasm")), &[]);
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        insta::assert_snapshot!(name, ran.transcript());
    }
}

#[test]
fn json_of_a_guest() {
    insta::assert_snapshot!(inspect(&guest("add.wasm"), &["--json"]).transcript());
}

#[test]
fn json_of_what_cannot_be_run() {
    let text = r#"(module (import "env" "log" (func (param i32))) (memory 1 2))"#;
    let module = wat::parse_str(text).unwrap();
    insta::assert_snapshot!(said("m.wasm", &module, &["--json"]));
}

#[test]
fn a_component_that_is_a_command() {
    insta::assert_snapshot!(of_wat(COMMAND));
}

#[test]
fn a_component_that_is_a_library() {
    insta::assert_snapshot!(of_wat(LIBRARY));
}

#[test]
fn a_component_that_is_a_service() {
    insta::assert_snapshot!(of_wat(
        r#"(component
        (import "wasi:http/types@0.2.3" (instance
          (export "fields" (type $fields (sub resource)))
          (export "[constructor]fields" (func (result (own $fields))))))
        (component $handler)
        (instance $handler (instantiate $handler))
        (export "wasi:http/incoming-handler@0.2.3" (instance $handler)))"#
    ));
}

#[test]
fn a_job_in_chunks() {
    insta::assert_snapshot!(of_wat(
        r#"(module (memory (export "memory") 1) (func $f (param i32 i32) (result i64) i64.const 0)
        (func (export "alloc") (param i32) (result i32) i32.const 0)
        (export "split" (func $f)) (export "execute" (func $f)) (export "merge" (func $f)))"#
    ));
}

#[test]
fn a_file_that_is_called_like_an_export_is_run_as_what_it_is() {
    let command =
        r#"(module (func (export "_start")) (func (export "add") (result i32) i32.const 9))"#;
    let chunks = r#"(module (memory (export "memory") 1)
        (func $f (param i32 i32) (result i64) i64.const 0)
        (func (export "alloc") (param i32) (result i32) i32.const 0)
        (export "split" (func $f)) (export "execute" (func $f)) (export "merge" (func $f)))"#;
    for (name, text, run) in [
        ("m.wasm", command, "m.wasm -- ARGS\n"),
        (
            "_start.wasm",
            command,
            "_start.wasm --invoke _start -- ARGS\n",
        ),
        ("add.wasm", command, "add.wasm --invoke _start -- ARGS\n"),
        ("m.wasm", chunks, "m.wasm --stdin INPUT\n"),
        ("split.wasm", chunks, "split.wasm --stdin INPUT --wait\n"),
    ] {
        let said = said(name, &wat::parse_str(text).unwrap(), &[]);
        assert!(said.contains(run), "{name}: {said}");
    }
}

#[test]
fn what_cannot_be_run_says_why_and_what_to_do() {
    let modules = [
        r#"(module (import "env" "log" (func (param i32))) (func (export "f")))"#,
        r#"(module (memory 1 2 shared) (func (export "_start")))"#,
        r#"(module (func (export "f") (param v128)))"#,
        &COMMAND.replace("cli/run@0.2.3", "cli/run@0.3.0"),
    ];
    let facts = |text: &str| {
        let said = of_wat(text);
        let lines = said
            .lines()
            .filter(|line| line.contains("cannot run") || line.contains("hint"));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(modules.map(facts).join("\n\n"));
}

#[test]
fn names_write_nothing_on_the_terminal_and_lists_end() {
    let functions: String = (0..300)
        .map(|n| format!(r#"(func (export "f{n}\1b[2J"))"#))
        .collect();
    let said = of_wat(&format!("(module {functions})"));
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'));
    assert!(said.contains("f0\\u{1b}[2J"), "{said}");
    assert!(said.contains("\nand 44 more\n"), "{said}");
}

#[test]
fn a_path_that_a_shell_would_take_apart_is_quoted() {
    let module = wat::parse_str(r#"(module (func (export "f")))"#).unwrap();
    let said = said("it's here.wasm", &module, &[]);
    assert!(said.contains("it'\\''s here.wasm' --invoke f\n"), "{said}");
}

#[test]
fn every_file_that_cannot_be_described() {
    let cut = fs::read(guest("hello.wasm")).unwrap();
    let files: [(&str, &[u8]); 8] = [
        ("empty.wasm", b""),
        ("module.wat", b"(module)"),
        ("module.wasm.gz", b"\x1f\x8b\x08\0"),
        ("notes.txt", b"hello"),
        ("old.wasm", b"\0asm\x0a\0\x01\0"),
        ("head.wasm", b"\0asm"),
        ("cut.wasm", &cut[..cut.len() / 2]),
        ("wrong.wasm", b"\0asm\x01\0\0\0\x03\x02\x01\x07"),
    ];
    let pages = files.map(|(name, content)| said(name, content, &[]));
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("folder.wasm")).unwrap();
    let pages = ["nowhere.wasm", "folder.wasm"];
    let pages = pages.map(|name| inspect(&folder.path().join(name), &["--json"]).transcript());
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_file_that_is_too_large_is_not_read_to_its_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.wasm");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    insta::assert_snapshot!(inspect(&path, &[]).transcript());
}
