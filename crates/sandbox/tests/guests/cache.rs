//! Compiled code: once per key, bounded, never across tenants.

use std::time::Duration;

use propeller_sandbox::{EngineConfig, Job, Runtime, WasmtimeRuntime};

use crate::support::{CONFIG, job, runtime};

/// A call of a module that no other `number` shares.
fn numbered(number: u32) -> Job {
    let text = format!(r#"(module (func (export "run") (result i32) (i32.const {number})))"#);
    job(&text, "run", &[])
}

/// Runs modules one after the other and compares how often something was compiled.
async fn check(config: EngineConfig, modules: &[u32], compilations: u64) {
    let runtime = WasmtimeRuntime::new(config).expect("the engine starts on this machine");
    for &module in modules {
        let exit = runtime.run(numbered(module)).await.expect("the job runs");
        assert_eq!(exit.result, Some(module.to_string()));
    }
    assert_eq!(runtime.compilations(), compilations, "{modules:?}");
}

#[tokio::test]
async fn concurrent_jobs_of_one_module_compile_it_once() {
    let runtime = runtime();
    let (one, two, three) = tokio::join!(
        runtime.run(numbered(1)),
        runtime.run(numbered(1)),
        runtime.run(numbered(1)),
    );
    for exit in [one, two, three] {
        assert_eq!(exit.expect("the job runs").result.as_deref(), Some("1"));
    }
    assert_eq!(runtime.compilations(), 1);
}

#[tokio::test]
async fn a_second_job_finds_the_code_ready() {
    let runtime = runtime();
    let first = runtime.run(numbered(1)).await.expect("the job runs").usage;
    let second = runtime.run(numbered(1)).await.expect("the job runs").usage;
    assert!(!first.module_cached);
    assert!(second.module_cached);
    assert_eq!(second.compile_us, 0);
}

#[tokio::test]
async fn tenants_share_no_code() {
    let runtime = runtime();
    for tenant in ["one", "other"] {
        let mut job = numbered(1);
        tenant.clone_into(&mut job.key.tenant);
        let usage = runtime.run(job).await.expect("the job runs").usage;
        assert!(!usage.module_cached);
    }
    assert_eq!(runtime.compilations(), 2);
}

#[tokio::test]
async fn a_full_cache_forgets_what_was_used_longest_ago() {
    let two = EngineConfig {
        cache_entries_max: 2,
        ..CONFIG
    };
    check(two, &[1, 2, 1, 2], 2).await;
    check(two, &[1, 2, 3, 2, 3], 3).await;
    check(two, &[1, 2, 3, 1], 4).await;
    check(two, &[1, 2, 1, 3, 1], 3).await;
}

#[tokio::test]
async fn a_cache_without_room_keeps_nothing() {
    let none = EngineConfig {
        cache_bytes_max: 0,
        ..CONFIG
    };
    check(none, &[1, 1], 2).await;
}

#[tokio::test]
async fn a_cache_without_a_time_to_live_keeps_nothing() {
    let none = EngineConfig {
        cache_ttl: Duration::ZERO,
        ..CONFIG
    };
    check(none, &[1, 1], 2).await;
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let runtime = runtime();
    let mut broken = numbered(1);
    broken.wasm.truncate(20);
    for _ in 0..2 {
        assert!(runtime.run(broken.clone()).await.is_err());
    }
    assert_eq!(runtime.compilations(), 2);
}
