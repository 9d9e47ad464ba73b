//! Every way to fail, with its message, its causes and its hint.

use std::io::Write;
use std::net::TcpListener;

use crate::support::{Act, answer, run, run_at};

const NOBODY: &str = "http://127.0.0.1:9";

/// What a refusal with this status looks like.
fn refused(args: &[&str], status: u16) -> String {
    let problem = r#"{"type":"about:blank","title":"x","status":0,"detail":"the manager's words","error":"e"}"#;
    let (ran, _) = run(args, &[answer(status, problem)]);
    format!("{status}\n{}", ran.transcript())
}

#[test]
fn every_status_has_a_hint() {
    let create = ["tasks", "create", "add"];
    let pages = [400, 401, 403, 404, 409, 413, 429, 500].map(|status| refused(&create, status));
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn what_is_too_large_is_named() {
    let hint = |detail: &str| {
        let problem = format!(r#"{{"detail":"{detail}","error":"e"}}"#);
        let (ran, _) = run(&["tasks", "create", "add"], &[answer(413, &problem)]);
        ran.transcript()
    };
    let module = hint("the module is larger than 9 bytes, the limit MANAGER_UPLOAD_MAX");
    assert!(module.contains("make the module smaller"), "{module}");
    for limit in ["MANAGER_INLINE_MAX", "MANAGER_OBJECT_MAX"] {
        let input = hint(&format!("it is longer than 9 bytes, the limit {limit}"));
        assert!(input.contains("a shorter input"), "{input}");
        assert!(!input.contains("module"), "{input}");
    }
}

#[test]
fn proplets_and_health_have_hints_of_their_own() {
    let view = ["proplets", "view", "p"];
    let pages = [
        refused(&view, 404),
        refused(&view, 409),
        refused(&["health"], 404),
    ];
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn nobody_listens() {
    insta::assert_snapshot!(run_at(NOBODY, &["health"]).transcript());
}

#[test]
fn plain_http_to_another_machine_is_warned_of() {
    // Not a loopback address by its looks, and nobody's but ours.
    insta::assert_snapshot!(run_at("http://0.0.0.0:9", &["health"]).transcript());
}

#[test]
fn plain_http_where_https_is_expected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let ran = run_at(&format!("https://{address}"), &["--insecure", "health"]);
    insta::assert_snapshot!(ran.transcript());
}

#[test]
fn the_connection_breaks() {
    let ran = run(&["tasks", "start", "7"], &[Act::HangUp]).0;
    insta::assert_snapshot!(ran.transcript());
}

#[test]
fn the_answer_is_not_a_managers() {
    let page = run(&["tasks", "view", "7"], &[answer(200, "<html>")]).0;
    let moved = run(&["tasks", "view", "7"], &[answer(302, "")]).0;
    let state = run(
        &["tasks", "wait", "7"],
        &[answer(200, r#"{"id":"7","state":9}"#)],
    )
    .0;
    let base64 = run(
        &["tasks", "results", "7"],
        &[answer(200, r#"{"state":3,"stdout_base64":"?"}"#)],
    )
    .0;
    insta::assert_snapshot!(
        [page, moved, state, base64]
            .map(|ran| ran.transcript())
            .join("\n")
    );
}

#[test]
fn there_is_no_result_yet_or_ever() {
    let line = ["tasks", "results", "7"];
    let pages = [
        r#"{"results":null,"state":0}"#,
        r#"{"results":null,"state":2}"#,
        r#"{"results":null,"state":4,"error":"cipher: message authentication failed"}"#,
        r#"{"results":null,"state":6}"#,
    ];
    insta::assert_snapshot!(
        pages
            .map(|json| run(&line, &[answer(200, json)]).0.transcript())
            .join("\n")
    );
}

#[test]
fn a_task_that_was_only_half_made_is_named() {
    let file = tempfile::Builder::new()
        .prefix("add")
        .suffix(".wasm")
        .tempfile()
        .unwrap();
    let path = file.path().to_str().unwrap();
    let line = ["tasks", "create", "add", "--start", "--file", path];
    let task = r#"{"id":"7","name":"add","state":0,"app_name":"add.wasm"}"#;
    let no = answer(400, r#"{"error":"this is not WebAssembly"}"#);
    let broken = answer(500, r#"{"error":"the disk is full"}"#);
    let upload = run(&line, &[answer(201, task), broken]).0;
    let refused = run(&line, &[answer(201, task), no.clone()]).0;
    let start = run(&line, &[answer(201, task), answer(200, task), no]).0;
    let transcripts = [upload, refused, start]
        .map(|ran| ran.transcript())
        .join("\n");
    insta::assert_snapshot!(transcripts.replace(path, "FILE"));
}

#[test]
fn the_command_line_cannot_be_followed() {
    let bad = |args: &[&str]| run_at(NOBODY, args).transcript();
    let pages = [
        bad(&["tasks", "update", "7"]),
        bad(&["tasks", "upload", "7", "/nowhere.wasm"]),
        bad(&["tasks", "create", "add", "--file", "/"]),
        bad(&["tasks", "create", "add", "--stdin", "/nowhere"]),
        bad(&["--token", "two words", "health"]),
        bad(&["--token-file", "/nowhere", "health"]),
        bad(&["--ca-cert", "/nowhere.pem", "health"]),
        bad(&["--ca-cert", "/dev/null", "health"]),
    ];
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn addresses_that_cannot_be_a_managers() {
    let urls = [
        "localhost:7070",
        "ftp://host",
        "not an address",
        "http://user:s3cret@host:7070",
    ];
    let pages = urls
        .map(|url| run_at(url, &["health"]).transcript())
        .join("\n");
    assert!(!pages.contains("s3cret"));
    insta::assert_snapshot!(pages);
}
