//! Processes that are killed, by us and by others.

use std::time::{Duration, Instant};

use propeller_sandbox::process::{AllowMissing, ProcessConfig, ProcessRuntime, StartError};
use propeller_sandbox::{Job, RunError, Runtime};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{CONFIG, alone, below, bound, job, line, runtime, until};

/// Prints a word, then computes for ever.
const SHOUT: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "word")
      (func (export "shout")
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 4))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (loop $again (br $again))))
"#;

fn endless() -> Job {
    let mut job = job(SHOUT, "shout", &[]);
    job.limits.fuel = bound(1 << 60);
    job
}

#[tokio::test]
async fn what_a_guest_printed_before_its_time_ran_out_is_kept() {
    let mut job = endless();
    job.limits.wall_ms = bound(100);
    let exit = runtime().run(job).await.expect("a limit is an exit");
    let line = line(&Ok(exit.clone()));
    assert_eq!(line, "limit: wall clock 100 ms (set by task)");
    assert_eq!(exit.stdout, b"word");
    assert!(exit.usage.wall_us >= 100_000, "{:?}", exit.usage);
}

#[tokio::test]
async fn a_stopped_guest_is_gone_at_once_and_leaves_room() {
    let runtime = runtime();
    for _ in 0..8 {
        tokio::select! {
            end = runtime.run(endless()) => panic!("an endless guest ended: {end:?}"),
            () = until(|| runtime.running() == 1) => {}
        }
    }
    let stopped = Instant::now();
    let end = line(
        &runtime
            .run(job(r#"(module (func (export "run")))"#, "run", &[]))
            .await,
    );
    assert_eq!(end, "nothing");
    assert!(stopped.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn more_jobs_than_processes_wait_for_their_turn() {
    let config = ProcessConfig {
        engine: CONFIG,
        metering: propeller_sandbox::Metering::Full,
        pool: 1,
        guests_max: 1,
        allow_missing: AllowMissing {
            landlock: true,
            namespaces: true,
        },
        program: env!("CARGO_BIN_EXE_sandbox-child").into(),
    };
    let runtime = ProcessRuntime::new(config).expect("guests' processes start");
    let job = || job(r#"(module (func (export "run")))"#, "run", &[]);
    let ends = futures(&runtime, [job(), job(), job(), job()]).await;
    assert_eq!(ends, ["nothing"; 4]);
}

async fn futures(runtime: &ProcessRuntime, jobs: [Job; 4]) -> Vec<String> {
    let [a, b, c, d] = jobs.map(|job| runtime.run(job));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    [a, b, c, d].iter().map(line).collect()
}

/// Alone in its process, since it kills everything below it.
#[tokio::test]
async fn a_lost_zygote_costs_its_jobs_and_is_replaced() {
    if !alone("deaths::a_lost_zygote_costs_its_jobs_and_is_replaced") {
        return;
    }
    let runtime = runtime();
    let lost = tokio::join!(runtime.run(endless()), async {
        until(|| runtime.running() == 1).await;
        // The launcher, the zygote and its children: killing the second one takes the others along.
        until(|| below().len() >= 3).await;
        let zygote = Pid::from_raw(below()[1].cast_signed()).expect("a process id");
        kill_process(zygote, Signal::KILL).expect("a child may be killed");
    });
    assert!(matches!(lost.0, Err(RunError::Lost)), "{:?}", lost.0);
    let end = line(
        &runtime
            .run(job(r#"(module (func (export "run")))"#, "run", &[]))
            .await,
    );
    assert_eq!(end, "nothing");
    drop(runtime);
    until(|| below().is_empty()).await;
}

#[test]
fn a_program_that_is_no_zygote_is_found_out() {
    let config = ProcessConfig {
        engine: CONFIG,
        metering: propeller_sandbox::Metering::Full,
        pool: 1,
        guests_max: 1,
        allow_missing: AllowMissing::default(),
        program: "/bin/true".into(),
    };
    let refused = ProcessRuntime::new(config);
    assert!(matches!(refused, Err(StartError::Silent)), "{refused:?}");
}

#[test]
fn a_zygote_that_is_started_by_hand_refuses() {
    let program = env!("CARGO_BIN_EXE_sandbox-child");
    let by_hand = std::process::Command::new(program)
        .arg("--guest-zygote")
        .output();
    let by_hand = by_hand.expect("it starts");
    assert_eq!(by_hand.status.code(), Some(2));
    let said = String::from_utf8_lossy(&by_hand.stderr);
    assert!(said.contains("how a proplet starts"), "{said}");
}
