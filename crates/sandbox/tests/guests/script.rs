//! The runtime that is a script, which stands in for the others in the tests of their callers.

use propeller_model::Limits;
use propeller_sandbox::{
    Act, Entry, Exit, Limit, LimitHit, RunError, Runtime, Scripted, Status, Trap,
};

use crate::single::port::{GUEST, conforms};
use crate::support::{job, line};

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
            trap: Trap::Unreachable,
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
