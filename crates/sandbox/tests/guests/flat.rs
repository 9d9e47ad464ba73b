//! Many jobs through one runtime: what they took is given back.
#![cfg(target_os = "linux")]

use std::collections::HashMap;

use bytes::Bytes;
use propeller_sandbox::{Job, Runtime};

use crate::support::{alone, below, bound, job, line, runtime, until};

/// How many jobs there are before memory is looked at: caches, pools and the allocator are as full
/// as they get.
const EARLY: u32 = 500;

/// How many jobs there are after that. `cargo xtask soak` sends 10,000 through a proplet.
const TASKS: u32 = 2000;

/// What resident memory may grow by, in KiB: 1 for each job. The allocator gives back pages late and
/// with gaps, by some hundreds of KiB.
const GROWTH_KIB_MAX: u64 = TASKS as u64;

const KIB: u64 = 1024;

/// One guest for each way to end.
const GUEST: &str = r#"
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (table $functions 1 funcref)
      (func $fail (export "fail") unreachable)
      (func $dive (export "dive") (call $dive))
      (func (export "leave") (call $exit (i32.const 3)))
      (func (export "burn") (loop $again (br $again)))
      (func (export "grow")
        (loop $again
          (drop (memory.grow (i32.const 4)))
          (drop (table.grow $functions (ref.func $fail) (i32.const 1000)))
          (memory.fill
            (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 262144))
            (i32.const 1) (i32.const 262144))
          (br $again)))
      (func (export "flood")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 4096))
        (loop $again
          (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again)))
      (func (export "echo")
        (i32.store (i32.const 0) (i32.const 64))
        (loop $more
          (i32.store (i32.const 4) (i32.const 60000))
          (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.load (i32.const 8)) (then
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $more)))))
"#;

/// How jobs end, in turn. `hang` is dropped.
const WAYS: [(&str, &str); 9] = [
    ("echo", "nothing"),
    ("fail", "wasm trap: wasm `unreachable` instruction executed"),
    ("leave", "exit 3"),
    ("burn", "limit: fuel 100000 (set by task)"),
    ("grow", "limit: memory 4194304 bytes (set by task)"),
    ("flood", "limit: stdout 65536 bytes (set by task)"),
    ("dive", "limit: stack 1048576 bytes (set by default)"),
    (
        "absent",
        "error: no function `absent` is exported; exported functions: fail, dive, leave, burn, \
         grow, flood, echo",
    ),
    ("hang", ""),
];

/// Modules in turn: more than the cache keeps, so that some jobs compile.
fn modules() -> Vec<String> {
    (0..20)
        .map(|number| format!("(module {GUEST} (global i32 (i32.const {number})))"))
        .collect()
}

fn busy(module: &Job, way: &str) -> Job {
    let entry = if way == "hang" { "burn" } else { way };
    let mut job = Job {
        entry: propeller_sandbox::Entry::Named(entry.to_owned()),
        stdin: Bytes::from_static(&[b'x'; 64 * 1024]).into(),
        ..module.clone()
    };
    job.limits.fuel = bound(if way == "burn" { 100_000 } else { 1 << 40 });
    job.limits.memory_bytes = bound(4 * KIB * KIB);
    job.limits.stdout_bytes = bound(64 * KIB);
    job
}

/// Resident memory in KiB of this process and of each one below it, and how many descriptors this
/// process has open.
fn taken() -> (HashMap<u32, u64>, usize) {
    let me = std::process::id();
    let all = std::iter::once(me).chain(below());
    let resident = all.filter_map(|pid| {
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        Some((pid, pages * rustix::param::page_size() as u64 / KIB))
    });
    let open = std::fs::read_dir("/proc/self/fd").expect("there is /proc");
    (resident.collect(), open.count())
}

#[tokio::test]
async fn memory_is_flat_over_thousands_of_jobs() {
    if !alone("flat::memory_is_flat_over_thousands_of_jobs") {
        return;
    }
    let runtime = runtime();
    let modules: Vec<Job> = modules()
        .iter()
        .map(|text| job(text, "fail", &[]))
        .collect();
    let mut early = None;
    for number in 0..EARLY + TASKS {
        if number == EARLY {
            early = Some(taken());
        }
        // A module stays for some jobs, so that most of them find it compiled.
        let module = &modules[number as usize / 50 % modules.len()];
        let (way, expected) = WAYS[number as usize % WAYS.len()];
        if way == "hang" {
            tokio::select! {
                end = runtime.run(busy(module, way)) => panic!("an endless guest ended: {end:?}"),
                () = until(|| runtime.running() == 1) => {}
            }
            until(|| runtime.running() == 0).await;
            continue;
        }
        assert_eq!(line(&runtime.run(busy(module, way)).await), expected);
    }
    let (early, early_open) = early.expect("there was an early mark");
    let (late, late_open) = taken();
    // Those that were there both times: warm processes come and go.
    for (pid, late) in late {
        let Some(&early) = early.get(&pid) else {
            continue;
        };
        assert!(
            late <= early + GROWTH_KIB_MAX,
            "process {pid}: {early} KiB, then {late}"
        );
    }
    assert!(
        late_open <= early_open + 16,
        "descriptors: {early_open}, then {late_open}"
    );
}
