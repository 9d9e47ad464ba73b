//! What a process for each guest costs, beside the same jobs on threads.
//!
//! `cargo test --release -p propeller-sandbox --test process -- --ignored --nocapture cost`

use std::time::{Duration, Instant};

use propeller_sandbox::{Job, Runtime, WasmtimeRuntime};

use crate::support::{CONFIG, below, job, job_of, runtime};

const ADD: &str = r#"
    (module (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1))))
"#;

const GREET: &str = include_str!("../../../../examples/guests/greet/greet.wat");

/// Rounds of one measurement, after as many again that warm up.
const ROUNDS: usize = 500;

/// Times of `ROUNDS` jobs, in order.
async fn measure(runtime: &dyn Runtime, job: &Job) -> Vec<Duration> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..2 * ROUNDS {
        let copy = job.clone();
        let begun = Instant::now();
        let end = runtime.run(copy).await;
        if round >= ROUNDS {
            times.push(begun.elapsed());
        }
        assert!(end.is_ok(), "{end:?}");
        // One after the other with a pause, as a proplet gets them: the pool fills up meanwhile.
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_millis(5) {
            tokio::task::yield_now().await;
        }
    }
    times.sort_unstable();
    times
}

/// One line of /proc/PID/smaps_rollup, in KiB.
fn memory(pid: u32, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(line))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[tokio::test]
#[ignore = "a measurement: run it alone, in release"]
async fn cost_of_a_process_for_each_guest() {
    let processes = runtime();
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    let hello = include_bytes!("../../../../examples/guests/hello.wasm");
    for (name, job) in [
        ("core function", job(ADD, "add", &["2", "40"])),
        ("WASI hello", job_of(hello.to_vec())),
        ("component function", job(GREET, "greet", &["\"Ada\""])),
        ("component hello", job_of(crate::components::hello())),
    ] {
        let within = measure(&threads, &job).await;
        let apart = measure(&processes, &job).await;
        for (mode, times) in [("in-process", within), ("process", apart)] {
            let at = |percent: usize| times[ROUNDS * percent / 100].as_micros();
            println!("{name}, {mode}: p50 {} us, p95 {} us", at(50), at(95));
        }
    }
    for pid in below() {
        let (pss, dirty) = (memory(pid, "Pss:"), memory(pid, "Private_Dirty:"));
        println!("process {pid}: PSS {pss:?} KiB, private dirty {dirty:?} KiB");
    }
}
