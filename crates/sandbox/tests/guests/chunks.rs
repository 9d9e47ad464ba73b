//! Jobs in chunks: `split`, `execute` and `merge`, all of them or one.

use std::io::Write;

use bytes::Bytes;
use propeller_sandbox::{Entry, Job, Limit, Status};

use crate::support::{bound, check, exit, job_of, line, run};

const TALLY: &str = include_str!("tally.wat");

/// A job with this module, entry and input.
fn chunked(text: &str, entry: &str, input: &[u8]) -> Job {
    let job = job_of(wat::parse_str(text).expect("the test's module is well-formed"));
    Job {
        entry: match entry {
            "" => Entry::Default {
                hint: "a task".to_owned(),
            },
            name => Entry::Named(name.to_owned()),
        },
        stdin: Bytes::copy_from_slice(input).into(),
        ..job
    }
}

#[tokio::test]
async fn the_input_is_split_executed_and_merged() {
    for (input, count) in [
        (&b"banana split"[..], b"3"),
        (b"", b"0"),
        (b"aaaaaaaa", b"8"),
    ] {
        let exit = exit(chunked(TALLY, "", input)).await;
        assert_eq!((exit.status, exit.result), (Status::Returned, None));
        assert_eq!(exit.stdout, count);
        assert_eq!(exit.usage.output_bytes, 1);
    }
}

#[tokio::test]
async fn an_input_by_a_pipe_is_split_executed_and_merged() {
    let (read, mut write) = std::io::pipe().expect("there are pipes");
    write.write_all(b"banana split").expect("there is room");
    drop(write);
    let mut piped = chunked(TALLY, "", b"");
    piped.stdin = read.into();
    let exit = exit(piped).await;
    assert_eq!(exit.stdout, b"3");
    assert_eq!(exit.usage.input_bytes, 0);
}

#[tokio::test]
async fn each_function_takes_its_bytes_and_gives_its_own() {
    for (function, input, output) in [
        (
            "split",
            &b"abcdef"[..],
            &b"\x02\0\0\0\x04\0\0\0abcd\x02\0\0\0ef"[..],
        ),
        ("execute", b"papaya", b"\x03\0\0\0"),
        (
            "merge",
            b"\x02\0\0\0\x04\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\0\0",
            b"4",
        ),
    ] {
        let exit = exit(chunked(TALLY, function, input)).await;
        assert_eq!(exit.stdout, output, "{function}");
    }
}

#[tokio::test]
async fn with_arguments_they_are_functions_of_numbers() {
    let mut job = chunked(TALLY, "execute", b"");
    job.args = vec!["0".to_owned(), "0".to_owned()];
    check(job, "4").await;
}

/// A module whose `split` gives what stands at 16, as many bytes as `len`.
fn giving(at: i64, len: i64, data: &str) -> String {
    let packed = (at << 32) | len;
    format!(
        r#"(module
          (memory (export "memory") 1)
          (data (i32.const 16) "{data}")
          (func (export "alloc") (param i32) (result i32) (i32.const 1024))
          (func (export "split") (param i32 i32) (result i64) (i64.const {packed}))
          (func (export "execute") (param i32 i32) (result i64) (i64.const {packed}))
          (func (export "merge") (param i32 i32) (result i64) (i64.const {packed})))"#
    )
}

#[tokio::test]
async fn what_is_no_list_and_no_place_ends_the_guest() {
    let out = "wasm trap: out of bounds memory access";
    for (text, ended) in [
        (
            giving(16, 3, ""),
            "`split` gave no list of chunks: it ends within a number",
        ),
        (
            giving(16, 8, r"\01\00\00\00\09"),
            "`split` gave no list of chunks: chunk 0 is longer than the list",
        ),
        (
            giving(16, 5, ""),
            "`split` gave no list of chunks: 1 bytes follow its last chunk",
        ),
        (giving(65_536, 1, ""), out),
        (giving(0, 0xffff_ffff, ""), out),
    ] {
        check(chunked(&text, "", b"x"), ended).await;
    }
    // Room that is not there.
    let outside = giving(0, 4, "").replace("(i32.const 1024)", "(i32.const 65536)");
    check(chunked(&outside, "", b"x"), out).await;
}

#[tokio::test]
async fn limits_hold_for_jobs_in_chunks() {
    let mut wordy = chunked(TALLY, "split", b"aaaa");
    wordy.limits.stdout_bytes = bound(5);
    check(wordy, "limit: stdout 5 bytes (set by task)").await;
    let mut slow = chunked(TALLY, "", &[b'a'; 400]);
    slow.limits.fuel = bound(1000);
    check(slow, "limit: fuel 1000 (set by task)").await;
    // Two chunks, and for each of them more than the host may keep.
    let list = r"\02\00\00\00\00\00\00\00\00\00\00\00";
    let large = giving(16, 12, list).replacen(
        &format!("(i64.const {})", (16_i64 << 32) | 12),
        "(i64.const LIST)",
        1,
    );
    let large = large
        .replace(
            &format!("(i64.const {})", (16_i64 << 32) | 12),
            "(i64.const 65536)",
        )
        .replace("LIST", &format!("{}", (16_i64 << 32) | 12));
    let mut kept = chunked(&large, "", b"x");
    kept.limits.memory_bytes = bound(65_536 + 100);
    check(kept, "limit: memory 65636 bytes (set by task)").await;
}

/// A job whose `split` gives nearly 200 MB, in so much time.
fn gives_much(wall_ms: u64) -> Job {
    let much = giving(0, 196_608_000, "").replace("\"memory\") 1)", "\"memory\") 3000)");
    let mut job = chunked(&much, "split", b"");
    job.limits.memory_bytes = bound(1 << 30);
    job.limits.wall_ms = bound(wall_ms);
    job
}

#[tokio::test]
async fn a_guest_whose_time_is_over_has_no_more_copied() {
    let whole = exit(gives_much(60_000)).await;
    // All of it was copied, and is more than may be printed.
    let Status::LimitHit(hit) = whole.status else {
        panic!("{:?}", whole.status);
    };
    assert_eq!(hit.limit, Limit::Stdout);
    let hurried = exit(gives_much(1)).await;
    let Status::LimitHit(hit) = hurried.status else {
        panic!("{:?}", hurried.status);
    };
    assert_eq!(hit.limit, Limit::WallClock);
    let (whole, hurried) = (whole.usage.cpu_us, hurried.usage.cpu_us);
    assert!(hurried < whole / 2, "{hurried} us of {whole} us");
}

#[tokio::test]
async fn a_module_of_another_shape_is_what_it_was() {
    let other = TALLY.replace("(export \"alloc\")", "");
    let refused = line(&run(chunked(&other, "", b"x")).await);
    let none = "error: no function `a task` is exported; exported functions: ";
    assert!(refused.starts_with(none), "{refused}");
    check(
        chunked(&other, "execute", b"x"),
        "error: function `execute` takes 2 arguments (i32, i32), not 0",
    )
    .await;
}
