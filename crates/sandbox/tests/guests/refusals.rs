//! Jobs that cannot run as they were asked to.

use propeller_sandbox::{RunError, Runtime};

use crate::support::{check, job, job_of, run, runtime};

const ADD: &str = r#"
    (module
      (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))
"#;

#[tokio::test]
async fn arguments_have_to_fit_the_function() {
    check(
        job(ADD, "add", &["1"]),
        "error: function `add` takes 2 arguments (i32, i32), not 1",
    )
    .await;
    check(
        job(ADD, "add", &["1", "2", "3"]),
        "error: function `add` takes 2 arguments (i32, i32), not 3",
    )
    .await;
    check(
        job(ADD, "add", &["1", "two"]),
        "error: argument 2 is not of type i32: `two`",
    )
    .await;
    check(
        job(r#"(module (func (export "run")))"#, "run", &["1"]),
        "error: function `run` takes 0 arguments (none), not 1",
    )
    .await;
}

#[tokio::test]
async fn values_without_a_text_form_are_refused() {
    let vector = r#"
        (module (func (export "v") (result v128) (v128.const i32x4 0 0 0 0)))
    "#;
    let reference = r#"(module (func (export "r") (param externref)))"#;
    for job in [job(vector, "v", &[]), job(reference, "r", &["x"])] {
        let refused = run(job).await;
        assert!(
            matches!(refused, Err(RunError::UnsupportedSignature { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_module_are_refused() {
    let not_wasm = "error: not a WebAssembly module: the bytes do not start with `\\0asm`";
    check(job_of(Vec::new()), not_wasm).await;
    check(job_of(b"\x7fELF".to_vec()), not_wasm).await;
    check(job_of(ADD.as_bytes().to_vec()), not_wasm).await;
}

#[tokio::test]
async fn a_module_that_is_cut_off_anywhere_is_refused() {
    let whole = wat::parse_str(ADD).expect("well-formed");
    let runtime = runtime();
    // What is cut between two sections may be valid, but then it exports nothing.
    for len in 4..whole.len() {
        let cut = runtime.run(job_of(whole[..len].to_vec())).await;
        assert!(
            matches!(
                cut,
                Err(RunError::Invalid { .. } | RunError::MissingExport { .. })
            ),
            "{len} bytes: {cut:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_import_is_named() {
    let text = r#"(module (import "env" "secret" (func)) (func (export "run")))"#;
    check(
        job(text, "run", &[]),
        "error: import `env.secret` is not offered to guests",
    )
    .await;
}

#[tokio::test]
async fn shared_memory_is_refused_because_it_grows_past_the_limiter() {
    let text = r#"(module (memory 1 2 shared) (func (export "run")))"#;
    let refused = run(job(text, "run", &[])).await;
    assert!(
        matches!(refused, Err(RunError::Invalid { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_error_carries_no_control_characters_of_a_guest() {
    let text = r#"(module (import "\1b[2J" "\07" (func)) (func (export "run")))"#;
    check(
        job(text, "run", &[]),
        "error: import `\\u{1b}[2J.\\u{7}` is not offered to guests",
    )
    .await;
}
