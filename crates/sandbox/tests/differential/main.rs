//! WASI preview 1 of the interpreter beside wasmtime's: the same calls, the same answers, the same
//! bytes in the guest's memory.
#![cfg(test)]

mod calls;
mod guest;

use std::io::Write;

use propeller_model::{Digest, Limits, Profile};
use propeller_sandbox::{
    Allocator, Capabilities, EngineConfig, Entry, Exit, InterpreterRuntime, Job, ModuleKey,
    RunError, Runtime, Status, Transcript, WasmtimeRuntime,
};

use calls::{SEQUENCES, TEMPLATES};
use guest::{guest, numbers};

const INPUT: &[u8] = b"some input";

const CONFIG: EngineConfig = EngineConfig {
    stack_bytes_max: 1024 * 1024,
    module_bytes_max: 1024 * 1024,
    compile_max: std::time::Duration::from_secs(60),
    compile_memory_bytes_max: 4 << 30,
    cache_bytes_max: 0,
    cache_entries_max: 0,
    cache_ttl: std::time::Duration::ZERO,
    threads: 2,
    allocator: Allocator::OnDemand,
};

/// The descriptors that there are at first, one that there is not, and one that cannot be.
const DESCRIPTORS: [&str; 5] = ["0", "1", "2", "3", "-1"];

struct Both {
    wasmtime: WasmtimeRuntime,
    interpreter: InterpreterRuntime,
}

impl Both {
    fn start() -> Self {
        Self {
            wasmtime: WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine"),
            interpreter: InterpreterRuntime::new(CONFIG).expect("the interpreter starts"),
        }
    }

    /// Makes the calls, one after the other in one guest, and compares everything that is left, also
    /// where the input comes by a pipe.
    async fn check(&self, calls: &[&str]) {
        let expected = told(self.wasmtime.run(job(calls)).await);
        let got = told(self.interpreter.run(job(calls)).await);
        Self::compare(calls, &expected, &got);
        let by_pipe = told(self.wasmtime.run(piped(calls)).await);
        Self::compare(calls, &expected, &by_pipe);
        let by_pipe = told(self.interpreter.run(piped(calls)).await);
        Self::compare(calls, &expected, &by_pipe);
    }

    fn compare(calls: &[&str], expected: &Told, got: &Told) {
        assert_eq!(got.status, expected.status, "{calls:?}");
        assert_eq!(got.stdout, expected.stdout, "{calls:?}");
        for (at, (got, expected)) in got.memory.iter().zip(&expected.memory).enumerate() {
            assert_eq!(got, expected, "{calls:?}: byte {at}");
        }
        assert_eq!(got.memory.len(), expected.memory.len(), "{calls:?}");
    }
}

struct Told {
    status: String,
    stdout: Vec<u8>,
    /// The guest's memory, which it prints to standard error at its end.
    memory: Vec<u8>,
}

fn told(end: Result<Exit, RunError>) -> Told {
    let exit = end.expect("the guest is well-formed");
    let status = match exit.status {
        Status::Returned => exit.result.unwrap_or_default(),
        // Wasmtime names the pointer, the interpreter does not.
        Status::Trapped { .. } => "trap".to_owned(),
        Status::Inconclusive(why) => why.to_string(),
        other => format!("{other:?}"),
    };
    Told {
        status,
        stdout: exit.stdout,
        memory: exit.stderr,
    }
}

fn piped(calls: &[&str]) -> Job {
    let (read, mut write) = std::io::pipe().expect("there are pipes");
    write.write_all(INPUT).expect("there is room");
    Job {
        stdin: read.into(),
        ..job(calls)
    }
}

fn job(calls: &[&str]) -> Job {
    let calls: Vec<_> = calls.iter().map(|call| numbers(call)).collect();
    Job {
        key: ModuleKey {
            tenant: "tenant".to_owned(),
            digest: Digest([0; 32]),
        },
        wasm: guest(&calls).into(),
        name: "guest".to_owned(),
        entry: Entry::Named("run".to_owned()),
        args: Vec::new(),
        env: vec![
            ("ONE".to_owned(), "1".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ],
        stdin: bytes::Bytes::from_static(INPUT).into(),
        limits: Limits::default(),
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
    }
}

#[tokio::test]
async fn every_function_answers_alike_for_every_descriptor() {
    let both = Both::start();
    for template in TEMPLATES {
        for fd in DESCRIPTORS {
            both.check(&[&template.replace("FD", fd)]).await;
        }
    }
}

#[tokio::test]
async fn sequences_of_calls_end_alike() {
    let both = Both::start();
    for sequence in SEQUENCES {
        both.check(sequence).await;
    }
}

#[test]
fn no_function_is_forgotten() {
    let all: Vec<&str> = TEMPLATES.into_iter().chain(SEQUENCES.concat()).collect();
    for function in guest::FUNCTIONS {
        let called = |call: &&str| call.split(' ').next() == Some(function.0);
        assert!(all.iter().any(called), "{} is never called", function.0);
    }
}
