//! Waiting for a pipe beside a clock: where a guest is not alone in its process.

use std::io::{self, Write};
use std::time::Duration;

use propeller_sandbox::Runtime;

use crate::support::{bound, job, line, runtime};

/// Waits for its input or a clock of 30 ms, and gives how many were ready, and the kind of the first:
/// 0 is the clock, 1 the input. Then waits for its input alone.
const WAITS: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func $wait (param $number i32) (result i32)
        (drop (call $poll (i32.const 0) (i32.const 256) (local.get $number) (i32.const 512)))
        (i32.add
          (i32.mul (i32.load (i32.const 512)) (i32.const 10))
          (i32.load8_u (i32.const 266))))
      (func (export "wait") (result i32 i32 i32)
        ;; Descriptor 0, to be read; then the monotonic clock.
        (i32.store8 (i32.const 8) (i32.const 1))
        (i32.store (i32.const 64) (i32.const 1))
        (i64.store (i32.const 72) (i64.const 30000000))
        (call $wait (i32.const 2))
        (call $wait (i32.const 1))
        (i32.store (i32.const 1024) (i32.const 2048))
        (i32.store (i32.const 1028) (i32.const 100))
        (drop (call $fd_read (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1032)))
        (i32.load (i32.const 1032))))
"#;

#[tokio::test]
async fn a_clock_goes_on_while_a_pipe_is_waited_for() {
    let runtime = runtime();
    let (read, mut write) = io::pipe().expect("there are pipes");
    let mut waits = job(WAITS, "wait", &[]);
    waits.stdin = read.into();
    let fed = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        write.write_all(b"seven").expect("the guest waits");
        drop(write);
    };
    let (end, ()) = tokio::join!(runtime.run(waits), fed);
    assert_eq!(line(&end), "10 11 5");
}

#[tokio::test]
async fn a_guest_that_polls_its_input_runs_out_of_time() {
    let (read, write) = io::pipe().expect("there are pipes");
    let mut waits = job(WAITS, "wait", &[]);
    waits.stdin = read.into();
    waits.limits.wall_ms = bound(100);
    let end = runtime().run(waits).await;
    assert_eq!(line(&end), "limit: wall clock 100 ms (set by task)");
    drop(write);
}
