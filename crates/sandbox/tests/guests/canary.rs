//! Two tenants beside each other: what one leaves behind the other never finds.
//!
//! What a guest prints goes into buffers of its own job and nowhere else, so that it is visible to
//! nobody by construction; the cases compare what the other tenant's guests print all the same.

use std::sync::Arc;

use propeller_sandbox::{Job, Runtime, Status};
use tokio::task::JoinSet;

use crate::support::{bound, job, line, run, runtime};

/// What one tenant hides. No other number in these tests has its bytes.
const CANARY: i64 = 0x5ec2_e7ca_9a27_d00d;

/// How often one tenant hides and the other seeks.
const ROUNDS: usize = 20;

/// Fills everything that a guest has with `$canary`: memory, also grown, table, globals, stack and
/// standard output. Its data holds the canary from the start, as part of compiled code.
const HIDE: &str = r#"
      (func $bury (param $canary i64) (param $depth i32) (result i64)
        (local $a i64) (local $b i64)
        (if (i32.eqz (local.get $depth)) (then (return (local.get $canary))))
        (local.set $a (i64.add (local.get $canary) (i64.extend_i32_u (local.get $depth))))
        (local.set $b
          (call $bury (local.get $canary) (i32.sub (local.get $depth) (i32.const 1))))
        (i64.xor (i64.xor (local.get $a) (local.get $b)) (local.get $canary)))
      (func $hide (export "hide") (param $canary i64)
        (local $at i32) (local $end i32)
        (global.set $one (local.get $canary))
        (global.set $two (local.get $canary))
        (drop (table.grow $functions (ref.func $bury) (i32.const 1000)))
        (table.fill $functions (i32.const 0) (ref.func $bury) (table.size $functions))
        (drop (memory.grow (i32.const 60)))
        (local.set $end (i32.mul (memory.size) (i32.const 65536)))
        (loop $next
          (i64.store (local.get $at) (local.get $canary))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
        (drop (call $bury (local.get $canary) (i32.const 2000)))
        ;; A buffer of canaries, described by the last bytes of the memory.
        (i32.store (i32.sub (local.get $end) (i32.const 16)) (i32.const 0))
        (i32.store (i32.sub (local.get $end) (i32.const 12)) (i32.const 65536))
        (drop (call $fd_write
          (i32.const 1) (i32.sub (local.get $end) (i32.const 16)) (i32.const 1)
          (i32.sub (local.get $end) (i32.const 8)))))
"#;

/// Counts what is not as it has to be at the start of a guest: every word of its memory that is not
/// zero, every table entry that is not null, every global that is not what it is declared to be;
/// then lets the host write into its memory and counts canaries alone.
const SEEK: &str = r#"
      (func $nonzero (param $from i32) (result i32)
        (local $end i32) (local $found i32)
        (local.set $end (i32.mul (memory.size) (i32.const 65536)))
        (loop $next
          (local.set $found (i32.add (local.get $found)
            (i64.ne (i64.load (local.get $from)) (i64.const 0))))
          (local.set $from (i32.add (local.get $from) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $from) (local.get $end))))
        (local.get $found))
      (func $canaries (param $canary i64) (result i32)
        (local $at i32) (local $end i32) (local $found i32)
        (local.set $end (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))
        (loop $next
          (local.set $found (i32.add (local.get $found)
            (i64.eq (i64.load (local.get $at)) (local.get $canary))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $next (i32.le_u (local.get $at) (local.get $end))))
        (local.get $found))
      (func $functions (result i32)
        (local $at i32) (local $found i32)
        (drop (table.grow $functions (ref.null func) (i32.const 2000)))
        (loop $next
          (local.set $found (i32.add (local.get $found)
            (i32.eqz (ref.is_null (table.get $functions (local.get $at))))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $at) (table.size $functions))))
        (local.get $found))
      (func $seek (export "seek") (param $canary i64) (result i32)
        (local $found i32)
        (local.set $found (call $nonzero (i32.const 16)))
        (drop (memory.grow (i32.const 62)))
        (local.set $found (i32.add (local.get $found) (call $nonzero (i32.const 16))))
        (local.set $found (i32.add (local.get $found) (call $functions)))
        (local.set $found (i32.add (local.get $found)
          (i32.or
            (i64.ne (global.get $one) (i64.const 1))
            (i64.ne (global.get $two) (i64.const 0)))))
        ;; Whatever lies between the fields that the host writes stays the guest's own.
        (drop (call $fd_fdstat_get (i32.const 0) (i32.const 1024)))
        (drop (call $fd_filestat_get (i32.const 1) (i32.const 2048)))
        (drop (call $poll_oneoff
          (i32.const 4096) (i32.const 8192) (i32.const 20) (i32.const 3072)))
        (drop (call $random_get (i32.const 16384) (i32.const 4096)))
        (i32.add (local.get $found) (call $canaries (local.get $canary))))
"#;

/// A module of some of these functions. Its first 16 bytes are data, which nobody counts.
fn module(data: &str, functions: &[&str]) -> String {
    let functions = functions.concat();
    format!(
        r#"(module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_fdstat_get"
        (func $fd_fdstat_get (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_filestat_get"
        (func $fd_filestat_get (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get"
        (func $random_get (param i32 i32) (result i32)))
      (memory (export "memory") 2)
      (table $functions 10 funcref)
      (global $one (mut i64) (i64.const 1))
      (global $two (mut i64) (i64.const 0))
      (data (i32.const 0) "{data}")
      {functions})"#
    )
}

/// The module that one tenant hides with: its data is full of canaries.
fn hider() -> String {
    let canary: String = CANARY
        .to_le_bytes()
        .map(|byte| format!("\\{byte:02x}"))
        .concat();
    module(&canary.repeat(1000), &[HIDE, "(elem declare func $bury)"])
}

/// A call of a tenant's guest.
fn of(tenant: &str, text: &str, entry: &str) -> Job {
    let mut job = job(text, entry, &[&CANARY.to_string()]);
    tenant.clone_into(&mut job.key.tenant);
    job.limits.fuel = bound(10_000_000_000);
    job
}

/// Everything that the other tenant tries: a module of its own, the same module, one that the first
/// tenant has too.
fn seekers() -> [Job; 3] {
    let both = module("both", &[HIDE, SEEK, "(elem declare func $bury)"]);
    let own = module("own", &[SEEK]);
    [
        of("b", &own, "seek"),
        of("b", &both, "seek"),
        of("a", &both, "seek"),
    ]
}

fn hiders() -> [Job; 2] {
    let both = module("both", &[HIDE, SEEK, "(elem declare func $bury)"]);
    [of("a", &hider(), "hide"), of("a", &both, "hide")]
}

async fn hide(runtime: &dyn Runtime, job: Job) {
    let exit = runtime.run(job).await.expect("the job runs");
    assert_eq!(exit.status, Status::Returned);
    let words = exit.stdout.chunks_exact(8);
    assert!(words.len() > 1000 && words.clone().all(|word| word == CANARY.to_le_bytes()));
}

async fn seek(runtime: &dyn Runtime, job: Job) {
    let end = runtime.run(job).await;
    assert_eq!(line(&end), "0");
    let exit = end.expect("the job runs");
    assert!(exit.stdout.is_empty() && exit.stderr.is_empty());
}

#[tokio::test]
async fn what_is_hidden_can_be_found_by_whoever_hid_it() {
    let again = r#"
      (func (export "again") (param i64) (result i32)
        (call $hide (local.get 0)) (call $seek (local.get 0)))
    "#;
    let text = module("again", &[HIDE, SEEK, again, "(elem declare func $bury)"]);
    let end = run(of("a", &text, "again")).await.expect("the job runs");
    let found: u32 = end.result.expect("it counts").parse().expect("a number");
    assert!(found > 500_000, "{found}");
}

#[tokio::test]
async fn the_next_guest_finds_nothing() {
    let runtime = runtime();
    for _ in 0..ROUNDS {
        for job in hiders() {
            hide(&runtime, job).await;
            for job in seekers() {
                seek(&runtime, job).await;
            }
        }
    }
}

#[tokio::test]
async fn guests_at_the_same_time_find_nothing() {
    let runtime = Arc::new(runtime());
    let mut guests = JoinSet::new();
    for _ in 0..ROUNDS {
        for job in hiders() {
            let runtime = Arc::clone(&runtime);
            guests.spawn(async move { hide(&*runtime, job).await });
        }
        for job in seekers() {
            let runtime = Arc::clone(&runtime);
            guests.spawn(async move { seek(&*runtime, job).await });
        }
    }
    guests.join_all().await;
}
