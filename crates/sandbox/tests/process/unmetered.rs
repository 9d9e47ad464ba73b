//! Guests whose code checks nothing: they end by time, with their process.

use std::time::{Duration, Instant};

use propeller_model::Profile;
use propeller_sandbox::process::ProcessRuntime;
use propeller_sandbox::{Exit, Job, Metering, Runtime};

use crate::runtime::metered;
use crate::support::{CONFIG, bound, job, line};

const GUEST: &str = r#"
    (module
      (memory (export "memory") 1)
      (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
      (func (export "fail") unreachable)
      (func $deep (export "deep") (call $deep))
      (func (export "grow") (loop $again (drop (memory.grow (i32.const 1))) (br $again)))
      (func (export "spin") (loop $again (br $again))))
"#;

fn runtime() -> ProcessRuntime {
    metered(CONFIG, Metering::Time)
}

async fn exit(runtime: &ProcessRuntime, job: Job) -> Exit {
    runtime.run(job).await.expect("the job runs")
}

/// Whether fuel is among the features that a result names.
fn counted(exit: &Exit) -> bool {
    let engine = exit.engine.as_ref().expect("it says what ran it");
    engine.features.iter().any(|feature| feature == "fuel")
}

#[tokio::test]
async fn a_guest_that_waits_for_input_runs_out_of_time() {
    let (read, write) = std::io::pipe().expect("there are pipes");
    let mut waits = crate::piped::piped("copy", &["4"], read.into());
    waits.limits.wall_ms = bound(50);
    let exit = exit(&runtime(), waits).await;
    assert!(!counted(&exit));
    assert_eq!(line(&Ok(exit)), "limit: wall clock 50 ms (set by task)");
    drop(write);
}

#[tokio::test]
async fn a_guest_gets_no_file_that_passes_for_a_pipe() {
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let file = std::io::PipeReader::from(std::os::fd::OwnedFd::from(file));
    let reads = crate::piped::piped("copy", &["4"], file.into());
    let end = runtime().run(reads).await;
    assert!(
        matches!(end, Err(propeller_sandbox::RunError::Runtime(_))),
        "{end:?}"
    );
}

#[tokio::test]
async fn all_limits_but_fuel_hold_and_results_say_that_none_was_counted() {
    let runtime = runtime();
    let mut grow = job(GUEST, "grow", &[]);
    grow.limits.memory_bytes = bound(1 << 20);
    let mut spin = job(GUEST, "spin", &[]);
    spin.limits.wall_ms = bound(50);
    for (job, ends) in [
        (job(GUEST, "add", &["2", "40"]), "42"),
        (
            job(GUEST, "fail", &[]),
            "wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            job(GUEST, "deep", &[]),
            "limit: stack 1048576 bytes (set by default)",
        ),
        (grow, "limit: memory 1048576 bytes (set by task)"),
        (spin, "limit: wall clock 50 ms (set by task)"),
    ] {
        let exit = exit(&runtime, job).await;
        assert_eq!((exit.usage.fuel, counted(&exit)), (0, false));
        assert_eq!(line(&Ok(exit)), ends);
    }
}

#[tokio::test]
async fn whoever_asks_for_fuel_has_it_counted_and_so_has_who_is_deterministic() {
    let runtime = runtime();
    let metered = crate::runtime::runtime();
    let mut asks = job(GUEST, "spin", &[]);
    asks.limits.fuel = bound(1000);
    let exit = exit(&runtime, asks).await;
    assert!(counted(&exit));
    assert_eq!(line(&Ok(exit)), "limit: fuel 1000 (set by task)");

    let deterministic = Job {
        profile: Profile::Deterministic,
        ..job(GUEST, "add", &["2", "40"])
    };
    let mut fuel = Vec::new();
    for runtime in [&runtime, &metered] {
        let exit = runtime.run(deterministic.clone()).await.expect("it runs");
        assert!(counted(&exit));
        fuel.push(exit.usage.fuel);
    }
    assert_eq!(fuel, [4, 4]);
}

#[tokio::test]
async fn a_guest_that_checks_nothing_is_stopped_at_once() {
    let runtime = runtime();
    let mut spin = job(GUEST, "spin", &[]);
    spin.limits.wall_ms = bound(u64::MAX);
    {
        let mut running = std::pin::pin!(runtime.run(spin));
        while runtime.running() == 0 {
            tokio::select! {
                biased;
                ended = &mut running => panic!("it ended: {}", line(&ended)),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let dropped = Instant::now();
    while runtime.running() > 0 {
        assert!(dropped.elapsed() < Duration::from_secs(30), "it is gone");
        tokio::task::yield_now().await;
    }
}
