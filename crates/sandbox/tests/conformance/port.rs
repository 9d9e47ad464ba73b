//! What every implementation of the port does, whatever runs behind it.

use propeller_model::Limits;
use propeller_sandbox::{Act, Entry, Exit, Limit, LimitHit, RunError, Runtime, Scripted, Status};

use crate::support::{bound, job, line, runtime, until};

/// The module that the cases are about.
const GUEST: &str = r#"
    (module
      (func (export "answer") (result i32) (i32.const 42))
      (func (export "fail") unreachable)
      (func (export "burn") (loop $again (br $again)))
      (func (export "hang") (loop $again (br $again))))
"#;

/// Puts `runtime` through every case. `running` is how many of its jobs have not ended.
async fn conforms(runtime: &dyn Runtime, running: &dyn Fn() -> usize) {
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
async fn wasmtime_conforms() {
    let runtime = runtime();
    conforms(&runtime, &|| runtime.running()).await;
}

#[tokio::test]
async fn a_script_conforms() {
    let runtime = Scripted::new(|job| match &job.entry {
        Entry::Named(name) => scripted(name, &job.limits),
        Entry::Default { .. } => Act::End(Err(RunError::Stopped)),
    });
    conforms(&runtime, &|| runtime.running()).await;
}

fn scripted(entry: &str, limits: &Limits) -> Act {
    let status = match entry {
        "answer" => Status::Returned,
        "fail" => Status::Trapped {
            message: "wasm trap: wasm `unreachable` instruction executed".to_owned(),
        },
        "burn" => Status::LimitHit(LimitHit::new(Limit::Fuel, limits)),
        "hang" => return Act::Hang,
        _ => {
            return Act::End(Err(RunError::MissingExport {
                name: entry.to_owned(),
                exports: vec!["answer".to_owned()],
            }));
        }
    };
    let result = matches!(status, Status::Returned).then(|| "42".to_owned());
    Act::End(Ok(Exit {
        result,
        ..Exit::from(status)
    }))
}

#[tokio::test]
async fn a_list_is_played_in_order_and_then_stops() {
    let runtime = Scripted::in_order([
        Act::End(Ok(Exit::from(Status::Exited(3)))),
        Act::End(Err(RunError::NotWasm)),
    ]);
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(line(&runtime.run(job(GUEST, "answer", &[])).await));
    }
    assert_eq!(
        ends,
        [
            "exit 3",
            "error: not a WebAssembly module: the bytes do not start with `\\0asm`",
            "error: the runtime stopped before the job ended",
        ]
    );
}
