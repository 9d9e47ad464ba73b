//! Reports about small modules and components, line by line.

use propeller_inspect::{Report, Verdict, inspect};

/// A component as a toolchain makes them: standard streams, a file system, `wasi:cli/run`.
const COMMAND: &str = include_str!("command.wat");

/// A report as text, so that a test reads like one.
fn shown(report: &Report) -> String {
    let Report {
        format,
        role,
        chunked,
        memory,
        ..
    } = report;
    let mut lines = vec![format!("{} {}", format.word(), role.word())];
    if *chunked {
        lines.push("chunked".to_owned());
    }
    let maximum = memory.maximum_bytes.map(|bytes| bytes.to_string());
    lines.push(format!(
        "memory {}..{}",
        memory.minimum_bytes,
        maximum.unwrap_or_default()
    ));
    for import in &report.imports.items {
        let from = import.from.as_deref().unwrap_or("-");
        let no = if import.offered { "" } else { " (missing)" };
        lines.push(format!("import {from} {}: {}{no}", import.name, import.ty));
    }
    for export in &report.exports.items {
        let callable = if export.callable { " (callable)" } else { "" };
        lines.push(format!("export {}: {}{callable}", export.name, export.ty));
    }
    for need in &report.needs {
        let word = need.capability.word();
        let standing = need.capability.standing().word();
        lines.push(format!(
            "{word} {standing}: {}",
            need.imports.items.join(" ")
        ));
    }
    match &report.verdict {
        Verdict::Runs(call) => {
            let line = call.command_line("FILE");
            lines.push(line.replace("propeller run FILE ", "run "));
        }
        Verdict::Refused(obstacles) => {
            lines.extend(obstacles.iter().map(|obstacle| format!("no: {obstacle}")));
        }
    }
    lines.join("\n")
}

fn of_wat(text: &str) -> String {
    let bytes = wat::parse_str(text).expect("the test's text is right");
    shown(&inspect(&bytes).expect("it is valid"))
}

fn check(text: &str, expected: &str) {
    assert_eq!(of_wat(text), expected, "{text}");
}

#[test]
fn a_module_that_has_nothing_does_nothing() {
    check(
        "(module)",
        "core library\nmemory 0..0\n\
         no: it exports no function whose arguments can be written as text",
    );
}

#[test]
fn size_and_digest_are_the_files() {
    let report = inspect(b"\0asm\x01\0\0\0").unwrap();
    assert_eq!(report.size_bytes, 8);
    assert_eq!(
        report.digest.to_string(),
        "sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
    );
}

#[test]
fn a_library_is_called_by_name() {
    check(
        r#"(module (func (export "add") (param i32 i64) (result i32) local.get 0))"#,
        "core library\nmemory 0..0\n\
         export add: func(i32, i64) -> i32 (callable)\n\
         run --invoke add -- I32 I64",
    );
}

#[test]
fn the_plumbing_of_compilers_is_not_suggested() {
    check(
        r#"(module (func (export "__wasm_call_ctors")) (func (export "malloc") (param i32) (result i32) local.get 0)
            (func (export "work")) (func (export "more")))"#,
        "core library\nmemory 0..0\n\
         export __wasm_call_ctors: func() (callable)\n\
         export malloc: func(i32) -> i32 (callable)\n\
         export work: func() (callable)\n\
         export more: func() (callable)\n\
         run --invoke work",
    );
}

#[test]
fn a_name_that_a_shell_would_take_apart_is_not_suggested() {
    check(
        r#"(module (func (export "a; b") (param i32)))"#,
        "core library\nmemory 0..0\nexport a; b: func(i32) (callable)\nrun --invoke NAME -- ARGS",
    );
}

#[test]
fn a_command_with_every_kind_of_need() {
    insta::assert_snapshot!(of_wat(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
          (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_shutdown" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory (export "memory") 2)
        (func (export "_start")))"#
    ));
}

#[test]
fn a_reactor_is_initialised_and_called() {
    check(
        r#"(module (func (export "_initialize")) (func (export "run") (result f64) f64.const 1))"#,
        "core reactor\nmemory 0..0\n\
         export _initialize: func() (callable)\n\
         export run: func() -> f64 (callable)\n\
         run --invoke run",
    );
}

#[test]
fn an_entry_point_of_another_type_makes_no_command() {
    check(
        r#"(module (func (export "_start") (param i32)))"#,
        "core library\nmemory 0..0\nexport _start: func(i32) (callable)\nrun --invoke _start -- I32",
    );
}

#[test]
fn what_propeller_does_not_offer_is_named() {
    check(
        r#"(module
        (import "env" "log" (func (param i32)))
        (import "env" "memory" (memory 1 2))
        (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))
        (import "wasi_unstable" "proc_exit" (func (param i32)))
        (func (export "f")))"#,
        "core library\nmemory 0..0\n\
         import env log: func(i32) (missing)\n\
         import env memory: memory 1..2 pages (missing)\n\
         import wasi_snapshot_preview1 fd_close: func(i64) -> i32 (missing)\n\
         import wasi_unstable proc_exit: func(i32) (missing)\n\
         export f: func() (callable)\n\
         no: it imports env.log and 3 more that Propeller does not offer",
    );
}

#[test]
fn memories_tables_globals_and_tags_have_limits_and_types() {
    check(
        r#"(module
        (memory (export "small") 1 2) (memory (export "large") 3)
        (table (export "t") 1 10 funcref) (table (export "u") 0 externref)
        (global (export "g") i32 (i32.const 1)) (global (export "h") (mut f64) (f64.const 1))
        (func (export "pair") (param v128) (result i32 i64) i32.const 1 i64.const 2))"#,
        "core library\nmemory 262144..\n\
         export small: memory 1..2 pages\n\
         export large: memory 3.. pages\n\
         export t: table 1..10 funcref\n\
         export u: table 0.. externref\n\
         export g: global i32\n\
         export h: global mut f64\n\
         export pair: func(v128) -> (i32, i64)\n\
         no: it exports no function whose arguments can be written as text",
    );
}

#[test]
fn a_proposal_that_is_switched_off_is_named() {
    let refused = |text, proposal: &str| {
        let report = of_wat(text);
        let line = format!("no: it uses {proposal}, which Propeller has switched off");
        assert!(report.ends_with(&line), "{report}");
    };
    refused(
        r#"(module (memory (export "m") 1 2 shared) (func (export "f")))"#,
        "threads",
    );
    refused(
        r#"(module (memory (export "m") i64 1) (func (export "f")))"#,
        "memory64",
    );
    refused(
        r#"(module (tag (export "t") (param i32)) (func (export "f")))"#,
        "exceptions",
    );
    refused(r#"(module (type (struct)) (func (export "f")))"#, "gc");
}

#[test]
fn a_job_in_chunks_is_recognised() {
    let text = r#"(module (func $f (param i32 i32) (result i64) i64.const 0)
        (func (export "alloc") (param i32) (result i32) i32.const 0) (memory (export "memory") 1)
        (export "split" (func $f)) (export "execute" (func $f)) (export "merge" (func $f)))"#;
    check(
        text,
        "core library\nchunked\nmemory 65536..\n\
         export alloc: func(i32) -> i32 (callable)\n\
         export memory: memory 1.. pages\n\
         export split: func(i32, i32) -> i64 (callable)\n\
         export execute: func(i32, i32) -> i64 (callable)\n\
         export merge: func(i32, i32) -> i64 (callable)\n\
         run --stdin INPUT",
    );
    for part in ["alloc", "memory", "merge"] {
        let other = text.replace(&format!("\"{part}\""), "\"other\"");
        assert!(!of_wat(&other).contains("chunked"), "{part}");
    }
}

#[test]
fn a_component_that_is_a_command() {
    insta::assert_snapshot!(of_wat(COMMAND));
}

#[test]
fn a_component_for_another_wasi_waits_for_it() {
    let report = of_wat(&COMMAND.replace("wasi:cli/run@0.2.3", "wasi:cli/run@0.3.0"));
    let line = "no: it is made for wasi:cli/run@0.3.0, and Propeller has version 0.2";
    assert!(report.ends_with(line), "{report}");
}

#[test]
fn a_component_that_is_a_service() {
    check(
        r#"(component
        (import "wasi:http/types@0.2.3" (instance
          (export "incoming-request" (type (sub resource)))))
        (import "wasi:http/outgoing-handler@0.2.3" (instance (export "handle" (func))))
        (component $handler)
        (instance $handler (instantiate $handler))
        (export "wasi:http/incoming-handler@0.2.3" (instance $handler)))"#,
        "component service\nmemory 0..0\n\
         import - wasi:http/types@0.2.3: instance\n\
         import wasi:http/outgoing-handler@0.2.3 handle: func()\n\
         outgoing-http withheld: wasi:http/outgoing-handler@0.2.3\n\
         propeller tasks create NAME --file FILE --daemon --grant-port PORT --start",
    );
}

#[test]
fn a_component_that_is_a_library() {
    insta::assert_snapshot!(of_wat(include_str!("library.wat")));
}

#[test]
fn texts_keep_their_quotes_in_a_suggestion() {
    let text = r#"(component
        (core module $m (func (export "f") (param i32 i32 i32 i32) (result i32) i32.const 0)
          (memory (export "m") 1)
          (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $f (param "first-name" string) (param "initial" char) (param "age" u8) (result u32)
          (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r"))))
        (export "f" (func $f)))"#;
    let report = of_wat(text);
    let line = r#"run --invoke f -- '"FIRST-NAME"' "'INITIAL'" AGE"#;
    assert!(report.ends_with(line), "{report}");
}

#[test]
fn what_a_component_imports_and_propeller_does_not_offer_is_named() {
    check(
        r#"(component
        (import "log" (func (param "line" string)))
        (import "my:own/store@1.0.0" (instance
          (export "get" (func (param "key" string) (result (option string))))))
        (import "my:own/names@1.0.0" (instance
          (type $t u32) (export "id" (type (eq $t))))))"#,
        "component library\nmemory 0..0\n\
         import - log: func(line: string) (missing)\n\
         import my:own/store@1.0.0 get: func(key: string) -> option<string> (missing)\n\
         import - my:own/names@1.0.0: instance\n\
         no: it imports log and 1 more that Propeller does not offer",
    );
}
