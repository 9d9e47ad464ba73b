//! Compilers in processes of their own: they have limits that hold, and say what one in this process
//! says.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use propeller_sandbox::process::{ProcessConfig, ProcessRuntime};
use propeller_sandbox::{EngineConfig, Job, Metering, RunError, Runtime, WasmtimeRuntime};

use crate::runtime::with;
use crate::support::{CONFIG, alone, job, line, until};

/// What becomes a compiler.
const CHILD: &str = env!("CARGO_BIN_EXE_sandbox-child");

/// How a compiler's process is called.
const NAME: &[u8] = b"proplet-compiler\0";

/// A module of functions that keep a compiler busy for long.
pub(crate) fn endless() -> Job {
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.const 3)))";
    let function = format!("(func (param i32) {})", step.repeat(20_000));
    let text = format!(r#"(module (func (export "run")) {})"#, function.repeat(30));
    job(&text, "run", &[])
}

/// The compilers that run now, whoever started them.
pub(crate) fn compilers() -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").expect("there are processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let command = fs::read(format!("/proc/{id}/cmdline"));
        command.is_ok_and(|command| command.starts_with(NAME))
    })
    .collect()
}

#[tokio::test]
async fn a_compiler_that_takes_too_long_is_ended() {
    let runtime = with(EngineConfig {
        compile_max: Duration::from_millis(300),
        ..CONFIG
    });
    let mut seen = BTreeSet::new();
    let run = runtime.run(endless());
    let end = tokio::select! {
        biased;
        end = run => end,
        () = async {
            loop {
                seen.append(&mut compilers());
                tokio::task::yield_now().await;
            }
        } => unreachable!("it looks for ever"),
    };
    let refused =
        "error: limit: compile time 300 ms (set by proplet): the module is not compiled yet";
    assert_eq!(line(&end), refused);
    assert!(!seen.is_empty(), "nothing compiled it");
    until(|| compilers().is_disjoint(&seen)).await;
}

#[tokio::test]
async fn a_compiler_that_takes_too_much_memory_ends_nothing_but_itself() {
    let runtime = with(EngineConfig {
        compile_memory_bytes_max: 64 << 20,
        ..CONFIG
    });
    let refused = "error: limit: compile memory 67108864 bytes (set by proplet): the compiler \
        needs more for this module";
    let end = runtime.run(endless()).await;
    assert_eq!(line(&end), refused, "{end:?}");
    let small = job(r#"(module (func (export "run")))"#, "run", &[]);
    assert_eq!(line(&runtime.run(small).await), "nothing");
}

#[tokio::test]
async fn what_is_no_module_is_refused_in_the_same_words() {
    let threads = WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine");
    let processes = with(CONFIG);
    let bulk = "(func (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.get 0)))";
    for text in [
        format!("(module (memory 1) {bulk} (func (result i32) (i64.const 1)))"),
        format!("(module (memory 1) {bulk} (func $a) (export \"a\" (func 7)))"),
        format!(r#"(module (import "no" "such" (func)) (memory 1) {bulk})"#),
        "(component (core module (func (result i32))))".to_owned(),
    ] {
        let job = job(&text, "run", &[]);
        let said = line(&processes.run(job.clone()).await);
        assert_eq!(said, line(&threads.run(job).await));
        assert!(said.starts_with("error: i"), "{said}");
    }
    let mut cut = job(r#"(module (func (export "run")))"#, "run", &[]);
    cut.wasm.truncate(20);
    let said = line(&processes.run(cut.clone()).await);
    assert_eq!(said, line(&threads.run(cut).await));
}

#[tokio::test]
async fn a_program_that_does_not_compile_is_told_of() {
    let runtime = WasmtimeRuntime::with_compiler(CONFIG, "/bin/true".into())
        .expect("the engine starts on this machine");
    let end = runtime.run(endless()).await;
    let Err(RunError::Runtime(source)) = end else {
        panic!("it ended with {end:?}");
    };
    assert_eq!(
        source.to_string(),
        "the compiler failed: it ended with exit status: 0"
    );
}

/// Takes landlock away from this thread and from all that it starts.
fn without_landlock() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let not_there = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().expect("it is known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, not_there, arch);
    let filter: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter(&filter).expect("seccomp");
}

/// Alone in its process, which lacks something afterwards.
#[tokio::test]
async fn what_a_compiler_lacks_is_told_of_and_refused_unless_it_is_allowed() {
    if !alone("compiler::what_a_compiler_lacks_is_told_of_and_refused_unless_it_is_allowed") {
        return;
    }
    let lenient = WasmtimeRuntime::with_compiler(CONFIG, CHILD.into()).expect("the engine starts");
    let start = |allowed: &str| {
        let allowed = allowed.parse().expect("a list of what may be missing");
        WasmtimeRuntime::with_locked_compiler(CONFIG, CHILD.into(), allowed)
    };
    let (_, held) = start("namespaces,landlock").expect("the engine starts");
    let held = held.to_string();
    for name in ["seccomp", "no-new-privs", "rlimits", "low-priority"] {
        assert!(held.contains(name), "{held}");
    }
    without_landlock();
    let refused = start("namespaces")
        .expect_err("something is missing")
        .to_string();
    let expected = "modules are compiled in processes that need what this machine does not have: \
        landlock (landlock: not in this kernel), which may be allowed";
    assert_eq!(refused, expected);
    let (runtime, held) = start("namespaces,landlock").expect("the engine starts");
    let held = held.to_string();
    assert!(
        held.contains("landlock (landlock: not in this kernel)"),
        "{held}"
    );
    let small = || job(r#"(module (func (export "run")))"#, "run", &[]);
    assert_eq!(line(&runtime.run(small()).await), "nothing");
    assert_eq!(line(&lenient.run(small()).await), "nothing");
    // What holds them in process isolation is told of in the same way.
    let processes = ProcessRuntime::new(ProcessConfig {
        engine: CONFIG,
        metering: Metering::Full,
        pool: 1,
        guests_max: 1,
        allow_missing: "namespaces,landlock".parse().expect("a list"),
        program: CHILD.into(),
    });
    let processes = processes.expect("guests' processes start");
    let held = processes.compilers_mechanisms().to_string();
    assert!(
        held.contains("landlock (landlock: not in this kernel)"),
        "{held}"
    );
}
