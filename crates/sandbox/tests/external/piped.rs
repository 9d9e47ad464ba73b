//! Standard input by a pipe, which a runtime gets as it is.

use std::io::Write;

use propeller_sandbox::Status;
use propeller_sandbox::external::ExternalRuntime;

use crate::cases::{CAT, check, command, run};
use crate::support::bound;

/// What comes by a pipe comes as it is; a guest need not read it, and one that waits for it runs out
/// of time.
pub(crate) async fn streams(runtime: &ExternalRuntime, input: &[u8]) {
    for (body, copied) in [(CAT, true), ("", false)] {
        let (read, mut write) = std::io::pipe().expect("there are pipes");
        let bytes = input.to_vec();
        let feeding = std::thread::spawn(move || write.write_all(&bytes));
        let mut job = command(body);
        job.stdin = read.into();
        let exit = run(runtime, job).await;
        assert_eq!(exit.status, Status::Exited(0), "{body}");
        let expected = if copied { input } else { &[] };
        assert!(exit.stdout == expected, "{} bytes", exit.stdout.len());
        let fed = feeding.join().expect("feeding does not panic");
        assert_eq!(fed.is_ok(), copied, "{fed:?}");
    }
    let (read, _write) = std::io::pipe().expect("there are pipes");
    let mut waits = command(CAT);
    waits.stdin = read.into();
    waits.limits.wall_ms = bound(1000);
    check(runtime, waits, "limit: wall clock 1000 ms (set by task)").await;
}
