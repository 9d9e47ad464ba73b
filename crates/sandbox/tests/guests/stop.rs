//! Guests that nobody waits for any more: whatever they do, they are gone.

use std::time::{Duration, Instant};

use propeller_sandbox::{Entry, Job, Runtime};

use crate::parts::{COPIED_PAGES, copies};
use crate::support::{bound, job, runtime, until};

/// A stop is meant to take less than 50 ms. Tests run beside others and in debug builds.
const SOON: Duration = Duration::from_millis(250);

/// How often a guest may be gone later than that before it is taken for more than the machine's doing.
const TRIES: usize = 10;

/// One guest for each way to be busy. None of them ends by itself.
const BUSY: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get"
        (func $random_get (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "sched_yield"
        (func $sched_yield (result i32)))
      (memory (export "memory") 3000)
      (table 2000000 funcref)
      (func (export "a tight loop")
        (loop $again (br $again)))
      (elem declare func $even)
      (func $even (param i32)
        (return_call $odd (local.get 0)))
      (func $odd (param i32)
        (return_call $even (local.get 0)))
      (func (export "tail calls")
        (return_call $even (i32.const 0)))
      ;; Nearly 200 MiB at once, again and again.
      (func (export "filling memory")
        (loop $again
          (memory.fill (i32.const 0) (i32.const 1) (i32.const 196608000))
          (br $again)))
      (func (export "copying memory")
        (loop $again
          (memory.copy (i32.const 1) (i32.const 0) (i32.const 196607999))
          (br $again)))
      (func (export "filling a table")
        (loop $again
          (table.fill (i32.const 0) (ref.func $even) (i32.const 2000000))
          (br $again)))
      ;; An hour.
      (func (export "asleep")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
      ;; All of standard input is there from the start, so that no read can block; but one may
      ;; read at the end for ever.
      (func (export "reading")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 1024))
        (loop $again
          (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again)))
      ;; A mebibyte at once, which is the most.
      (func (export "drawing randomness")
        (loop $again
          (drop (call $random_get (i32.const 0) (i32.const 1048576)))
          (br $again)))
      (func (export "yielding")
        (loop $again
          (drop (call $sched_yield))
          (br $again))))
"#;

/// 16 MiB of text at one go, again and again: the longest that a guest computes without a look.
const PARTS: &str = "copying between parts";

/// A job in chunks, of which each gives nearly 200 MB, which are copied and kept. It ends when its
/// memory does, after ten.
const CHUNKS: &str = "giving chunks";

const GIVES: &str = r#"
    (module
      (memory (export "memory") 3000)
      ;; A list of 255 chunks without bytes.
      (data (i32.const 0) "\ff\00\00\00")
      (func (export "alloc") (param i32) (result i32) (i32.const 0))
      (func (export "split") (param i32 i32) (result i64) (i64.const 1024))
      (func (export "execute") (param i32 i32) (result i64) (i64.const 196608000))
      (func (export "merge") (param i32 i32) (result i64) (i64.const 0)))
"#;

const WAYS: [&str; 11] = [
    "a tight loop",
    "tail calls",
    "filling memory",
    "copying memory",
    "filling a table",
    "asleep",
    "reading",
    "drawing randomness",
    "yielding",
    PARTS,
    CHUNKS,
];

fn busy(way: &str) -> Job {
    let mut job = match way {
        PARTS => copies(COPIED_PAGES, "4000000000"),
        CHUNKS => Job {
            // Nothing in it has the task's name, so that all of it is meant.
            entry: Entry::Default {
                hint: "a task".to_owned(),
            },
            ..job(GIVES, "", &[])
        },
        way => job(BUSY, way, &[]),
    };
    // More than any test burns.
    job.limits.fuel = bound(1 << 60);
    if way == CHUNKS {
        job.limits.memory_bytes = bound(2 << 30);
    }
    job
}

/// Drops a guest that is busy in that `way`; how long it took until it was gone.
async fn stop(way: &str) -> Duration {
    let runtime = runtime();
    let mut guest = runtime.run(busy(way));
    tokio::select! {
        end = &mut guest => panic!("{way}: an endless guest ended: {end:?}"),
        () = until(|| runtime.running() == 1) => {}
    }
    let stopped = Instant::now();
    drop(guest);
    until(|| runtime.running() == 0).await;
    stopped.elapsed()
}

#[tokio::test]
async fn whatever_a_guest_does_it_can_be_stopped() {
    for way in WAYS {
        let mut times = Vec::new();
        while times.last().is_none_or(|time| *time >= SOON) {
            assert!(times.len() < TRIES, "{way}: {times:?}");
            times.push(stop(way).await);
        }
    }
}

/// `cargo test --release -p propeller-sandbox -- --ignored --nocapture how_long_stopping`
#[tokio::test]
#[ignore = "a measurement: run it alone, in release"]
async fn how_long_stopping_takes() {
    const ROUNDS: usize = 50;
    for way in WAYS {
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            times.push(stop(way).await);
        }
        times.sort_unstable();
        let at = |percent: usize| times[(ROUNDS - 1) * percent / 100].as_micros();
        let (half, most, all) = (at(50), at(95), at(100));
        println!("{way}: from drop to gone p50 {half} us, p95 {most} us, max {all} us");
    }
}
