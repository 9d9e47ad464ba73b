//! Limits that are met in other places than a guest's own loop: before it begins, in its segments,
//! in its second memory, in the host, and those of the engine.

use propeller_sandbox::{EngineConfig, Job, Runtime};

use crate::runtime::with;
use crate::support::{CONFIG, bound, check, job, line, run};

const MIB: u64 = 1024 * 1024;

/// More than any test burns.
const FUEL_ENDLESS: u64 = 1 << 60;

/// A call with little memory, and as much fuel as it likes.
fn small(text: &str, entry: &str) -> Job {
    let mut job = job(text, entry, &[]);
    job.limits.memory_bytes = bound(MIB);
    job.limits.fuel = bound(FUEL_ENDLESS);
    job
}

/// A module that does `body` when it is made, or when it is initialized.
fn early(how: &str, body: &str) -> String {
    let start = if how == "start" {
        "(start $early)"
    } else {
        "(export \"_initialize\" (func $early))"
    };
    format!(
        r#"(module (memory 1) (func $early {body}) {start}
          (func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
          (func (export "run")))"#
    )
}

#[tokio::test]
async fn limits_hold_before_the_first_call() {
    const SPIN: &str = "(loop $again (br $again))";
    const GROW: &str = "(loop $again (drop (memory.grow (i32.const 1))) (br $again))";
    const DIVE: &str = "(drop (call $deep (i32.const 0)))";
    for how in ["start", "_initialize"] {
        let mut burn = small(&early(how, SPIN), "run");
        burn.limits.fuel = bound(100_000);
        check(burn, "limit: fuel 100000 (set by task)").await;
        let mut wait = small(&early(how, SPIN), "run");
        wait.limits.wall_ms = bound(30);
        check(wait, "limit: wall clock 30 ms (set by task)").await;
        let grow = small(&early(how, GROW), "run");
        check(grow, "limit: memory 1048576 bytes (set by task)").await;
        let dive = small(&early(how, DIVE), "run");
        check(dive, "limit: stack 1048576 bytes (set by default)").await;
    }
}

#[tokio::test]
async fn the_stack_is_as_large_as_the_operator_says() {
    let text = r#"(module (func $dive (export "dive") (result i32)
        (i32.add (i32.const 1) (call $dive))))"#;
    for stack_bytes_max in [64 * 1024, 16 * 1024 * 1024] {
        let runtime = with(EngineConfig {
            stack_bytes_max,
            ..CONFIG
        });
        let exit = runtime.run(job(text, "dive", &[])).await;
        let limit = format!("limit: stack {stack_bytes_max} bytes (set by proplet)");
        assert_eq!(line(&exit), limit);
    }
}

#[tokio::test]
async fn a_second_memory_grows_into_the_same_limit() {
    let text = r#"
        (module (memory 8) (memory $second 1)
          (func (export "bomb")
            (loop $again
              (drop (memory.grow $second (i32.const 1)))
              (br $again))))
    "#;
    check(
        small(text, "bomb"),
        "limit: memory 1048576 bytes (set by task)",
    )
    .await;
}

#[tokio::test]
async fn tables_cannot_start_past_the_limit() {
    let text = r#"(module (table 200000 funcref) (func (export "run")))"#;
    check(
        small(text, "run"),
        "limit: memory 1048576 bytes (set by task)",
    )
    .await;
    let several = r#"
        (module (table 60000 funcref) (table 60000 externref) (memory 2)
          (func (export "run")))
    "#;
    check(
        small(several, "run"),
        "limit: memory 1048576 bytes (set by task)",
    )
    .await;
}

#[tokio::test]
async fn a_table_that_cannot_grow_further_is_the_guests_to_handle() {
    let text = r#"
        (module (table 1 2 funcref)
          (func (export "grow") (result i32)
            (table.grow 0 (ref.null func) (i32.const 2))))
    "#;
    check(small(text, "grow"), "-1").await;
}

#[tokio::test]
async fn segments_outside_of_what_they_fill_are_the_guests_traps() {
    let data = r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "run")))"#;
    let elements = r#"
        (module (table 1 funcref) (elem (i32.const 1) func $f) (func $f (export "run")))
    "#;
    for text in [data, elements] {
        let end = line(&run(small(text, "run")).await);
        assert!(
            end.starts_with("wasm trap: ") && end.contains("out of bounds"),
            "{end}"
        );
    }
}

#[tokio::test]
async fn data_needs_room_within_the_limit() {
    // The memory that the data fills is too large by a page.
    let text = r#"
        (module (memory 17) (data (i32.const 1048576) "ab") (func (export "run")))
    "#;
    check(
        small(text, "run"),
        "limit: memory 1048576 bytes (set by task)",
    )
    .await;
}

/// One instruction may be long: it costs what it does, before it does it.
#[tokio::test]
async fn bulk_instructions_are_paid_for_by_their_length() {
    let text = r#"
        (module (memory 16) (table 10000 funcref)
          (func (export "fill")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)))
          (func (export "copy")
            (memory.copy (i32.const 1) (i32.const 0) (i32.const 1048575)))
          (func (export "table")
            (table.fill 0 (i32.const 0) (ref.null func) (i32.const 10000))))
    "#;
    for entry in ["fill", "copy", "table"] {
        let mut job = small(text, entry);
        job.limits.memory_bytes = bound(2 * MIB);
        job.limits.fuel = bound(9000);
        check(job, "limit: fuel 9000 (set by task)").await;
    }
}

/// Waits for `$count` clocks at once.
const CLOCKS: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 15)
      (func (export "wait") (param $count i32) (result i32)
        (call $poll (i32.const 64) (i32.const 524288) (local.get $count) (i32.const 0))))
"#;

#[tokio::test]
async fn what_the_host_keeps_for_a_guest_is_counted_while_it_is_called() {
    let clocks = |count: &str| {
        let mut job = job(CLOCKS, "wait", &[count]);
        job.limits.handles = bound(100);
        job
    };
    // All of its memory is zeroes, which is a clock that rings at once. Each takes two handles, and
    // the streams take some.
    check(clocks("40"), "0").await;
    check(clocks("60"), "limit: open handles 100 (set by task)").await;
}

/// 48 is `nomem`.
#[tokio::test]
async fn what_one_call_makes_the_host_copy_is_bounded() {
    let text = CLOCKS.replace("15)", "2000)");
    let mut job = job(&text, "wait", &["400000"]);
    job.limits.fuel = bound(FUEL_ENDLESS);
    check(job, "48").await;
}

#[tokio::test]
async fn one_write_does_not_get_past_the_limit_of_the_output() {
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 16)
          (func (export "_start")
            (i32.store (i32.const 4) (i32.const 1000000))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
    "#;
    let mut job = job(text, "_start", &[]);
    job.limits.stdout_bytes = bound(999_999);
    let end = run(job).await;
    assert_eq!(line(&end), "limit: stdout 999999 bytes (set by task)");
    assert_eq!(end.expect("a limit is an exit").stdout.len(), 999_999);
}

/// Its function is long enough that no compiler is done with it at once.
pub(crate) fn long() -> Job {
    let body = "(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(5000);
    let text = format!(r#"(module (func (export "run") (param i32) {body}))"#);
    job(&text, "run", &["1"])
}

#[tokio::test]
async fn a_module_may_have_as_many_bytes_as_the_operator_says() {
    let module = long();
    let len = module.wasm.len() as u64;
    let of = |module_bytes_max| {
        with(EngineConfig {
            module_bytes_max,
            ..CONFIG
        })
    };
    let end = line(&of(len).run(module.clone()).await);
    assert_eq!(end, "nothing");
    let end = line(&of(len - 1).run(module).await);
    let limit = len - 1;
    let refused =
        format!("error: limit: module size {limit} bytes (set by proplet): the module has {len}");
    assert_eq!(end, refused);
}
