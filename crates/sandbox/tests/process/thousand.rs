//! The deterministic profile over many runs: on one thread and on several, compiled anew and from
//! the cache, with either allocator, in this process and in processes. `cargo xtask soak` makes a
//! thousand runs of each case.

use std::sync::Arc;

use bytes::Bytes;
use propeller_model::Profile;
use propeller_sandbox::{Allocator, EngineConfig, Entry, Exit, Job, Runtime, WasmtimeRuntime};
use tokio::task::JoinSet;

use crate::deterministic::{MAPS, looks};
use crate::support::{CONFIG, bound, job, job_of};

/// How many guests run at a time: more than there are threads, so that they get in each other's way.
const AT_A_TIME: usize = 6;

fn guest(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guests/");
    std::fs::read(format!("{folder}{name}")).expect("the guest is checked in")
}

/// Clocks, randomness, seeds of maps, NaN, relaxed SIMD, growth, limits, traps; and whole programs.
fn cases() -> Vec<(&'static str, Job)> {
    let mut cases: Vec<(&'static str, Job)> = [
        "realtime",
        "monotonic",
        "random",
        "sleep",
        "select",
        "spin",
        "payload",
        "relaxed",
        "swizzle",
        "grow",
    ]
    .map(|entry| (entry, looks(entry, &[])))
    .to_vec();
    cases.push(("nan", looks("nan", &["0"])));
    cases.push(("fail", looks("fail", &["0"])));
    let mut full = looks("grow", &[]);
    full.limits.memory_bytes = bound(65_536);
    cases.push(("memory", full));
    let mut burnt = looks("hang", &[]);
    burnt.limits.fuel = bound(100_000);
    cases.push(("fuel", burnt));
    let refused = r#"(module (memory 1 2)
        (func (export "grow") (result i32) (memory.grow (i32.const 2))))"#;
    cases.push(("growth beyond what is declared", job(refused, "grow", &[])));
    cases.push(("seeds of maps", job(MAPS, "seed", &[])));
    let hello = Job {
        args: vec!["Ada".to_owned()],
        ..job_of(guest("hello.wasm"))
    };
    cases.push(("hello", hello));
    let photo = guest("testdata/photo.jpg");
    let thumbnail = Job {
        stdin: Bytes::from(photo).into(),
        entry: Entry::Named("_start".to_owned()),
        ..job_of(guest("thumbnail.wasm"))
    };
    cases.push(("thumbnail", thumbnail));
    let greet = Job {
        entry: Entry::Named("greet".to_owned()),
        args: vec![r#""Ada""#.to_owned()],
        ..job_of(guest("greet.wasm"))
    };
    cases.push(("greet", greet));
    for (_, job) in &mut cases {
        job.profile = Profile::Deterministic;
    }
    cases
}

/// All that has to be the same.
fn facts(exit: Exit) -> String {
    let Exit {
        status,
        result,
        stdout,
        stderr,
        usage,
        engine: _,
    } = exit;
    let (fuel, peak) = (usage.fuel, usage.memory_peak_bytes);
    format!("{status:?} {result:?} {fuel} {peak} {stdout:?} {stderr:?}")
}

fn runtimes() -> Vec<(&'static str, Arc<dyn Runtime>)> {
    let pool = Allocator::Pooling { guests_max: 4 };
    let threads = |config: EngineConfig| -> Arc<dyn Runtime> {
        Arc::new(WasmtimeRuntime::new(config).expect("the engine starts"))
    };
    vec![
        (
            "one thread, on demand",
            threads(EngineConfig {
                threads: 1,
                ..CONFIG
            }),
        ),
        (
            "threads, pooled",
            threads(EngineConfig {
                allocator: pool,
                ..CONFIG
            }),
        ),
        (
            "compiled anew, pooled",
            threads(EngineConfig {
                cache_entries_max: 1,
                allocator: pool,
                ..CONFIG
            }),
        ),
        ("processes", Arc::new(crate::runtime::runtime())),
    ]
}

/// Runs every case `runs` times, spread over all runtimes, and compares all with the first.
async fn compare(runs: usize) {
    let runtimes = runtimes();
    for (case, job) in cases() {
        let mut first = None;
        let mut running = JoinSet::new();
        for run in 0..runs {
            let (name, runtime) = &runtimes[run % runtimes.len()];
            let (name, runtime) = (*name, Arc::clone(runtime));
            // A transcript belongs to one run.
            let job = Job {
                transcript: propeller_sandbox::Transcript::default(),
                ..job.clone()
            };
            running.spawn(async move { (name, runtime.run(job).await) });
            while running.len() >= AT_A_TIME || (run + 1 == runs && !running.is_empty()) {
                let (name, end) = running
                    .join_next()
                    .await
                    .expect("there is one")
                    .expect("it ends");
                let told = facts(end.expect("it runs"));
                let first = first.get_or_insert_with(|| told.clone());
                assert_eq!(&told, first, "{case}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_few_runs_of_everything_are_the_same() {
    compare(12).await;
}

#[tokio::test]
#[ignore = "takes minutes: cargo xtask soak"]
async fn soak_a_thousand_runs_of_everything_are_the_same() {
    compare(1000).await;
}
