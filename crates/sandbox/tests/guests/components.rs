//! Components: functions with WAVE text in and out, commands, and what is refused.

use propeller_sandbox::{Entry, Job, RunError, Status, Trap};

use crate::support::{bound, check, exit, job, job_of, run};

const GREET: &str = include_str!("../../../../examples/guests/greet/greet.wat");

/// A Rust program for WASI preview 1 as a component: what compilers for WASI 0.2 emit.
pub(crate) fn hello() -> Vec<u8> {
    component("hello")
}

/// The same of another one.
pub(crate) fn component(guest: &str) -> Vec<u8> {
    use wasi_preview1_component_adapter_provider as adapter;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guests");
    let module = std::fs::read(format!("{folder}/{guest}.wasm"));
    let module = module.expect("the guest is checked in");
    let name = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let adapter = adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
    let encoder = wit_component::ComponentEncoder::default().module(&module);
    let encoder = encoder.and_then(|encoder| encoder.adapter(name, adapter));
    encoder
        .and_then(|mut encoder| encoder.encode())
        .expect("the guest can be a component")
}

#[tokio::test]
async fn functions_take_and_give_wave() {
    for (function, args, result) in [
        ("greet", &[r#""Ada""#][..], r#""Hello, Ada!""#),
        (
            "greet",
            &[r#""d\u{e9}j\u{e0} \"vu\"""#],
            r#""Hello, déjà \"vu\"!""#,
        ),
        ("total", &["[1, 2, 4294967295]"], "4294967298"),
        ("total", &["[]"], "0"),
        ("divide", &["7", "-2"], "ok(-3)"),
        ("divide", &["7", "0"], r#"err("division by zero")"#),
        (
            "demo:greeter/api@1.0.0#greet",
            &[r#""Ada""#],
            r#""Hello, Ada!""#,
        ),
        // Another patch release of the interface.
        (
            "demo:greeter/api@1.0.3#greet",
            &[r#""Ada""#],
            r#""Hello, Ada!""#,
        ),
    ] {
        check(job(GREET, function, args), result).await;
    }
}

#[tokio::test]
async fn arguments_have_to_fit_the_function() {
    for (function, args, error) in [
        (
            "greet",
            &["Ada"][..],
            "argument 1 is not of type string, in double quotes: `Ada`",
        ),
        (
            "total",
            &["[1, -2]"],
            "argument 1 is not of type list<u32>: `[1, -2]`",
        ),
        (
            "divide",
            &["1"],
            "function `divide` takes 2 arguments (s32, s32), not 1",
        ),
        (
            "missing",
            &[],
            "no function `missing` is exported; exported functions: \
             demo:greeter/api@1.0.0#greet, greet, total, divide",
        ),
        (
            "demo:greeter/api@1.0.0#total",
            &[],
            "no function `demo:greeter/api@1.0.0#total` is exported; exported functions: \
             demo:greeter/api@1.0.0#greet, greet, total, divide",
        ),
    ] {
        check(job(GREET, function, args), &format!("error: {error}")).await;
    }
    let long = format!("\"{}\"", "x".repeat(256 * 1024));
    check(
        job(GREET, "greet", &[&long]),
        "error: the arguments have 262146 bytes; a component's function takes at most 262144",
    )
    .await;
}

#[tokio::test]
async fn a_command_has_argv_env_and_standard_streams() {
    let job = Job {
        args: vec!["Ada".to_owned(), "Grace".to_owned()],
        env: vec![("GREETING".to_owned(), "Hi".to_owned())],
        ..job_of(hello())
    };
    let ended = exit(job.clone()).await;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(said.contains("Ada"), "{said}");
    assert_eq!(ended.result, None);
    // By its name, by a core command's, and as the function that it is.
    for name in ["_start", "wasi:cli/run@0.2.0#run"] {
        let named = Job {
            entry: Entry::Named(name.to_owned()),
            args: Vec::new(),
            ..job.clone()
        };
        assert!(run(named).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn limits_hold_for_components_too() {
    let mut greedy = job(GREET, "greet", &[r#""Ada""#]);
    greedy.limits.memory_bytes = bound(1000);
    check(greedy, "limit: memory 1000 bytes (set by task)").await;
    let mut slow = job(GREET, "total", &["[1, 2, 3]"]);
    slow.limits.fuel = bound(10);
    check(slow, "limit: fuel 10 (set by task)").await;
    let mut wordy = job(GREET, "greet", &[r#""Ada""#]);
    wordy.limits.result_bytes = bound(5);
    check(wordy, "limit: result 5 bytes (set by task)").await;
    let mut busy = job_of(hello());
    busy.limits.handles = bound(1);
    check(busy, "limit: open handles 1 (set by task)").await;
}

#[tokio::test]
async fn values_without_a_text_form_are_refused_before_the_call() {
    let resource = r#"
        (component
          (type $r (resource (rep i32)))
          (core module $m (func (export "f") (result i32) (unreachable)))
          (core instance $i (instantiate $m))
          (export $exported "r" (type $r))
          (func (export "f") (result (own $exported)) (canon lift (core func $i "f"))))
    "#;
    let refused = run(job(resource, "f", &[])).await;
    assert!(
        matches!(refused, Err(RunError::UnsupportedSignature { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_a_component_needs_and_does_not_get_is_named() {
    let text =
        r#"(component (import "acme:secret/vault@1.0.0" (instance (export "open" (func)))))"#;
    let refused = run(job(text, "f", &[]))
        .await
        .expect_err("there is no vault");
    assert!(
        refused.to_string().contains("acme:secret/vault@1.0.0"),
        "{refused}"
    );
    check(
        job_of(b"\0asm\x0d\0\x01\0".to_vec()),
        "error: no function `guest` is exported; exported functions: none",
    )
    .await;
}

#[tokio::test]
async fn a_trap_in_a_component_names_its_functions_and_its_kind() {
    let text = r#"
        (component
          (core module $m
            (func $inner unreachable)
            (func $outer (export "fail") (call $inner))
            (func (export "half") (result i32) (i32.const 0xd800)))
          (core instance $i (instantiate $m))
          (func (export "fail") (canon lift (core func $i "fail")))
          (func (export "half") (result char) (canon lift (core func $i "half"))))
    "#;
    let Status::Trapped { trap, message } = exit(job(text, "fail", &[])).await.status else {
        panic!("the guest traps");
    };
    let lines: Vec<&str> = message.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        (trap, lines),
        (Trap::Unreachable, vec!["at inner", "at outer"])
    );
    // Half of a pair of UTF-16 is no character.
    let status = exit(job(text, "half", &[])).await.status;
    let Status::Trapped { trap, .. } = status else {
        panic!("{status:?}");
    };
    assert_eq!(trap, Trap::ComponentRule);
}

#[tokio::test]
async fn memories_are_counted_however_small_they_are() {
    let of = |count: usize| {
        let memories = "(memory 0)".repeat(count);
        format!(
            r#"(component
              (core module $m {memories} (func (export "f") (result i32) (i32.const 1)))
              (core instance (instantiate $m))
              (core instance $i (instantiate $m))
              (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
        )
    };
    check(job(&of(50), "f", &[]), "1").await;
    check(
        job(&of(51), "f", &[]),
        "limit: memories 100 (set by default)",
    )
    .await;
}
