//! Functions: arguments in, results out.

use propeller_sandbox::{Entry, Runtime, Status, Trap};

use crate::support::{BACKTRACES, check, exit, job, job_of, line, runtime};

const ARITHMETIC: &str = r#"
    (module
      (func (export "i32") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
      (func (export "i64") (param i64 i64) (result i64)
        (i64.add (local.get 0) (local.get 1)))
      (func (export "f32") (param f32 f32) (result f32)
        (f32.add (local.get 0) (local.get 1)))
      (func (export "f64") (param f64 f64) (result f64)
        (f64.add (local.get 0) (local.get 1)))
      (func (export "both") (param i32 f64) (result i32 f64)
        (local.get 0) (local.get 1))
      (func (export "nothing")))
"#;

#[tokio::test]
async fn numbers_of_every_type_go_in_and_come_out() {
    check(job(ARITHMETIC, "i32", &["40", "2"]), "42").await;
    check(job(ARITHMETIC, "i32", &["2147483647", "1"]), "-2147483648").await;
    check(job(ARITHMETIC, "i32", &["4294967295", "1"]), "0").await;
    check(job(ARITHMETIC, "i64", &["-9000000000", "1"]), "-8999999999").await;
    check(job(ARITHMETIC, "f32", &["0.1", "0.2"]), "0.3").await;
    check(
        job(ARITHMETIC, "f64", &["0.1", "0.2"]),
        "0.30000000000000004",
    )
    .await;
    check(job(ARITHMETIC, "f64", &["1", "1"]), "2").await;
    check(job(ARITHMETIC, "f64", &["inf", "-inf"]), "NaN").await;
}

#[tokio::test]
async fn several_results_are_joined_and_none_is_none() {
    check(job(ARITHMETIC, "both", &["7", "0.5"]), "7 0.5").await;
    check(job(ARITHMETIC, "nothing", &[]), "nothing").await;
}

#[tokio::test]
async fn a_call_reports_what_it_used() {
    let text = r#"
        (module (memory 2)
          (func (export "count") (param $n i32)
            (loop $again
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br_if $again (local.get $n)))))
    "#;
    let usage = exit(job(text, "count", &["1000"])).await.usage;
    assert!((1000..100_000).contains(&usage.fuel), "{usage:?}");
    assert_eq!(usage.memory_peak_bytes, 2 * 64 * 1024);
    assert!(!usage.module_cached);
    assert!(usage.compile_us > 0);
}

#[tokio::test]
async fn without_a_named_entry_the_hint_comes_first_and_then_the_usual_names() {
    let of = |exports: &[&str]| {
        let funcs: Vec<String> = exports
            .iter()
            .map(|name| {
                format!(
                    "(func (export {name:?}) (result i32) (i32.const {}))",
                    name.len()
                )
            })
            .collect();
        job_of(wat::parse_str(format!("(module {})", funcs.join(" "))).expect("well-formed"))
    };
    check(of(&["run", "main", "_start", "guest"]), "5").await;
    check(of(&["run", "main", "_start"]), "6").await;
    check(of(&["run", "main"]), "4").await;
    check(of(&["run"]), "3").await;
    check(
        of(&["other"]),
        "error: no function `guest` is exported; exported functions: other",
    )
    .await;
}

#[tokio::test]
async fn a_named_entry_is_exactly_that_one() {
    let text = r#"(module (memory (export "memory") 1) (func (export "run")))"#;
    let refused = "is exported; exported functions: run";
    check(
        job(text, "add", &[]),
        &format!("error: no function `add` {refused}"),
    )
    .await;
    check(
        job(text, "memory", &[]),
        &format!("error: no function `memory` {refused}"),
    )
    .await;
}

#[tokio::test]
async fn a_library_is_initialized_before_its_function_is_called() {
    let text = r#"
        (module
          (global $ready (mut i32) (i32.const 0))
          (func (export "_initialize") (global.set $ready (i32.const 7)))
          (func (export "ready") (result i32) (global.get $ready)))
    "#;
    check(job(text, "ready", &[]), "7").await;
}

#[tokio::test]
async fn every_job_starts_from_a_fresh_instance() {
    let text = r#"
        (module (memory 1)
          (func (export "count") (result i32)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (i32.load (i32.const 0))))
    "#;
    let runtime = runtime();
    for _ in 0..3 {
        assert_eq!(line(&runtime.run(job(text, "count", &[])).await), "1");
    }
}

#[tokio::test]
async fn a_trap_names_its_reason_and_the_functions_that_were_active() {
    let text = r#"
        (module
          (func $inner unreachable)
          (func $outer (export "fail") (call $inner)))
    "#;
    let Status::Trapped { message, .. } = exit(job(text, "fail", &[])).await.status else {
        panic!("the guest traps");
    };
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    let reason = "wasm trap: wasm `unreachable` instruction executed";
    let named: &[&str] = if BACKTRACES {
        &["at inner", "at outer"]
    } else {
        &[]
    };
    assert_eq!(lines, [&[reason], named].concat());
}

#[tokio::test]
async fn a_trap_in_a_start_function_is_the_guests() {
    let text = r#"(module (func $boom unreachable) (start $boom) (func (export "run")))"#;
    check(
        job(text, "run", &[]),
        "wasm trap: wasm `unreachable` instruction executed",
    )
    .await;
}

#[tokio::test]
async fn an_entry_that_only_looks_like_a_command_is_a_function() {
    let text = r#"(module (func (export "_start") (param i32) (result i32) (local.get 0)))"#;
    let mut job = job(text, "_start", &["9"]);
    job.entry = Entry::Default {
        hint: "absent".to_owned(),
    };
    check(job, "9").await;
}

#[tokio::test]
async fn every_trap_is_told_by_its_kind() {
    let text = r#"
        (module
          (type $none (func))
          (type $one (func (param i32)))
          (memory 1)
          (table 2 funcref)
          (elem (i32.const 0) $entry)
          (func $entry)
          (func (export "unreachable") unreachable)
          (func (export "load") (drop (i32.load (i32.const -4))))
          (func (export "table") (call_indirect (type $none) (i32.const 9)))
          (func (export "null") (call_indirect (type $none) (i32.const 1)))
          (func (export "signature") (call_indirect (type $one) (i32.const 1) (i32.const 0)))
          (func (export "zero") (drop (i32.div_s (i32.const 1) (i32.const 0))))
          (func (export "overflow")
            (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
          (func (export "nan") (drop (i32.trunc_f64_s (f64.const nan)))))
    "#;
    let runtime = runtime();
    for (entry, expected) in [
        ("unreachable", Trap::Unreachable),
        ("load", Trap::MemoryOutOfBounds),
        ("table", Trap::TableOutOfBounds),
        ("null", Trap::IndirectCallToNull),
        ("signature", Trap::BadSignature),
        ("zero", Trap::DivisionByZero),
        ("overflow", Trap::IntegerOverflow),
        ("nan", Trap::BadConversion),
    ] {
        let ended = runtime.run(job(text, entry, &[])).await;
        let status = ended.expect("the job runs").status;
        let Status::Trapped { trap, .. } = &status else {
            panic!("{entry}: {status:?}");
        };
        assert_eq!(*trap, expected, "{entry}");
        let hint = status.hint().expect("every trap has one");
        // Where no function is named, no hint sends anybody to look for it.
        match BACKTRACES {
            true => assert_eq!(hint, expected.hint()),
            false => assert!(!hint.contains("backtrace"), "{hint}"),
        }
    }
}
