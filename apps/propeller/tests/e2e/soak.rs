//! Ten thousand tasks through one proplet, and one task over a gibibyte: memory stays flat.
//! `cargo xtask soak` runs what is long of this.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use propeller_api::{Limits, TaskRequest};
use propeller_sdk::Client;
use tokio::task::JoinSet;

use crate::processes::Process;
use crate::support::{World, client, ready, request, run, skipped, state, wat};

/// How many tasks there are before memory is looked at: caches, the outbox and the allocator are as
/// full as they get.
const EARLY: usize = 1000;

/// How many tasks there are after that.
const TASKS: usize = 10_000;

/// How many tasks are under way at a time.
const SUBMITTERS: usize = 32;

/// What the proplet's resident memory may grow by, in KiB. A leak of one KiB in each task is 10 MiB;
/// the allocator alone makes a difference of one or two.
const GROWTH_KIB_MAX: u64 = 5 * 1024;

/// What `up` may take more for a large input than for a small one, in KiB.
const INPUT_GROWTH_KIB_MAX: u64 = 32 * 1024;

/// How tasks end, in turn: the function, the state, what the result or the error has.
const WAYS: [(&str, &str, &str); 6] = [
    ("answer", "completed", "42"),
    ("leave", "failed", "exit code 3"),
    ("fail", "failed", "unreachable"),
    ("burn", "failed", "limit: fuel 100000 (set by task)"),
    (
        "grow",
        "failed",
        "limit: memory 4194304 bytes (set by task)",
    ),
    ("absent", "failed", "no function `absent` is exported"),
];

/// One of several modules that do the same.
fn module(number: usize) -> Vec<u8> {
    wat(&format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (global i32 (i32.const {number}))
          (func (export "answer") (result i32) (i32.const 42))
          (func (export "leave") (call $exit (i32.const 3)))
          (func (export "fail") unreachable)
          (func (export "burn") (loop $again (br $again)))
          (func (export "grow")
            (loop $again (drop (memory.grow (i32.const 1))) (br $again))))"#
    ))
}

/// Runs tasks, `count` of them, many at a time, and compares how each ended.
async fn submit(client: &Client, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let modules: Arc<Vec<Vec<u8>>> = Arc::new((0..10).map(module).collect());
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (client, next) = (client.clone(), Arc::clone(&next));
        let modules = Arc::clone(&modules);
        submitters.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let (way, ends, says) = WAYS[number % WAYS.len()];
                let task = TaskRequest {
                    invoke: Some(way.to_owned()),
                    limits: Some(Limits {
                        fuel: Some(100_000),
                        memory_bytes: Some(4 * 1024 * 1024),
                        ..Limits::default()
                    }),
                    ..request("soak", &modules[number / 7 % modules.len()])
                };
                let task = run(&client, &task).await;
                assert_eq!(state(&task), ends, "{way}: {}", task.error);
                let said = format!("{} {}", task.results, task.error);
                assert!(said.contains(says), "{way}: {said}");
            }
        });
    }
    submitters.join_all().await;
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// A line of a process's status, in KiB.
fn status(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().trim().strip_suffix(" kB").unwrap();
    number.parse().unwrap()
}

async fn check(isolation: &str) {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let broker = format!("tcp://{}", world.address);
    let key = world.key.to_hex();
    let env = [
        ("PROPLET_MQTT_ADDRESS", broker.as_str()),
        ("PROPLET_WORKLOAD_KEY", key.as_str()),
        ("PROPLET_ID", "soaked"),
        ("PROPLET_DATA_DIR", "soaked"),
        ("PROPLET_ISOLATION", isolation),
    ];
    let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
    if isolation == "process" {
        let line = proplet.expect(&["isolat"]);
        if line.contains("needs what this machine does not have") {
            return skipped(&line);
        }
    }
    ready(&client, 1).await;
    submit(&client, EARLY).await;
    let early = resident(proplet.id());
    submit(&client, TASKS).await;
    let late = resident(proplet.id());
    println!("{isolation}: {early} KiB after {EARLY} tasks, {late} KiB after {TASKS} more");
    assert!(late <= early + GROWTH_KIB_MAX, "{early} KiB, then {late}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: `cargo xtask soak` runs it"]
async fn ten_thousand_tasks_leave_a_proplet_as_it_was() {
    check("in-process").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: `cargo xtask soak` runs it"]
async fn ten_thousand_tasks_in_processes_leave_a_proplet_as_it_was() {
    check("process").await;
}

/// Feeds a task of `propeller up` with so many MiB, and gives the most memory that `up` ever had
/// resident, in KiB.
async fn peak_with(mebibytes: usize) -> u64 {
    use std::io::Write as _;
    let world = World::new().await;
    let port = crate::processes::free_port().to_string();
    let folder = world.scratch.path("up");
    let listen = format!("127.0.0.1:{}", crate::processes::free_port());
    let env = [
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("BROKER_LISTEN", listen.as_str()),
    ];
    let mut up = Process::start(&folder, &["up"], &env);
    up.expect(&["Propeller is up"]);
    let url = format!("http://127.0.0.1:{port}");
    let client = client(&url);
    ready(&client, 1).await;
    let (module, input) = (folder.join("count.wasm"), folder.join("input"));
    std::fs::write(&module, count()).unwrap();
    let mut file = std::fs::File::create(&input).unwrap();
    for number in 0..mebibytes {
        let piece = crate::objects::noise(1024 * 1024, number as u64 + 1);
        file.write_all(&piece).unwrap();
    }
    drop(file);
    let mut create = std::process::Command::new(env!("CARGO_BIN_EXE_propeller"));
    create.args(["tasks", "create", "count", "--wait", "-m", &url, "--file"]);
    create.arg(&module).arg("--stdin").arg(&input);
    create.args(["--timeout", "10m", "--fuel", "100000000000"]);
    let created = tokio::task::spawn_blocking(move || create.output().unwrap());
    let created = created.await.unwrap();
    let said = String::from_utf8_lossy(&created.stderr);
    let counted = String::from_utf8_lossy(&created.stdout);
    let expected = mebibytes * 1024 * 1024;
    assert_eq!(counted.trim(), expected.to_string(), "{said}");
    let peak = status(up.id(), "VmHWM:");
    assert_eq!(up.terminate(), Some(0));
    peak
}

/// A guest that counts the bytes of its standard input.
fn count() -> Vec<u8> {
    wat(r#"(module
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (func (export "count") (result i64)
            (local $total i64)
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 65536))
            (block $end
              (loop $more
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (br_if $end (i32.eqz (i32.load (i32.const 8))))
                (local.set $total
                  (i64.add (local.get $total) (i64.extend_i32_u (i32.load (i32.const 8)))))
                (br $more)))
            (local.get $total)))"#)
}

async fn check_input(mebibytes: usize) {
    let (small, large) = (peak_with(8).await, peak_with(mebibytes).await);
    println!("{small} KiB at most with 8 MiB of input, {large} KiB with {mebibytes} MiB");
    assert!(
        large <= small + INPUT_GROWTH_KIB_MAX,
        "{small} KiB, then {large}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_may_be_larger_than_the_memory_for_it() {
    check_input(128).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: `cargo xtask soak` runs it"]
async fn an_input_may_be_a_gibibyte() {
    check_input(1024).await;
}
