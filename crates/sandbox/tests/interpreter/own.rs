//! What the interpreter does in its own way: turns, start functions, its cache and its refusals.

use bytes::Bytes;
use propeller_sandbox::{RunError, Runtime, Status};

use crate::support::{bound, check, exit, job, job_of, run, runtime};

const HELLO: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/guests/hello.wasm"
);

#[tokio::test]
async fn a_program_from_a_compiler_runs() {
    let mut hello = job_of(std::fs::read(HELLO).expect("the guest is checked in"));
    hello.args = vec!["Ada".to_owned()];
    hello.stdin = Bytes::from_static(b"input").into();
    let exit = exit(hello).await;
    assert_eq!(exit.status, Status::Exited(0));
    let stdout = String::from_utf8(exit.stdout).expect("the guest prints text");
    assert!(stdout.contains("Ada"), "{stdout}");
}

#[tokio::test]
async fn a_start_function_is_stopped_like_any_other() {
    let text = r#"
        (module (func $spin (loop $again (br $again))) (start $spin) (func (export "run")))
    "#;
    let mut burns = job(text, "run", &[]);
    burns.limits.fuel = bound(1_000_000);
    check(burns, "limit: fuel 1000000 (set by task)").await;
    let mut hangs = job(text, "run", &[]);
    hangs.limits.fuel = bound(1 << 60);
    hangs.limits.wall_ms = bound(30);
    check(hangs, "limit: wall clock 30 ms (set by task)").await;
}

#[tokio::test]
async fn a_start_function_runs_first_and_is_no_export() {
    let text = r#"
        (module
          (global $at (mut i32) (i32.const 1))
          (func $start (global.set $at (i32.mul (i32.const 10) (global.get $at))))
          (func (export "_initialize") (global.set $at (i32.add (i32.const 2) (global.get $at))))
          (func (export "at") (result i32) (global.get $at))
          (start $start))
    "#;
    check(job(text, "at", &[]), "12").await;
    check(
        job(text, "start 0", &[]),
        "error: no function `start 0` is exported; exported functions: _initialize, at",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_module_with_a_start_function_is_refused_for_what_it_is() {
    let text = r#"(module (func $start (param i32)) (start $start) (func (export "run")))"#;
    let refused = run(job(text, "run", &[])).await;
    assert!(
        matches!(refused, Err(RunError::Invalid { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn memory_that_grows_in_several_turns_counts_once() {
    // Each growth costs most of a turn's fuel, so that every other one is asked for twice.
    let text = r#"
        (module (memory 0)
          (func (export "grow") (result i32) (local $n i32)
            (loop $again
              (drop (memory.grow (i32.const 64)))
              (br_if $again
                (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 8))))
            (memory.size)))
    "#;
    let mut job = job(text, "grow", &[]);
    job.limits.memory_bytes = bound(8 * 64 * 64 * 1024);
    let exit = exit(job).await;
    assert_eq!(exit.result.as_deref(), Some("512"));
    assert_eq!(exit.usage.memory_peak_bytes, 8 * 64 * 64 * 1024);
}

#[tokio::test]
async fn one_instruction_may_cost_more_than_a_turn() {
    let text = r#"
        (module (memory 256)
          (func (export "fill") (result i32)
            (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x1000000))
            (i32.load8_u (i32.const 0xffffff))))
    "#;
    check(job(text, "fill", &[]), "7").await;
    let mut poor = job(text, "fill", &[]);
    poor.limits.fuel = bound(200_000);
    check(poor, "limit: fuel 200000 (set by task)").await;
}

#[tokio::test]
async fn time_in_the_host_counts_although_it_burns_no_fuel() {
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "random_get"
            (func $random (param i32 i32) (result i32)))
          (memory (export "memory") 16)
          (func (export "draw")
            (loop $again (drop (call $random (i32.const 0) (i32.const 0x100000))) (br $again))))
    "#;
    let mut draws = job(text, "draw", &[]);
    draws.limits.wall_ms = bound(30);
    let exit = exit(draws).await;
    let Status::LimitHit(hit) = exit.status else {
        panic!("it draws forever: {:?}", exit.status);
    };
    assert_eq!(hit.to_string(), "limit: wall clock 30 ms (set by task)");
    // One turn's fuel lasts for some ten thousand calls: minutes.
    assert!(exit.usage.fuel < 100_000, "{:?}", exit.usage);
}

#[tokio::test]
async fn jobs_of_one_module_share_it_and_tenants_do_not() {
    let runtime = runtime();
    let text = r#"(module (func (export "run") (result i32) (i32.const 1)))"#;
    let (one, two) = tokio::join!(
        runtime.run(job(text, "run", &[])),
        runtime.run(job(text, "run", &[]))
    );
    assert!(one.is_ok() && two.is_ok());
    let third = runtime
        .run(job(text, "run", &[]))
        .await
        .expect("the job runs");
    assert!(third.usage.module_cached);
    assert_eq!(runtime.translations(), 1);
    let mut other = job(text, "run", &[]);
    other.key.tenant = "other".to_owned();
    let other = runtime.run(other).await.expect("the job runs");
    assert!(!other.usage.module_cached && other.usage.compile_us > 0);
    assert_eq!(runtime.translations(), 2);
}

#[tokio::test]
async fn a_choice_follows_its_condition() {
    // wasmi 2.0.0 forgets the condition when a number was put aside before: docs/decisions/0017.
    let text = r#"
        (module (memory 1)
          (func (export "sum") (param $zero i32) (result i32)
            (i32.add
              (memory.size)
              (select (i32.const 10) (i32.const 20) (i32.eqz (local.get $zero))))))
    "#;
    check(job(text, "sum", &["0"]), "11").await;
    check(job(text, "sum", &["1"]), "21").await;
}

#[tokio::test]
async fn a_component_is_refused_by_name() {
    let text = include_str!("../../../../examples/guests/greet/greet.wat");
    check(
        job(text, "greet", &["\"Ada\""]),
        "error: components cannot run in the interpreter: this proplet has \
         PROPLET_ENGINE=interpreter; build the guest for wasm32-wasip1, or send it to a proplet \
         with PROPLET_ENGINE=wasmtime",
    )
    .await;
}

#[tokio::test]
async fn an_import_of_another_type_is_refused() {
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
          (func (export "run")))
    "#;
    check(
        job(text, "run", &[]),
        "error: invalid WebAssembly module: import `wasi_snapshot_preview1.proc_exit` has another type",
    )
    .await;
}
