//! What every external runtime does, as far as it can, and what it refuses.

use bytes::Bytes;
use propeller_sandbox::external::ExternalRuntime;
use propeller_sandbox::{Exit, Job, RunError, Runtime, Status};

use crate::support::{bound, gives_way, job, line, marked, unique, until};
use crate::{piped, watched};

const MIB: usize = 1024 * 1024;

/// What a runtime can do.
pub(crate) struct Can {
    pub(crate) functions: bool,
    pub(crate) fuel: bool,
    pub(crate) stack: bool,
    pub(crate) grow: Grow,
    /// Whether the guest sees the job's name.
    pub(crate) name: bool,
    pub(crate) empty_variables: bool,
    pub(crate) backtrace: bool,
    /// How many lines of a function with a result are told only at its end.
    pub(crate) hidden: usize,
}

/// What becomes of a guest that grows past its limit.
#[derive(PartialEq, Eq)]
pub(crate) enum Grow {
    /// It ends.
    Ends,
    /// `memory.grow` answers -1.
    Fails,
}

/// WASI, and functions that print and read.
pub(crate) const PRELUDE: &str = r#"
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 512) "before\n")
  (func $write (param $fd i32) (param $at i32) (param $len i32)
    (loop $more
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $len))
      (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
      (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
      (br_if $more (local.get $len))))
"#;

/// A command of this body.
pub(crate) fn command(body: &str) -> Job {
    job(
        &format!(r#"(module {PRELUDE} (func (export "_start") (local $n i32) {body}))"#),
        "_start",
        &[],
    )
}

const ECHO: &str = "
  (drop (call $args_sizes (i32.const 16) (i32.const 20)))
  (drop (call $args (i32.const 1024) (i32.const 65536)))
  (call $write (i32.const 1) (i32.const 65536) (i32.load (i32.const 20)))
  (drop (call $env_sizes (i32.const 16) (i32.const 20)))
  (drop (call $env (i32.const 1024) (i32.const 65536)))
  (if (i32.load (i32.const 20)) (then
    (call $write (i32.const 1) (i32.const 65536) (i32.load (i32.const 20)))))";

pub(crate) const CAT: &str = "
  (loop $more
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 60000))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $n (i32.load (i32.const 8)))
    (if (local.get $n) (then
      (call $write (i32.const 1) (i32.const 65536) (local.get $n))
      (br $more))))";

const SPIN: &str = "(loop $again (br $again))";

/// Functions of all kinds.
const FUNCTIONS: &str = r#"
  (func (export "add") (param i32 f64) (result f64)
    (f64.add (f64.convert_i32_s (local.get 0)) (local.get 1)))
  (func (export "all") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3))
  (func (export "says") (result i32)
    (call $write (i32.const 1) (i32.const 512) (i32.const 7)) (i32.const 42))
  (func (export "mumbles") (result i32)
    (call $write (i32.const 1) (i32.const 512) (i32.const 6)) (i32.const 42))
  (func (export "quiet"))
  (func (export "leave") (call $exit (i32.const 7)))
  (func $inner unreachable)
  (func (export "fail") (call $write (i32.const 2) (i32.const 512) (i32.const 7)) (call $inner))
  (func $deep (export "deep") (call $deep))
  (func (export "grow") (result i32)
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.size))
"#;

fn function(name: &str, args: &[&str]) -> Job {
    job(&format!("(module {PRELUDE} {FUNCTIONS})"), name, args)
}

/// Puts `runtime` through every case.
pub(crate) async fn conforms(runtime: &ExternalRuntime, can: &Can) {
    commands(runtime, can).await;
    streams(runtime).await;
    watched::streams(runtime, can.functions, can.hidden).await;
    limits(runtime, can).await;
    refusals(runtime, can).await;
    if can.functions {
        functions(runtime, can).await;
    } else {
        check(
            runtime,
            function("quiet", &[]),
            "cannot call the function `quiet`",
        )
        .await;
    }
    nothing_is_left(runtime).await;
}

pub(crate) async fn run(runtime: &ExternalRuntime, job: Job) -> Exit {
    runtime.run(job).await.expect("the job runs")
}

pub(crate) async fn check(runtime: &ExternalRuntime, job: Job, expected: &str) {
    let entry = format!("{:?} {:?}", job.entry, job.args);
    let end = line(&runtime.run(job).await);
    assert!(end.contains(expected), "{entry}: {end}");
}

async fn commands(runtime: &ExternalRuntime, can: &Can) {
    let mut echo = command(ECHO);
    // What would be options of one runtime or another.
    let args = [
        "-h",
        "--invoke=x",
        "--",
        "-Wfuel=1",
        "two words",
        "",
        "ümlaut",
        "--fuel",
    ];
    echo.args = args.map(str::to_owned).to_vec();
    echo.env = vec![("KEY".to_owned(), "--value=x y".to_owned())];
    let exit = run(runtime, echo).await;
    assert_eq!(exit.status, Status::Exited(0), "{exit:?}");
    let stdout = String::from_utf8(exit.stdout).expect("arguments are text");
    let (name, rest) = stdout.split_once('\0').expect("there is a name");
    assert_eq!(rest, format!("{}\0KEY=--value=x y\0", args.join("\0")));
    assert!(name == "guest" || !can.name, "{name}");
    assert!(exit.usage.wall_us > 0 && exit.usage.cpu_us > 0 && exit.usage.memory_peak_bytes > 0);

    check(runtime, command("(call $exit (i32.const 7))"), "exit 7").await;
    check(runtime, command("(call $exit (i32.const 1))"), "exit 1").await;
    check(runtime, command(""), "exit 0").await;
    let mut none = command(ECHO);
    none.env.clear();
    let stdout = run(runtime, none).await.stdout;
    assert!(
        !stdout.contains(&b'='),
        "the guest sees a variable: {stdout:?}"
    );
    // No folder is open, so that no path leads anywhere.
    let open = "(call $exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 512)
        (i32.const 6) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))";
    let bad_descriptor = "exit 8";
    check(runtime, command(open), bad_descriptor).await;

    let fail = "(call $write (i32.const 2) (i32.const 512) (i32.const 7)) unreachable";
    let exit = run(runtime, command(fail)).await;
    assert!(matches!(exit.status, Status::Trapped { .. }), "{exit:?}");
    assert_eq!(exit.stderr, b"before\n", "{exit:?}");
}

async fn streams(runtime: &ExternalRuntime) {
    let input: Vec<u8> = (0..MIB as u64).map(|at| at.to_le_bytes()[1]).collect();
    for (body, copied) in [
        (CAT, true),
        ("", false),
        ("(drop (call $close (i32.const 0)))", false),
    ] {
        let mut job = command(body);
        job.stdin = Bytes::from(input.clone()).into();
        let exit = run(runtime, job).await;
        assert_eq!(exit.status, Status::Exited(0), "{body}");
        assert!(exit.stdout.is_empty() || exit.stdout == input, "{body}");
        assert_eq!(!exit.stdout.is_empty(), copied, "{body}");
        assert_eq!(exit.usage.input_bytes, MIB as u64);
    }
    piped::streams(runtime, &input).await;
    for (fd, name) in [(1, "stdout"), (2, "stderr")] {
        let flood = format!(
            "(loop $again (call $write (i32.const {fd}) (i32.const 512) (i32.const 10000)) (br $again))"
        );
        let mut job = command(&flood);
        job.limits.stdout_bytes = bound(100_000);
        job.limits.stderr_bytes = bound(100_000);
        let exit = run(runtime, job).await;
        let kept = [exit.stdout.len(), exit.stderr.len()][fd - 1];
        assert_eq!(kept, 100_000);
        let expected = format!("limit: {name} 100000 bytes (set by task)");
        assert_eq!(line(&Ok(exit)), expected);
    }
}

async fn limits(runtime: &ExternalRuntime, can: &Can) {
    let mut late = command(SPIN);
    late.limits.wall_ms = bound(400);
    late.limits.fuel.value = u64::MAX;
    check(runtime, late, "limit: wall clock 400 ms (set by task)").await;

    let mut hungry = command(SPIN);
    hungry.limits.fuel = bound(1_000_000);
    if can.fuel {
        check(runtime, hungry, "limit: fuel 1000000 (set by task)").await;
    } else {
        check(
            runtime,
            hungry,
            "cannot hold a limit of fuel, and the task asks",
        )
        .await;
    }

    let mut large = command("");
    large.limits.memory_bytes = bound(3 * 65536);
    check(runtime, large, "limit: memory 196608 bytes (set by task)").await;
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (call $exit (memory.size))";
    let mut grow = command(grow);
    grow.limits.memory_bytes = bound(MIB as u64);
    if can.grow == Grow::Ends {
        check(runtime, grow, "limit: memory 1048576 bytes (set by task)").await;
    } else {
        check(runtime, grow, "exit 16").await;
    }

    let mut handles = command("");
    handles.limits.handles = bound(10);
    check(runtime, handles, "cannot hold a limit of open handles").await;
    let mut stack = command("");
    stack.limits.stack_bytes = bound(500_000);
    let expected = if can.stack {
        "exit 0"
    } else {
        "cannot hold a limit of stack"
    };
    check(runtime, stack, expected).await;
}

async fn refusals(runtime: &ExternalRuntime, can: &Can) {
    check(
        runtime,
        function("absent", &[]),
        "no function `absent` is exported",
    )
    .await;
    check(
        runtime,
        function("add", &["1"]),
        if can.functions {
            "takes 2 arguments (i32, f64), not 1"
        } else {
            "cannot call"
        },
    )
    .await;
    let component = job("(component)", "_start", &[]);
    check(runtime, component, "cannot run components").await;
    let foreign = job(r#"(module (import "env" "secret" (func)))"#, "_start", &[]);
    check(runtime, foreign, "import `env.secret` is not offered").await;
    let mut text = command("");
    text.wasm = Bytes::from_static(b"(module)");
    check(runtime, text, "not a WebAssembly module").await;
    let mut cut = command("");
    cut.wasm.truncate(cut.wasm.len() - 1);
    check(runtime, cut, "invalid WebAssembly module").await;
    let wrong = job("(module (func (export \"_start\") i32.add))", "_start", &[]);
    let mut wrong = wrong;
    wrong.limits.fuel.set_by = propeller_model::SetBy::Default;
    check(runtime, wrong, "invalid WebAssembly module").await;

    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")] {
        let mut job = command("");
        job.env = vec![(name.to_owned(), value.to_owned())];
        let refused = runtime.run(job).await;
        assert!(
            matches!(refused, Err(RunError::External { .. })),
            "{refused:?}"
        );
    }
    let mut empty = command("");
    empty.env = vec![("EMPTY".to_owned(), String::new())];
    let expected = if can.empty_variables {
        "exit 0"
    } else {
        "cannot pass the variable `EMPTY` empty"
    };
    check(runtime, empty, expected).await;
}

async fn functions(runtime: &ExternalRuntime, can: &Can) {
    for (name, args, expected) in [
        ("add", &["-1", "0.5"][..], "-0.5"),
        ("add", &["4294967295", "-1e300"], "-1"),
        ("all", &["-1", "-2", "0.1", "-0.0"], "-1 -2 0.1 -0"),
        (
            "all",
            &["0", "18446744073709551615", "inf", "nan"],
            "0 -1 inf NaN",
        ),
        (
            "add",
            &["--help", "1"],
            "argument 1 is not of type i32: `--help`",
        ),
        ("quiet", &[], "nothing"),
        ("leave", &[], "exit 7"),
    ] {
        let end = line(&runtime.run(function(name, args)).await);
        assert!(
            end.starts_with(expected) || end.ends_with(expected),
            "{name}: {end}"
        );
    }
    // What is printed and what is returned are told apart, also where a line is not ended.
    for (name, printed) in [("says", &b"before\n"[..]), ("mumbles", b"before")] {
        let exit = run(runtime, function(name, &[])).await;
        assert_eq!(exit.status, Status::Returned);
        assert_eq!(
            (exit.result.as_deref(), &*exit.stdout),
            (Some("42"), printed)
        );
    }

    let fails = run(runtime, function("fail", &[])).await;
    let fails_hint = fails.status.hint();
    let Status::Trapped { message, .. } = fails.status else {
        panic!("a trap: {:?}", fails.status);
    };
    assert!(message.starts_with("wasm trap: "), "{message}");
    assert!(message.contains("unreachable"), "{message}");
    let hint = fails_hint.unwrap_or_default();
    assert_eq!(hint.contains("backtrace"), can.backtrace, "{hint}");
    assert_eq!(
        message.contains("\n    at inner"),
        can.backtrace,
        "{message}"
    );
    assert_eq!(fails.stderr, b"before\n");
    let expected = if can.stack {
        "limit: stack 1048576 bytes"
    } else {
        "call stack exhausted"
    };
    check(runtime, function("deep", &[]), expected).await;

    let reactor = r#"(module (global $n (mut i32) (i32.const 1)) (memory (export "memory") 1)
        (func (export "_initialize") (global.set $n (i32.const 2)))
        (func (export "get") (result i32) (global.get $n)))"#;
    // A runtime without a stack limit of its own here is wasmi, which initialises nothing.
    let expected = if can.stack {
        "2"
    } else {
        "cannot initialise a reactor"
    };
    check(runtime, job(reactor, "get", &[]), expected).await;
}

/// A job that nobody waits for any more is over at once, with everything that it started.
async fn nothing_is_left(runtime: &ExternalRuntime) {
    let mark = format!("mark-{}", unique());
    let mut endless = command(SPIN);
    endless.args = vec![mark.clone()];
    endless.limits.fuel.value = u64::MAX;
    endless.limits.wall_ms.value = u64::MAX;
    let seen = runtime.description().starts_with("node ");
    tokio::select! {
        end = runtime.run(endless) => panic!("an endless guest ended: {end:?}"),
        // Node gets its arguments in a file that nobody else sees.
        () = until(|| runtime.running() == 1 && (seen || gives_way(&mark))) => {}
    }
    until(|| runtime.running() == 0).await;
    assert_eq!(marked(&mark), 0);
}
