//! Both runtimes beside each other: everything but times is the same.

use bytes::Bytes;
use propeller_sandbox::{Exit, Job, RunError, Runtime, Usage, WasmtimeRuntime};

use crate::support::{CONFIG, bound, job, runtime};

const MIB: u64 = 1024 * 1024;

/// One of everything: a result, traps, exit codes, limits, refusals.
const GUEST: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func $deep (export "deep") (call $deep))
      (func (export "add") (param i32 f64) (result f64)
        (f64.add (f64.convert_i32_s (local.get 0)) (local.get 1)))
      (func (export "leave") (call $exit (i32.const 7)))
      (func $inner unreachable)
      (func (export "fail") (call $inner))
      (func (export "outside") (drop (i32.load (i32.const -1))))
      (func (export "zero") (result i32) (i32.div_s (i32.const 1) (i32.const 0)))
      (func (export "burn") (loop $again (br $again)))
      (func (export "grow")
        (loop $again (drop (memory.grow (i32.const 1))) (br $again))))
"#;

/// Copies standard input to standard output.
const CAT: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (func (export "_start") (local $n i32)
        (loop $more
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (i32.const 60000))
          (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $n (i32.load (i32.const 8)))
          (if (local.get $n) (then
            (i32.store (i32.const 4) (local.get $n))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $more))))))
"#;

/// Everything that a job tells but for how long it took, and its output apart.
fn told(end: Result<Exit, RunError>) -> (String, Vec<u8>, Vec<u8>) {
    let exit = match end {
        Ok(exit) => exit,
        Err(error) => return (error.to_string(), Vec::new(), Vec::new()),
    };
    let Exit {
        status,
        result,
        stdout,
        stderr,
        usage,
        engine: _,
    } = exit;
    let usage = Usage {
        compile_us: 0,
        wall_us: 0,
        cpu_us: 0,
        ..usage
    };
    (format!("{status:?} {result:?} {usage:?}"), stdout, stderr)
}

async fn check(processes: &dyn Runtime, threads: &dyn Runtime, job: Job) {
    let entry = format!("{:?}", job.entry);
    // Once before, so that both find compiled code.
    for runtime in [threads, processes] {
        let _first = told(runtime.run(job.clone()).await);
    }
    let (expected, stdout, stderr) = told(threads.run(job.clone()).await);
    let (got, out, err) = told(processes.run(job).await);
    assert_eq!(got, expected, "{entry}");
    assert!(
        out == stdout,
        "{entry}: {} bytes, not {}",
        out.len(),
        stdout.len()
    );
    assert!(
        err == stderr,
        "{entry}: {} bytes, not {}",
        err.len(),
        stderr.len()
    );
}

#[tokio::test]
async fn both_tell_the_same() {
    let processes = runtime();
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    for (entry, args) in [
        ("add", &["2", "0.5"][..]),
        ("add", &["2", "half"]),
        ("add", &[]),
        ("absent", &[]),
        ("deep", &[]),
        ("leave", &[]),
        ("fail", &[]),
        ("outside", &[]),
        ("zero", &[]),
        ("burn", &[]),
        ("grow", &[]),
    ] {
        let mut job = job(GUEST, entry, args);
        job.limits.fuel = bound(10_000_000);
        job.limits.memory_bytes = bound(4 * MIB);
        check(&processes, &threads, job).await;
    }
}

/// A component with data in its memory, which costs no fuel in either.
#[tokio::test]
async fn both_tell_the_same_of_components() {
    let processes = runtime();
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    let greet = include_str!("../../../../examples/guests/greet/greet.wat");
    for (entry, args) in [
        ("greet", &["\"Ada\""][..]),
        ("greet", &["Ada"]),
        ("demo:greeter/api@1.0.0#greet", &["\"Ada\""]),
        ("total", &["[1, 2, 4294967295]"]),
        ("divide", &["7", "0"]),
        ("absent", &[]),
    ] {
        for (fuel, memory) in [(10_000_000, 4 * MIB), (10, 4 * MIB), (10_000_000, 1000)] {
            let mut job = job(greet, entry, args);
            job.limits.fuel = bound(fuel);
            job.limits.memory_bytes = bound(memory);
            check(&processes, &threads, job).await;
        }
    }
    for args in [&[][..], &["Ada"]] {
        let mut hello = crate::support::job_of(crate::components::hello());
        hello.args = args.iter().map(ToString::to_string).collect();
        hello.stdin = Bytes::from_static(b"input").into();
        check(&processes, &threads, hello).await;
    }
}

/// Grows its memory and yields, then computes for ever.
const ENDLESS: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      (memory (export "memory") 1)
      (func (export "run")
        (drop (memory.grow (i32.const 9)))
        (drop (call $yield))
        (loop $again (br $again))))
"#;

#[tokio::test]
async fn both_tell_what_a_guest_used_whose_time_is_over() {
    let processes = runtime();
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    let mut job = job(ENDLESS, "run", &[]);
    job.limits.fuel = bound(1 << 60);
    job.limits.wall_ms = bound(50);
    check(&processes, &threads, job.clone()).await;
    let exit = processes.run(job).await.expect("a limit is an exit");
    assert_eq!(exit.usage.memory_peak_bytes, 10 * 65_536);
    assert!(
        exit.usage.fuel > 0 && exit.usage.cpu_us > 0,
        "{:?}",
        exit.usage
    );
}

/// A daemon's guest has no end by time.
#[tokio::test]
async fn a_guest_may_have_all_the_time_there_is() {
    let mut job = job(GUEST, "add", &["2", "0.5"]);
    job.limits.wall_ms = bound(u64::MAX);
    crate::support::check(job, "2.5").await;
}

/// A process polls nothing: it waits for its pipe in the call that reads, and then says that it is
/// ready.
#[tokio::test]
async fn a_guest_that_polls_its_pipe_waits_for_it() {
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "wait") (result i32 i32)
            (i32.store8 (i32.const 8) (i32.const 1))
            (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))
            (i32.load (i32.const 512))
            (i32.load8_u (i32.const 266))))
    "#;
    let processes = runtime();
    let (read, write) = std::io::pipe().expect("there are pipes");
    let mut waits = job(text, "wait", &[]);
    waits.stdin = read.into();
    let began = std::time::Instant::now();
    let closed = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(write);
    };
    let (end, ()) = tokio::join!(processes.run(waits), closed);
    assert_eq!(crate::support::line(&end), "1 1");
    assert!(began.elapsed().as_millis() >= 100);
}

#[tokio::test]
async fn a_mebibyte_goes_in_and_out() {
    let processes = runtime();
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    let input: Vec<u8> = (0..MIB).map(|at| at.to_le_bytes()[1]).collect();
    let mut copy = job(CAT, "_start", &[]);
    copy.stdin = Bytes::from(input.clone()).into();
    let exit = processes.run(copy.clone()).await.expect("the job runs");
    assert!(exit.stdout == input, "{} bytes came out", exit.stdout.len());
    check(&processes, &threads, copy.clone()).await;

    // One byte more than may come out, and far more arguments than fit into a message.
    copy.limits.stdout_bytes = bound(MIB - 1);
    copy.args = vec!["x".repeat(1000); 200];
    check(&processes, &threads, copy).await;
}

#[tokio::test]
async fn compiled_code_is_sealed_once() {
    let processes = runtime();
    let add = job(GUEST, "add", &["1", "1"]);
    let first = processes
        .run(add.clone())
        .await
        .expect("the job runs")
        .usage;
    let second = processes.run(add).await.expect("the job runs").usage;
    assert!(!first.module_cached && first.compile_us > 0);
    assert!(second.module_cached && second.compile_us == 0);
    assert_eq!(processes.compilations(), 1);
}
