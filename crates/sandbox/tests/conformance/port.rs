//! What every implementation of the port does, whatever runs behind it.

use propeller_sandbox::Runtime;

use crate::support::{bound, job, line, runtime, until};

/// The module that the cases are about.
pub(crate) const GUEST: &str = r#"
    (module
      (func (export "answer") (result i32) (i32.const 42))
      (func (export "fail") unreachable)
      (func (export "burn") (loop $again (br $again)))
      (func (export "hang") (loop $again (br $again))))
"#;

/// Puts `runtime` through every case. `running` is how many of its jobs have not ended.
pub(crate) async fn conforms(runtime: &dyn Runtime, running: &dyn Fn() -> usize) {
    let cases = [
        ("answer", "42"),
        ("fail", "wasm trap: wasm `unreachable` instruction executed"),
        ("burn", "limit: fuel 1000000 (set by task)"),
        (
            "absent",
            "error: no function `absent` is exported; exported functions: answer",
        ),
    ];
    for (entry, expected) in cases {
        let mut job = job(GUEST, entry, &[]);
        job.limits.fuel = bound(1_000_000);
        let end = line(&runtime.run(job).await);
        assert!(end.starts_with(expected), "{entry}: {end}");
        assert_eq!(running(), 0, "{entry}");
    }

    let mut endless = job(GUEST, "hang", &[]);
    endless.limits.fuel = bound(1 << 60);
    tokio::select! {
        end = runtime.run(endless) => panic!("an endless guest ended: {end:?}"),
        () = until(|| running() == 1) => {}
    }
    until(|| running() == 0).await;
}

#[tokio::test]
async fn the_runtime_conforms() {
    let runtime = runtime();
    conforms(&runtime, &|| runtime.running()).await;
}
