//! What the first task of a large module waits for, and that later ones do not.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use propeller_sandbox::{Allocator, Job, Runtime as _, WasmtimeRuntime};
use tokio::runtime::{Builder, Runtime};
use wasmtime::{Engine, Module};

use crate::bare;
use crate::guests::{again, config, job, wasm};
use crate::report::{Goal, section};
use crate::samples::{in_turns, ratio, us};

/// How many functions the large module has: together some 5 MB.
const FUNCTIONS: usize = 4_180;
/// Turns of the body of each: an arithmetic step, a load, a store, a branch, a call now and then.
const STEPS: usize = 24;
/// A small module with the same memory and the same function.
const SMALL: &str = r#"
    (module
      (memory (export "memory") 16)
      (func (export "add") (param i32 i32) (result i32)
        local.get 0 local.get 1 i32.add))
"#;
/// Compilations of each kind.
const COMPILATIONS: usize = 3;
/// Rounds of warm tasks, and how many in each.
const ROUNDS: usize = 15;
const TASKS: u32 = 500;
/// How much slower than the smallest a large module may start once it is compiled.
const WARM_GOAL: f64 = 1.1;

/// Measures and prints.
pub(crate) fn measure(goals: &mut Vec<Goal>) -> Result<(), String> {
    let large = wasm(&large());
    let compiled = in_turns::<2>(COMPILATIONS, |parallel| compile(&large, parallel == 1));
    let caller = Builder::new_current_thread().build();
    let caller = caller.map_err(|error| error.to_string())?;
    let small = wasm(SMALL);
    let allocator = Allocator::Pooling { guests_max: 64 };
    let port = WasmtimeRuntime::new(config(2, allocator)).map_err(|error| error.to_string())?;
    let (small_job, large_job) = (
        job(&small, "add", &["2", "40"]),
        job(&large, "add", &["2", "40"]),
    );
    let program = env!("CARGO_BIN_EXE_sandbox-child");
    let apart = WasmtimeRuntime::with_compiler(config(2, allocator), program.into());
    let apart = apart.map_err(|error| error.to_string())?;
    let ports = [&port, &apart];
    let firsts = ports.map(|port| first(&caller, port, &large_job));
    let mut number = 0;
    let smalls = in_turns::<2>(ROUNDS, |which| {
        number += 1;
        let other = wasm(&SMALL.replace("i32.add", &format!("i32.const {number} drop i32.add")));
        first(&caller, ports[which], &job(&other, "add", &["2", "40"]))
    });
    let jobs = [&small_job, &large_job];
    let warm = in_turns::<2>(ROUNDS, |which| tasks(&caller, &port, jobs[which]));

    let compile = |what: &str, took: Duration| vec![what.to_owned(), us(took)];
    let rows = [
        compile("compile on one thread", compiled[0]),
        compile("compile on all threads", compiled[1]),
        compile(
            "the first task through the port, from call to end",
            firsts[0],
        ),
        compile("the same, compiled in a process", firsts[1]),
        compile("the first task of a small module", smalls[0]),
        compile("the same, compiled in a process", smalls[1]),
    ];
    let title = format!("Cold start of a module of {} bytes", large.len());
    section(&title, &["what", "median"], &rows);
    let over = ratio(warm[1], warm[0]);
    let rows = [(small.len(), warm[0]), (large.len(), warm[1])];
    let rows = rows.map(|(len, took)| vec![len.to_string(), us(took)]);
    section(
        "A warm task by the size of its module",
        &["bytes", "median"],
        &rows,
    );
    goals.push(Goal {
        what: "warm task, large / small module".to_owned(),
        goal: "≤ 1.10: independent of size",
        measured: format!("{over:.2}"),
        met: over <= WARM_GOAL,
    });
    Ok(())
}

fn compile(wasm: &[u8], parallel: bool) -> Duration {
    let mut config = bare::config(Allocator::OnDemand);
    config.parallel_compilation(parallel);
    let engine = Engine::new(&config).expect("the engine starts");
    let begun = Instant::now();
    let module = Module::from_binary(&engine, wasm);
    let took = begun.elapsed();
    module.expect("the module is well-formed");
    took
}

/// The time of a task whose module is new.
fn first(caller: &Runtime, port: &WasmtimeRuntime, job: &Job) -> Duration {
    let job = again(job);
    let begun = Instant::now();
    let exit = caller.block_on(port.run(job));
    let took = begun.elapsed();
    exit.expect("the guest runs");
    took
}

/// The time of one task.
fn tasks(caller: &Runtime, port: &WasmtimeRuntime, job: &Job) -> Duration {
    let jobs: Vec<Job> = (0..TASKS).map(|_| again(job)).collect();
    let begun = Instant::now();
    caller.block_on(async {
        for job in jobs {
            port.run(job).await.expect("the guest runs");
        }
    });
    begun.elapsed() / TASKS
}

/// A module of many functions that differ, and one that adds.
fn large() -> String {
    let mut text = String::from("(module (memory (export \"memory\") 16)\n");
    // Numbers of a linear congruential generator (Knuth's MMIX): the same module every time.
    let mut state: u64 = 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 44
    };
    for function in 0..FUNCTIONS {
        let mut line = format!("(func $f{function} (param $a i32) (param $b i64) (result i64)\n");
        for step in 0..STEPS {
            let (number, offset, bits) = (next(), next() & 0xffff, next() & 63);
            let written = write!(
                line,
                "(local.set $b (i64.add (i64.rotl (local.get $b) (i64.const {bits})) \
                   (i64.mul (i64.load offset={offset} (i32.and (local.get $a) (i32.const 65535))) \
                     (i64.const {number}))))\
                 (if (i64.lt_u (local.get $b) (i64.const {number})) (then \
                   (i64.store offset={offset} (i32.and (local.get $a) (i32.const 4095)) \
                     (local.get $b))))"
            );
            written.expect("a string takes any text");
            if step % 8 == 7 && function > 0 {
                let callee = next() % u64::try_from(function).expect("functions are few");
                let called = write!(
                    line,
                    "(local.set $b (call $f{callee} (i32.const {offset}) (local.get $b)))"
                );
                called.expect("a string takes any text");
            }
        }
        line.push_str("(local.get $b))\n");
        text.push_str(&line);
    }
    text.push_str(
        "(func (export \"add\") (param i32 i32) (result i32)
           (i32.add (local.get 0) (local.get 1))))",
    );
    text
}
