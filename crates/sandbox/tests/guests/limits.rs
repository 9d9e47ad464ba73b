//! Guests that take more than they may have, each ended by the limit that says so.

use propeller_sandbox::{Job, Runtime, Status};
use tokio::task::JoinSet;

use crate::support::{bound, check, exit, job, line, runtime, until};

const SPIN: &str = r#"(module (func (export "spin") (loop $again (br $again))))"#;

/// Sleeps for an hour.
const SLEEP: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
"#;

/// Prints forever, to the descriptor that it is given.
const FLOOD: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "flood") (param $fd i32)
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 1024))
        (loop $again
          (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again))))
"#;

/// More than any test burns.
const FUEL_ENDLESS: u64 = 1 << 60;

/// A guest that only something other than fuel ends.
fn endless(text: &str, entry: &str) -> Job {
    let mut job = job(text, entry, &[]);
    job.limits.fuel = bound(FUEL_ENDLESS);
    job
}

#[tokio::test]
async fn a_loop_runs_out_of_fuel() {
    let mut job = job(SPIN, "spin", &[]);
    job.limits.fuel = bound(100_000);
    let end = runtime().run(job).await;
    assert_eq!(line(&end), "limit: fuel 100000 (set by task)");
    let used = end.expect("a limit is an exit").usage.fuel;
    assert!((99_000..=100_000).contains(&used), "{used}");
}

#[tokio::test]
async fn a_loop_runs_out_of_time() {
    let mut job = endless(SPIN, "spin");
    job.limits.wall_ms = bound(30);
    check(job, "limit: wall clock 30 ms (set by task)").await;
}

#[tokio::test]
async fn a_sleeper_runs_out_of_time() {
    let mut job = endless(SLEEP, "_start");
    job.limits.wall_ms = bound(30);
    check(job, "limit: wall clock 30 ms (set by task)").await;
}

#[tokio::test]
async fn more_loops_than_threads_all_run_out_of_time() {
    let runtime = std::sync::Arc::new(runtime());
    let mut guests = JoinSet::new();
    for _ in 0..8 {
        let runtime = std::sync::Arc::clone(&runtime);
        let mut job = endless(SPIN, "spin");
        job.limits.wall_ms = bound(30);
        guests.spawn(async move { line(&runtime.run(job).await) });
    }
    for end in guests.join_all().await {
        assert_eq!(end, "limit: wall clock 30 ms (set by task)");
    }
}

#[tokio::test]
async fn dropping_the_future_ends_the_guest() {
    let runtime = runtime();
    for job in [endless(SPIN, "spin"), endless(SLEEP, "_start")] {
        tokio::select! {
            end = runtime.run(job) => panic!("an endless guest ended: {end:?}"),
            () = until(|| runtime.running() == 1) => {}
        }
        until(|| runtime.running() == 0).await;
    }
}

#[tokio::test]
async fn a_runtime_may_be_dropped_from_asynchronous_code_after_a_guest_was_aborted() {
    let runtime = runtime();
    tokio::select! {
        end = runtime.run(endless(SPIN, "spin")) => panic!("an endless guest ended: {end:?}"),
        () = until(|| runtime.running() == 1) => {}
    }
    drop(runtime);
}

#[tokio::test]
async fn memory_cannot_grow_past_the_limit() {
    let text = r#"
        (module (memory 1)
          (func (export "bomb")
            (loop $again (drop (memory.grow (i32.const 16))) (br $again))))
    "#;
    let mut job = job(text, "bomb", &[]);
    job.limits.memory_bytes = bound(4 * 1024 * 1024);
    let end = runtime().run(job).await;
    assert_eq!(line(&end), "limit: memory 4194304 bytes (set by task)");
    let peak = end.expect("a limit is an exit").usage.memory_peak_bytes;
    assert_eq!(peak, (1 + 3 * 16) * 64 * 1024);
}

#[tokio::test]
async fn memory_cannot_start_past_the_limit() {
    let text = r#"(module (memory 8192) (func (export "run")))"#;
    check(
        job(text, "run", &[]),
        "limit: memory 268435456 bytes (set by default)",
    )
    .await;
}

#[tokio::test]
async fn several_memories_share_the_limit() {
    let text = r#"(module (memory 3000) (memory 3000) (func (export "run")))"#;
    check(
        job(text, "run", &[]),
        "limit: memory 268435456 bytes (set by default)",
    )
    .await;
}

#[tokio::test]
async fn tables_count_as_memory() {
    let text = r#"
        (module (table 1 funcref)
          (func (export "bomb")
            (loop $again
              (drop (table.grow 0 (ref.null func) (i32.const 10000)))
              (br $again))))
    "#;
    let mut job = job(text, "bomb", &[]);
    job.limits.memory_bytes = bound(1024 * 1024);
    check(job, "limit: memory 1048576 bytes (set by task)").await;
}

#[tokio::test]
async fn growth_past_its_own_maximum_is_the_guests_to_handle() {
    let text = r#"
        (module (memory 1 2)
          (func (export "grow") (result i32) (memory.grow (i32.const 2))))
    "#;
    check(job(text, "grow", &[]), "-1").await;
}

#[tokio::test]
async fn impossible_growth_does_not_hide_what_was_taken() {
    // Growing by 65536 pages can never succeed and is reported as a failure without a question;
    // it must not give back what the growth before it took.
    let text = r#"
        (module (memory 1)
          (func (export "bomb")
            (loop $again
              (drop (memory.grow (i32.const 16)))
              (drop (memory.grow (i32.const 65536)))
              (br $again))))
    "#;
    let mut job = job(text, "bomb", &[]);
    job.limits.memory_bytes = bound(4 * 1024 * 1024);
    check(job, "limit: memory 4194304 bytes (set by task)").await;
}

#[tokio::test]
async fn recursion_ends_at_the_stack_of_the_engine() {
    let text = r#"
        (module
          (func $dive (export "dive") (param i32) (result i32)
            (i32.add (i32.const 1) (call $dive (i32.add (local.get 0) (i32.const 1))))))
    "#;
    check(
        job(text, "dive", &["0"]),
        "limit: stack 1048576 bytes (set by default)",
    )
    .await;
    let mut other = job(text, "dive", &["0"]);
    other.limits.stack_bytes = bound(1000);
    check(other, "limit: stack 1048576 bytes (set by proplet)").await;
}

#[tokio::test]
async fn a_flood_of_output_ends_the_guest_and_is_kept_up_to_the_limit() {
    let mut job = job(FLOOD, "flood", &["1"]);
    job.limits.stdout_bytes = bound(10_000);
    let exit = exit(job).await;
    let Status::LimitHit(hit) = exit.status else {
        panic!("a flood hits the limit: {:?}", exit.status);
    };
    assert_eq!(hit.to_string(), "limit: stdout 10000 bytes (set by task)");
    assert_eq!(exit.stdout.len(), 10_000);
    assert_eq!(exit.stderr.len(), 0);
}

#[tokio::test]
async fn both_outputs_have_their_own_limit() {
    let mut job = job(FLOOD, "flood", &["2"]);
    job.limits.stderr_bytes = bound(10_000);
    check(job, "limit: stderr 10000 bytes (set by task)").await;
}

#[tokio::test]
async fn results_are_bounded_as_text() {
    let text = r#"(module (func (export "big") (result i32) (i32.const 12345)))"#;
    let mut fits = job(text, "big", &[]);
    fits.limits.result_bytes = bound(5);
    check(fits, "12345").await;
    let mut cut = job(text, "big", &[]);
    cut.limits.result_bytes = bound(4);
    check(cut, "limit: result 4 bytes (set by task)").await;
}
