//! Standard input by a pipe: of any length, in little memory, at whatever pace it comes.

use std::io::{self, ErrorKind, PipeWriter, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_sandbox::{Job, Runtime, Status, Stdin};

use crate::support::{alone, bound, check, exit, job, line, run, runtime, until};

/// Reads its input in pieces of a given length. `sum` gives how many bytes there were and what a few
/// of each piece add up to, `copy` prints all of it, `look` tries a read without room, and `leave`
/// reads nothing.
pub(crate) const READER: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 3)
      (func $read (param $len i32) (result i32)
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (local.get $len))
        (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
          (then unreachable))
        (i32.load (i32.const 8)))
      (func (export "sum") (param $len i32) (result i64 i64)
        (local $n i32) (local $at i32) (local $count i64) (local $sum i64)
        (loop $more
          (local.set $n (call $read (local.get $len)))
          (local.set $count (i64.add (local.get $count) (i64.extend_i32_u (local.get $n))))
          (local.set $at (i32.const 0))
          (loop $next
            (if (i32.le_u (i32.add (local.get $at) (i32.const 8)) (local.get $n)) (then
              (local.set $sum
                (i64.xor
                  (i64.rotl (local.get $sum) (i64.const 1))
                  (i64.load (i32.add (i32.const 65536) (local.get $at)))))
              (local.set $at (i32.add (local.get $at) (i32.const 4096)))
              (br $next))))
          (br_if $more (local.get $n)))
        (local.get $count) (local.get $sum))
      (func (export "copy") (param $len i32) (local $n i32)
        (loop $more
          (local.set $n (call $read (local.get $len)))
          (if (local.get $n) (then
            (i32.store (i32.const 4) (local.get $n))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $more)))))
      (func (export "look") (result i32 i32 i32)
        (i32.store (i32.const 4) (i32.const 0))
        (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (call $read (i32.const 10))
        (i32.store (i32.const 4) (i32.const 0))
        (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (func (export "leave")))
"#;

/// More than a guest's process may have for everything.
const LONG: usize = 160 * 1024 * 1024;
const BLOCK: usize = 64 * 1024;
const STRIDE: usize = 4096;

/// How much this process may grow meanwhile.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

/// How late an end may be on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);

type Feeding = JoinHandle<io::Result<()>>;

/// A pipe that a thread feeds.
pub(crate) fn fed(
    feed: impl FnOnce(&mut PipeWriter) -> io::Result<()> + Send + 'static,
) -> (Stdin, Feeding) {
    let (read, mut write) = io::pipe().expect("there are pipes");
    let feeding = std::thread::spawn(move || feed(&mut write));
    (read.into(), feeding)
}

/// A pipe with these bytes, written in pieces of several lengths.
fn pieces(bytes: &[u8]) -> (Stdin, Feeding) {
    let bytes = bytes.to_vec();
    fed(move |pipe| {
        let mut left = &bytes[..];
        for len in [1, 7, 4095, 65_537].into_iter().cycle() {
            if left.is_empty() {
                return Ok(());
            }
            let (piece, rest) = left.split_at(left.len().min(len));
            pipe.write_all(piece)?;
            left = rest;
        }
        Ok(())
    })
}

pub(crate) fn piped(entry: &str, args: &[&str], stdin: Stdin) -> Job {
    let mut job = job(READER, entry, args);
    job.stdin = stdin;
    job
}

fn went_well(feeding: Feeding) {
    let fed = feeding.join().expect("feeding does not panic");
    fed.expect("the guest reads all of it");
}

/// Whoever feeds it is told that nobody reads.
fn went_nowhere(feeding: Feeding) {
    let fed = feeding.join().expect("feeding does not panic");
    let error = fed.expect_err("there is more than anybody takes");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// For ever, until nobody reads.
fn flood(pipe: &mut PipeWriter) -> io::Result<()> {
    loop {
        pipe.write_all(&[7; 1000])?;
    }
}

/// Writes [`LONG`] bytes, of which those differ that are summed.
fn long(pipe: &mut PipeWriter) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    for at in 0..LONG / BLOCK {
        mark(&mut block, at);
        pipe.write_all(&block)?;
    }
    Ok(())
}

fn mark(block: &mut [u8], number: usize) {
    for place in (0..BLOCK).step_by(STRIDE) {
        let value = (number * BLOCK + place) as u64;
        let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        block[place..place + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn sum_of_long() -> i64 {
    let mut block = vec![0; BLOCK];
    let mut sum = 0_u64;
    for at in 0..LONG / BLOCK {
        mark(&mut block, at);
        for place in (0..BLOCK).step_by(STRIDE) {
            let mut value = [0; 8];
            value.copy_from_slice(&block[place..place + 8]);
            sum = sum.rotate_left(1) ^ u64::from_le_bytes(value);
        }
    }
    sum.cast_signed()
}

/// The most that this process has had in memory.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line
        .expect("Linux counts it")
        .trim()
        .trim_end_matches(" kB");
    digits.parse().expect("it is a number")
}

#[tokio::test]
async fn a_long_input_takes_little_memory() {
    if !alone("piped::a_long_input_takes_little_memory") {
        return;
    }
    let runtime = runtime();
    let expected = format!("{LONG} {}", sum_of_long());
    for _ in 0..2 {
        let before = peak_kib();
        let (stdin, feeding) = fed(long);
        let mut sum = piped("sum", &["65536"], stdin);
        sum.limits.memory_bytes = bound(1024 * 1024);
        let began = Instant::now();
        let end = runtime.run(sum).await;
        println!("{LONG} bytes in {:?}", began.elapsed());
        assert_eq!(line(&end), expected);
        went_well(feeding);
        let usage = end.expect("it ended well").usage;
        assert_eq!(usage.input_bytes, "65536".len() as u64);
        let grown = peak_kib() - before;
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    }
}

#[tokio::test]
async fn the_bytes_are_those_of_an_input_from_memory() {
    let runtime = runtime();
    for len in [0, 1, 9, BLOCK - 1, BLOCK, BLOCK + 1, 200_000] {
        let input: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[1] ^ 0x5a).collect();
        for piece in ["3", "1000", "65536"] {
            if len > 10 * BLOCK && piece == "3" {
                continue;
            }
            let whole = piped("copy", &[piece], Bytes::from(input.clone()).into());
            let whole = runtime.run(whole).await.expect("the job runs");
            let (stdin, feeding) = pieces(&input);
            let by_pipe = runtime.run(piped("copy", &[piece], stdin)).await;
            let by_pipe = by_pipe.expect("the job runs");
            assert_eq!(by_pipe.status, Status::Returned);
            assert!(by_pipe.stdout == input, "{len} in pieces of {piece}");
            assert!(whole.stdout == input, "{len} in pieces of {piece}");
            went_well(feeding);
        }
    }
}

#[tokio::test]
async fn a_read_without_room_is_as_from_memory() {
    for (input, told) in [
        (&b""[..], "0 0 0"),
        (b"x", "27 1 0"),
        (&[1; 11], "27 10 27"),
    ] {
        let whole = Bytes::copy_from_slice(input).into();
        check(piped("look", &[], whole), told).await;
        let (stdin, feeding) = pieces(input);
        check(piped("look", &[], stdin), told).await;
        went_well(feeding);
    }
}

#[tokio::test]
async fn a_guest_need_not_read() {
    let (stdin, feeding) = fed(flood);
    check(piped("leave", &[], stdin), "nothing").await;
    went_nowhere(feeding);
}

#[tokio::test]
async fn a_writer_that_goes_early_ends_the_input() {
    let (stdin, feeding) = fed(|pipe| pipe.write_all(b"the beginn"));
    let exit = exit(piped("copy", &["4"], stdin)).await;
    assert_eq!(exit.status, Status::Returned);
    assert_eq!(exit.stdout, b"the beginn");
    went_well(feeding);
}

#[tokio::test]
async fn a_guest_that_waits_for_input_can_be_stopped() {
    let runtime = runtime();
    let (read, mut write) = io::pipe().expect("there are pipes");
    write.write_all(b"a little").expect("there is room");
    tokio::select! {
        end = runtime.run(piped("copy", &["4"], read.into())) => panic!("it ended: {end:?}"),
        () = async {
            until(|| runtime.running() == 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        } => {}
    }
    until(|| runtime.running() == 0).await;
    let began = Instant::now();
    while write.write_all(b"more").is_ok() {
        assert!(began.elapsed() < PATIENCE, "somebody still has the pipe");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_input_runs_out_of_time() {
    let (read, mut write) = io::pipe().expect("there are pipes");
    write.write_all(b"a little").expect("there is room");
    let mut waits = piped("copy", &["4"], read.into());
    waits.limits.wall_ms = bound(60);
    let began = Instant::now();
    let end = run(waits).await;
    assert_eq!(line(&end), "limit: wall clock 60 ms (set by task)");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    // It has said so itself: of a process that has to be killed nobody knows.
    let usage = end.expect("a limit is an exit").usage;
    assert_eq!(usage.memory_peak_bytes, 3 * BLOCK as u64);
    assert!(usage.wall_us >= 60_000, "{usage:?}");
    drop(write);
}

#[tokio::test]
async fn a_daemon_has_no_pipe() {
    let (read, _write) = io::pipe().expect("there are pipes");
    let mut daemon = piped("copy", &["4"], read.into());
    daemon.daemon = Some(daemon.limits);
    check(
        daemon,
        "error: standard input of a daemon cannot be a stream: a daemon begins again after a \
         failure, and a stream does not; give it as a whole, or let the daemon fetch it",
    )
    .await;
}
