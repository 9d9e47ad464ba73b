//! Pipes of guests that get their input as a whole: it is read before they begin.

use std::io::{self, Write};

use propeller_model::Profile;
use propeller_sandbox::{RunError, STDIN_IN_MEMORY_MAX, Status};

use crate::piped::{fed, piped};
use crate::support::{bound, check, exit, job_of, line, run};

fn feed(len: usize) -> impl FnOnce(&mut io::PipeWriter) -> io::Result<()> + Send {
    move |pipe| {
        let block = vec![b'a'; 65_536];
        for _ in 0..len / block.len() {
            pipe.write_all(&block)?;
        }
        pipe.write_all(&block[..len % block.len()])
    }
}

#[tokio::test]
async fn a_deterministic_guest_gets_a_mebibyte_as_from_memory() {
    let mut ends = Vec::new();
    for whole in [true, false] {
        let (stdin, _feeding) = fed(feed(1024 * 1024));
        let mut job = piped("sum", &["60000"], stdin);
        job.profile = Profile::Deterministic;
        if whole {
            job.stdin = bytes::Bytes::from(vec![b'a'; 1024 * 1024]).into();
        }
        let exit = exit(job).await;
        let given = if whole { 1024 * 1024 + 5 } else { 5 };
        assert_eq!(exit.usage.input_bytes, given);
        ends.push((exit.status, exit.result, exit.usage.fuel));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].0, Status::Returned);
}

#[tokio::test]
async fn the_most_that_is_taken_as_a_whole_is_taken_and_no_more() {
    for (len, fits) in [
        (STDIN_IN_MEMORY_MAX, true),
        (STDIN_IN_MEMORY_MAX + 1, false),
    ] {
        let (stdin, _feeding) = fed(feed(len));
        let mut job = piped("leave", &[], stdin);
        job.profile = Profile::Deterministic;
        let end = run(job).await;
        match fits {
            true => assert_eq!(line(&end), "nothing"),
            false => {
                assert!(matches!(end, Err(RunError::StdinTooLong { .. })), "{end:?}");
                let bound = "limit: standard input 67108864 bytes";
                assert!(line(&end).contains(bound), "{}", line(&end));
            }
        }
    }
}

#[tokio::test]
async fn a_pipe_that_does_not_end_is_waited_for_as_long_as_a_guest_may_take() {
    let (read, write) = io::pipe().expect("there are pipes");
    let mut job = piped("leave", &[], read.into());
    job.profile = Profile::Deterministic;
    job.limits.wall_ms = bound(50);
    check(
        job,
        "error: limit: wall clock 50 ms (set by task): standard input has not ended, and a \
         deterministic guest or a job in chunks begins when all of it is there",
    )
    .await;
    drop(write);
}

#[tokio::test]
async fn a_component_reads_a_pipe_too() {
    let mut words = job_of(crate::components::component("wordcount"));
    let (stdin, feeding) = fed(|pipe| {
        for _ in 0..100_000 {
            pipe.write_all(b"one two ")?;
        }
        Ok(())
    });
    words.stdin = stdin;
    let by_pipe = exit(words.clone()).await;
    let fed = feeding.join().expect("feeding does not panic");
    fed.expect("all of it is read");
    words.stdin = bytes::Bytes::from(b"one two ".repeat(100_000)).into();
    let whole = exit(words).await;
    assert_eq!(by_pipe.status, Status::Exited(0));
    assert_eq!(
        String::from_utf8_lossy(&by_pipe.stdout),
        String::from_utf8_lossy(&whole.stdout)
    );
}
