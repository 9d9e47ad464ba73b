//! What it takes to make a guest, before it does anything, and what one call copies: bounded by the
//! sandbox, whatever a job may have.

use propeller_model::Profile;
use propeller_sandbox::Job;

use crate::support::{check, job, line, run};

/// A component that makes `count` instances of a module with `globals`.
fn component(count: usize, globals: usize) -> String {
    let globals = "(global i32 (i32.const 0))".repeat(globals);
    let instances = "(core instance (instantiate $m))".repeat(count);
    format!(
        r#"(component
          (core module $m {globals} (func (export "f") (result i32) (i32.const 1)))
          {instances}
          (core instance $i (instantiate $m))
          (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
    )
}

/// Whether it is refused for what its instances take.
async fn is_refused(text: &str) -> bool {
    let line = line(&run(job(text, "f", &[])).await);
    match line.as_str() {
        "1" => false,
        line => {
            let said = "error: limit: instances 16777216 bytes (set by default): ";
            assert!(line.starts_with(said), "{line}");
            true
        }
    }
}

#[tokio::test]
async fn instances_are_bounded_together() {
    assert!(!is_refused(&component(20, 1_000)).await);
    // 200,000 globals take three megabytes, each time.
    assert!(!is_refused(&component(3, 200_000)).await);
    assert!(is_refused(&component(5, 200_000)).await);
    // Each is more than its globals.
    assert!(!is_refused(&component(900, 1)).await);
    assert!(is_refused(&component(990, 40)).await);
}

#[tokio::test]
async fn components_in_components_are_counted_each_time() {
    let nested = |count: usize| {
        let inner = "(instance (instantiate $inner))".repeat(count);
        let middle = "(instance (instantiate $middle))".repeat(count);
        format!(
            r#"(component
              (core module $m (func (export "f") (result i32) (i32.const 1)))
              (component $middle
                (component $inner
                  (alias outer 2 0 (core module $shared))
                  (core instance (instantiate $shared)))
                {inner})
              {middle}
              (core instance $i (instantiate $m))
              (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
        )
    };
    assert!(!is_refused(&nested(10)).await);
    assert!(is_refused(&nested(40)).await);
}

#[tokio::test]
async fn what_is_made_of_nothing_is_counted_too() {
    let with = |part: &str, count: usize| {
        let parts = part.repeat(count);
        let instances = "(core instance (instantiate $n))".repeat(100);
        format!(
            r#"(component
              (core module $n {parts})
              (core module $m (func (export "f") (result i32) (i32.const 1)))
              {instances}
              (core instance $i (instantiate $m))
              (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
        )
    };
    for part in [r#"(data "")"#, "(elem func)"] {
        assert!(!is_refused(&with(part, 100)).await, "{part}");
        assert!(is_refused(&with(part, 20_000)).await, "{part}");
    }
    let of_components = |inner: &str, count: usize| {
        let many = |name: &str| format!("(instance (instantiate {name}))").repeat(count);
        let (inmost, middle) = (many("$inmost"), many("$middle"));
        format!(
            r#"(component
              (component $middle (component $inmost {inner}) {inmost})
              {middle}
              (core module $m (func (export "f") (result i32) (i32.const 1)))
              (core instance $i (instantiate $m))
              (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
        )
    };
    assert!(!is_refused(&of_components("", 100)).await);
    assert!(is_refused(&of_components("", 900)).await);
    let resources = "(type (resource (rep i32)))".repeat(500);
    assert!(!is_refused(&of_components(&resources, 10)).await);
    assert!(is_refused(&of_components(&resources, 20)).await);
}

#[tokio::test]
async fn a_table_has_a_largest_size() {
    let grow = |by: u32| {
        format!(
            r#"(module (table 0 funcref)
              (func (export "f") (result i32)
                (loop $again
                  (br_if $again
                    (i32.ge_s
                      (table.grow 0 (ref.null func) (i32.const {by}))
                      (i32.const 0))))
                (i32.const 1)))"#
        )
    };
    let limit = "limit: table elements 2097152 (set by default)";
    for by in [100_000, 33_000_000] {
        check(job(&grow(by), "f", &[]), limit).await;
        check(deterministic(job(&grow(by), "f", &[])), limit).await;
    }
    let begins = r#"(module (table 2097153 funcref) (func (export "f")))"#;
    check(job(begins, "f", &[]), limit).await;
}

/// Gives texts and lists that are as long as it is asked for.
const LONG: &str = r#"
    (component
      (core module $m
        (memory (export "memory") 1024)
        (func (export "long") (param $len i32) (result i32)
          (i32.store (i32.const 0) (i32.const 1024))
          (i32.store (i32.const 4) (local.get $len))
          (i32.const 0)))
      (core instance $i (instantiate $m))
      (func (export "text") (param "len" u32) (result string)
        (canon lift (core func $i "long") (memory (core memory $i "memory"))))
      (func (export "list") (param "len" u32) (result (list u64))
        (canon lift (core func $i "long") (memory (core memory $i "memory")))))
"#;

#[tokio::test]
async fn a_long_result_is_never_written_out() {
    let limit = "limit: result 1048576 bytes (set by default)";
    // A zero byte takes five characters, and a zero in a list three.
    for (function, len) in [("text", "200000"), ("list", "340000")] {
        let result = line(&run(job(LONG, function, &[len])).await);
        assert!(result.len() > 1_000_000, "{result}");
    }
    for (function, len) in [("text", "15000000"), ("list", "350000")] {
        check(job(LONG, function, &[len]), limit).await;
        check(deterministic(job(LONG, function, &[len])), limit).await;
    }
}

#[tokio::test]
async fn what_one_call_copies_has_a_limit_with_a_name() {
    let limit = "limit: host copy 16777216 bytes (set by default)";
    check(job(LONG, "text", &["17000000"]), limit).await;
    check(deterministic(job(LONG, "text", &["17000000"])), limit).await;
}

fn deterministic(job: Job) -> Job {
    Job {
        profile: Profile::Deterministic,
        ..job
    }
}
