//! Both allocators beside each other: everything but times is the same, also where a guest runs into
//! a limit or grows as far as it can.

use propeller_model::Profile;
use propeller_sandbox::{Allocator, EngineConfig, Exit, Job, Runtime, Usage, WasmtimeRuntime};

use crate::support::{CONFIG, bound, job, job_of, line};

const MIB: u64 = 1024 * 1024;

const GUEST: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (table $bounded 1 60000 funcref)
      (global $global (mut i64) (i64.const 3))
      (data (i32.const 8) "some data")
      (func $deep (export "deep") (call $deep))
      (func (export "add") (param i32 f64) (result f64)
        (f64.add (f64.convert_i32_s (local.get 0)) (local.get 1)))
      (func (export "leave") (call $exit (i32.const 7)))
      (func (export "fail") unreachable)
      (func (export "outside") (drop (i32.load (i32.const -1))))
      (func (export "behind") (drop (i32.load (i32.const 65533))))
      (func (export "burn") (loop $again (br $again)))
      (func (export "look") (result i64 i64)
        (i64.store (i32.const 16) (i64.const 1))
        (global.set $global (i64.add (global.get $global) (i64.load (i32.const 8))))
        (global.get $global)
        (i64.load (i32.const 16)))
      (func (export "grow to the limit")
        (loop $again (drop (memory.grow (i32.const 1))) (br $again)))
      (func (export "grow at once") (param i32) (result i32 i32)
        (memory.grow (local.get 0))
        (memory.size))
      (func (export "grow a table") (param i32) (result i32 i32)
        (table.grow $bounded (ref.null func) (local.get 0))
        (table.size $bounded))
      (func (export "far") (result i32 i64)
        (memory.grow (i32.const 3000))
        (i64.store (i32.const 196000000) (i64.const 77))
        (i64.load (i32.const 196000000))))
"#;

/// A guest that fits no place: its table may grow for ever.
const UNBOUNDED: &str = r#"
    (module
      (table $unbounded 1 funcref)
      (func (export "grow a table") (param i32) (result i32 i32)
        (table.grow $unbounded (ref.null func) (local.get 0))
        (table.size $unbounded)))
"#;

fn runtimes() -> [WasmtimeRuntime; 2] {
    let allocators = [Allocator::OnDemand, Allocator::Pooling { guests_max: 4 }];
    allocators.map(|allocator| {
        let config = EngineConfig {
            allocator,
            ..CONFIG
        };
        WasmtimeRuntime::new(config).expect("the engine starts on this machine")
    })
}

/// All that a guest tells but for how long it took.
fn facts(exit: Exit) -> String {
    let usage = Usage {
        compile_us: 0,
        wall_us: 0,
        cpu_us: 0,
        module_cached: true,
        ..exit.usage
    };
    let Exit {
        status,
        result,
        stdout,
        stderr,
        engine,
        ..
    } = exit;
    format!("{status:?} {result:?} {stdout:?} {stderr:?} {usage:?} {engine:?}")
}

async fn check(runtimes: &[WasmtimeRuntime; 2], job: Job) {
    for profile in [Profile::Pure, Profile::Deterministic] {
        let mut seen = Vec::new();
        // Twice, so that a place of the pool is used again.
        for runtime in runtimes.iter().chain(runtimes) {
            let job = Job {
                profile,
                transcript: propeller_sandbox::Transcript::default(),
                ..job.clone()
            };
            seen.push(facts(runtime.run(job).await.expect("the job runs")));
        }
        for other in &seen[1..] {
            assert_eq!(*other, seen[0], "{:?}", job.entry);
        }
    }
}

#[tokio::test]
async fn a_guest_cannot_tell_where_it_lives() {
    let runtimes = runtimes();
    for (entry, args) in [
        ("deep", &[][..]),
        ("add", &["2", "0.5"]),
        ("leave", &[]),
        ("fail", &[]),
        ("outside", &[]),
        ("behind", &[]),
        ("look", &[]),
        ("grow to the limit", &[]),
        ("grow at once", &["4095"]),
        ("grow at once", &["4096"]),
        ("grow at once", &["65535"]),
        ("grow at once", &["65536"]),
        ("grow a table", &["59999"]),
        ("grow a table", &["60000"]),
        ("far", &[]),
    ] {
        check(&runtimes, job(GUEST, entry, args)).await;
    }
    let mut burn = job(GUEST, "burn", &[]);
    burn.limits.fuel = bound(100_000);
    check(&runtimes, burn).await;
    let mut large = job(GUEST, "grow at once", &["65535"]);
    large.limits.memory_bytes = bound(4096 * MIB);
    check(&runtimes, large).await;
    for elements in ["70000", "30000000", "40000000"] {
        check(&runtimes, job(UNBOUNDED, "grow a table", &[elements])).await;
    }
}

#[tokio::test]
async fn programs_print_the_same_for_the_same_fuel() {
    let runtimes = runtimes();
    let hello = include_bytes!("../../../../examples/guests/hello.wasm");
    check(&runtimes, job_of(hello.to_vec())).await;
    let mut count = job_of(include_bytes!("../../../../examples/guests/wordcount.wasm").to_vec());
    count.stdin = bytes::Bytes::from_static(b"one two three two\n").into();
    check(&runtimes, count).await;
    let mut greet = job_of(include_bytes!("../../../../examples/guests/greet.wasm").to_vec());
    greet.entry = propeller_sandbox::Entry::Named("greet".to_owned());
    greet.args = vec![r#""Ada""#.to_owned()];
    check(&runtimes, greet).await;
}

#[tokio::test]
async fn what_fits_no_place_runs_all_the_same() {
    let [_, pooled] = runtimes();
    let wide = "(module (memory 1) (memory 2)
        (func (export \"size\") (result i32) (memory.size 1)))";
    let end = pooled.run(job(wide, "size", &[])).await;
    assert_eq!(line(&end), "2");
    let end = pooled.run(job(UNBOUNDED, "grow a table", &["70000"])).await;
    assert_eq!(line(&end), "1 70001");
    assert_eq!(pooled.compilations(), 2, "each for one engine alone");
}
