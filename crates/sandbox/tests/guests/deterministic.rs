//! The deterministic profile: the numbers below are the same on every machine and in both
//! isolation modes.

use propeller_model::Profile;
use propeller_sandbox::{Exit, Job, Runtime, Status};

use crate::support::{bound, check, exit, job, runtime};

/// Looks at everything that differs between machines.
const LOOKS: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "clock_time_get"
        (func $clock (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get"
        (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func $time (param $id i32) (result i64)
        (drop (call $clock (local.get $id) (i64.const 0) (i32.const 0)))
        (i64.load (i32.const 0)))
      (func (export "realtime") (result i64) (call $time (i32.const 0)))
      (func (export "monotonic") (result i64)
        (drop (call $time (i32.const 1)))
        (drop (call $time (i32.const 1)))
        (call $time (i32.const 1)))
      (func (export "random") (result i64)
        (drop (call $random (i32.const 0) (i32.const 8)))
        (i64.load (i32.const 0)))
      ;; An hour, on the monotonic clock.
      (func (export "sleep") (result i64)
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
        (call $time (i32.const 1)))
      ;; Standard input and an hour, whichever comes first: how many events, and which.
      (func (export "select") (result i32 i32)
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (i32.store8 (i32.const 56) (i32.const 1))
        (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 256)))
        (i32.load (i32.const 256))
        (i32.load8_u (i32.const 138)))
      (func (export "spin") (result i64) (local $start i64)
        (local.set $start (call $time (i32.const 1)))
        (loop $again
          (br_if $again (i64.lt_u
            (i64.sub (call $time (i32.const 1)) (local.get $start))
            (i64.const 1000000))))
        (call $time (i32.const 1)))
      ;; Not a number, made from another one with bits of its own.
      (func (export "nan") (param f64) (result i64)
        (i64.reinterpret_f64 (f64.div (local.get 0) (f64.const 0))))
      (func (export "payload") (result i64)
        (i64.reinterpret_f64 (f64.add
          (f64.reinterpret_i64 (i64.const 0xfff800000000beef))
          (f64.const 1))))
      ;; Out of range lanes are up to the processor, unless somebody decides.
      (func (export "relaxed") (result i32)
        (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 1e30)))))
      (func (export "swizzle") (result i32)
        (i8x16.extract_lane_u 0
          (i8x16.relaxed_swizzle
            (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
            (i8x16.splat (i32.const 17)))))
      (func $deep (export "deep") (result i32) (i32.add (call $deep) (i32.const 1)))
      (func (export "hang") (loop $again (br $again)))
      (func (export "grow") (result i32 i32)
        (memory.grow (i32.const 15))
        (memory.size))
      (func (export "fail") (param i32) (result i32)
        (i32.div_u (i32.const 1) (local.get 0))))
"#;

/// Draws the seed of a hash map, as the libraries of WASI 0.2 languages do.
#[allow(dead_code, reason = "not every suite runs it many times")]
pub(crate) const MAPS: &str = r#"
    (component
      (import "wasi:random/insecure-seed@0.2.0" (instance $seeds
        (export "insecure-seed" (func (result (tuple u64 u64))))))
      (core module $memory (memory (export "memory") 1))
      (core instance $memory (instantiate $memory))
      (core func $seed (canon lower (func $seeds "insecure-seed")
        (memory (core memory $memory "memory"))))
      (core module $main
        (import "host" "seed" (func $seed (param i32)))
        (import "host" "memory" (memory 1))
        (func (export "seed") (result i64)
          (call $seed (i32.const 64))
          (i64.xor (i64.load (i32.const 64)) (i64.load (i32.const 72)))))
      (core instance $host
        (export "seed" (func $seed))
        (export "memory" (memory $memory "memory")))
      (core instance $main (instantiate $main (with "host" (instance $host))))
      (func (export "seed") (result u64) (canon lift (core func $main "seed"))))
"#;

pub(crate) fn looks(entry: &str, args: &[&str]) -> Job {
    Job {
        profile: Profile::Deterministic,
        ..job(LOOKS, entry, args)
    }
}

#[tokio::test]
async fn what_a_guest_sees_is_written_down() {
    for (entry, args, sees) in [
        // 2000-01-01, and a microsecond for every look.
        ("realtime", &[][..], "946684800000000000"),
        ("monotonic", &[], "2000"),
        ("sleep", &[], "3600000000000"),
        ("select", &[], "1 1"),
        ("spin", &[], "1001000"),
        // Canonical: 0x7ff8000000000000.
        ("nan", &["0"], "9221120237041090560"),
        ("payload", &[], "9221120237041090560"),
        ("relaxed", &[], "2147483647"),
        ("swizzle", &[], "0"),
        ("grow", &[], "1 16"),
    ] {
        check(looks(entry, args), sees).await;
    }
}

#[tokio::test]
async fn randomness_is_seeded_with_the_module() {
    let runtime = runtime();
    let mut seen = Vec::new();
    for entry in ["random", "random", "random"] {
        let exit = runtime.run(looks(entry, &[])).await.expect("it runs");
        seen.push(exit.result.expect("a number"));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let mut other = looks("random", &[]);
    other.key.digest.0[31] ^= 1;
    let other = runtime.run(other).await.expect("it runs");
    assert_ne!(other.result.as_ref(), Some(&seen[0]));
    // An ordinary guest draws real numbers, and has code of its own.
    let pure = job(LOOKS, "random", &[]);
    let (one, two) = (runtime.run(pure.clone()).await, runtime.run(pure).await);
    assert_ne!(one.expect("it runs").result, two.expect("it runs").result);
}

#[tokio::test]
async fn ends_that_depend_on_the_machine_are_inconclusive() {
    check(
        looks("deep", &[]),
        "inconclusive: limit: stack 1048576 bytes (set by default); \
         another machine may get further, so this is no result",
    )
    .await;
    let mut hang = looks("hang", &[]);
    hang.limits.fuel = bound(1 << 60);
    hang.limits.wall_ms = bound(20);
    check(
        hang,
        "inconclusive: limit: wall clock 20 ms (set by task); \
         another machine may get further, so this is no result",
    )
    .await;
    // These are the same everywhere.
    let mut burn = looks("hang", &[]);
    burn.limits.fuel = bound(1000);
    check(burn, "limit: fuel 1000 (set by task)").await;
    let mut grow = looks("grow", &[]);
    grow.limits.memory_bytes = bound(65_536);
    check(grow, "limit: memory 65536 bytes (set by task)").await;
}

/// All that has to be the same.
fn facts(exit: Exit) -> (Status, Option<String>, u64, u64) {
    (
        exit.status,
        exit.result,
        exit.usage.fuel,
        exit.usage.memory_peak_bytes,
    )
}

#[tokio::test]
async fn fuel_and_traps_are_the_same_everywhere() {
    for (entry, args, ends, fuel) in [
        ("fail", &["0"][..], "wasm trap: integer divide by zero", 0),
        ("fail", &["1"], "1", 4),
        ("spin", &[], "1001000", 14_020),
        ("grow", &[], "1 16", 4),
    ] {
        let first = exit(looks(entry, args)).await;
        assert_eq!(first.usage.fuel, fuel, "{entry}");
        check(looks(entry, args), ends).await;
        let first = facts(first);
        for _ in 0..5 {
            assert_eq!(facts(exit(looks(entry, args)).await), first, "{entry}");
        }
    }
}

#[tokio::test]
async fn a_result_names_the_engine_and_the_profile() {
    let engine = exit(looks("grow", &[])).await.engine;
    let engine = engine.expect("wasmtime says what it is");
    assert_eq!(engine.name, "wasmtime");
    assert_eq!(engine.profile, Profile::Deterministic);
    for feature in ["fuel", "nan-canonicalization", "virtual-time"] {
        assert!(engine.features.iter().any(|one| one == feature));
    }
    let engine = exit(job(LOOKS, "grow", &[])).await.engine;
    assert_eq!(engine.map(|engine| engine.profile), Some(Profile::Pure));
}
