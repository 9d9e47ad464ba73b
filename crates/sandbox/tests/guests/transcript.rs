//! What a guest prints, while it runs, and what becomes of more than it may print.

use propeller_model::{Limits, Stream};
use propeller_sandbox::{Exit, Job, Limit, LimitHit, Runtime, Status, Transcript};

use crate::support::{bound, exit, job, runtime, until};

/// Says something on both streams and then works for ever; or counts 100,000 lines and ends.
const GUEST: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "first\n")
      (data (i32.const 80) "oh\n")
      (data (i32.const 96) "000000\n")
      (func $print (param $to i32) (param $at i32) (param $len i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (drop (call $fd_write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8))))
      (func (export "talk")
        (call $print (i32.const 1) (i32.const 64) (i32.const 6))
        (call $print (i32.const 2) (i32.const 80) (i32.const 3))
        (loop $again (br $again)))
      (func $count (local $at i32)
        (local.set $at (i32.const 101))
        (loop $carry
          (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
          (if (i32.gt_u (i32.load8_u (local.get $at)) (i32.const 57)) (then
            (i32.store8 (local.get $at) (i32.const 48))
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (br $carry)))))
      (func (export "_start") (local $left i32)
        (local.set $left (i32.const 20000))
        (loop $again
          (call $print (i32.const 1) (i32.const 96) (i32.const 7))
          (call $count)
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left)))))
"#;

/// All that stands in a transcript from an offset on.
fn text(transcript: &Transcript, stream: Stream, from: u64) -> String {
    let piece = transcript.read(stream, from, 1000).expect("the job runs");
    String::from_utf8(piece.bytes).expect("the guest prints text")
}

#[tokio::test]
async fn output_is_there_while_the_guest_runs() {
    let job = Job {
        limits: Limits {
            fuel: bound(u64::MAX),
            ..Limits::default()
        },
        ..job(GUEST, "talk", &[])
    };
    let transcript = job.transcript.clone();
    let runtime = runtime();
    let run = runtime.run(job);
    tokio::pin!(run);
    let printed = until(|| text(&transcript, Stream::Stderr, 0) == "oh\n");
    tokio::select! {
        () = printed => {}
        end = &mut run => panic!("it runs for ever: {end:?}"),
    }
    assert_eq!(text(&transcript, Stream::Stdout, 0), "first\n");
    assert_eq!(text(&transcript, Stream::Stdout, 4), "t\n");
}

#[tokio::test]
async fn a_whole_transcript_ends_a_guest_that_prints_more_than_it_may() {
    let mut wordy = job(GUEST, "_start", &[]);
    wordy.limits.stdout_bytes = bound(1000);
    let transcript = wordy.transcript.clone();
    let limits = wordy.limits;
    let Exit { status, stdout, .. } = exit(wordy).await;
    assert_eq!(
        status,
        Status::LimitHit(LimitHit::new(Limit::Stdout, &limits))
    );
    assert_eq!(stdout.len(), 1000);
    assert_eq!(transcript.read(Stream::Stdout, 0, 1000), None);
}

#[tokio::test]
async fn a_tail_ends_nobody_and_has_the_last_of_it_also_after_another_run() {
    let mut wordy = Job {
        transcript: Transcript::tail(),
        ..job(GUEST, "_start", &[])
    };
    wordy.limits.stdout_bytes = bound(70);
    let transcript = wordy.transcript.clone();
    let runtime = runtime();
    for run in 1..=2 {
        let ended = runtime.run(wordy.clone()).await.expect("the job runs");
        assert_eq!(ended.status, Status::Exited(0));
        let last: String = (19_990..20_000).map(|n| format!("{n:06}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), last);
        assert_eq!(ended.usage.output_bytes, 140_000);
        assert_eq!(transcript.gone(Stream::Stdout), run * 140_000 - 70);
    }
}
