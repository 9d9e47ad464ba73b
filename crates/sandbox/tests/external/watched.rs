//! What is there to read of a guest's output while it runs.

use propeller_model::Stream;
use propeller_sandbox::external::ExternalRuntime;
use propeller_sandbox::{Exit, Job, Runtime, Status, Transcript};

use crate::cases::{PRELUDE, command, run};
use crate::support::{bound, job, until};

/// Prints `first`, `next` and `last` to standard output, and `oh` to standard error, each in a line.
const PRINTS: &str = r#"
  (data (i32.const 600) "first\nnext\nlast\noh\n")
  (func $talk
    (call $write (i32.const 1) (i32.const 600) (i32.const 6))
    (call $write (i32.const 1) (i32.const 606) (i32.const 5))
    (call $write (i32.const 1) (i32.const 611) (i32.const 5))
    (call $write (i32.const 2) (i32.const 616) (i32.const 3)))
"#;

/// What it prints is there before it ends; of a function with `results`, all but what may be them.
pub(crate) async fn streams(runtime: &ExternalRuntime, functions: bool, hidden: usize) {
    let spin = "(call $talk) (loop $again (br $again)) unreachable";
    let text = format!(
        r#"(module {PRELUDE} {PRINTS}
          (func (export "_start") {spin})
          (func (export "quiet") {spin})
          (func (export "asks") (param i32) {spin})
          (func (export "gives") (param i32) (result i32) {spin}))"#
    );
    let all = "first\nnext\nlast\n";
    shows(runtime, job(&text, "_start", &[]), all).await;
    if functions {
        shows(runtime, job(&text, "quiet", &[]), all).await;
        shows(runtime, job(&text, "asks", &["1"]), all).await;
        let lines: Vec<&str> = all.split_inclusive('\n').collect();
        let shown = lines[..lines.len() - hidden].concat();
        shows(runtime, job(&text, "gives", &["1"]), &shown).await;
    }
    daemon(runtime).await;
}

/// All that stands in a transcript.
fn text(transcript: &Transcript, stream: Stream) -> String {
    let piece = transcript.read(stream, 0, 1000).expect("the job runs");
    String::from_utf8(piece.bytes).expect("the guest prints text")
}

async fn shows(runtime: &ExternalRuntime, mut job: Job, stdout: &str) {
    job.limits.fuel.value = u64::MAX;
    job.limits.wall_ms.value = u64::MAX;
    let entry = format!("{:?}", job.entry);
    let transcript = job.transcript.clone();
    // The two come over pipes of their own, in any order.
    let there = until(|| {
        let printed = text(&transcript, Stream::Stdout).len() >= stdout.len();
        printed && text(&transcript, Stream::Stderr) == "oh\n"
    });
    tokio::select! {
        () = there => {}
        end = runtime.run(job) => panic!("{entry}: it runs for ever: {end:?}"),
    }
    assert_eq!(text(&transcript, Stream::Stdout), stdout, "{entry}");
}

/// A daemon's output is bounded by what is kept, not by its end.
async fn daemon(runtime: &ExternalRuntime) {
    let print = "(call $write (i32.const 1) (i32.const 512) (i32.const 7))";
    let body = format!(
        "(loop $again {print} (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))"
    );
    let mut wordy = command(&body);
    wordy.transcript = Transcript::tail();
    wordy.limits.stdout_bytes = bound(14);
    let transcript = wordy.transcript.clone();
    let Exit {
        status,
        stdout,
        usage,
        ..
    } = run(runtime, wordy).await;
    assert_eq!(status, Status::Exited(0));
    assert_eq!(stdout, b"before\nbefore\n");
    assert_eq!(usage.output_bytes, 7000);
    assert_eq!(transcript.gone(Stream::Stdout), 6986);
}
