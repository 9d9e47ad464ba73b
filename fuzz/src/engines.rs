//! Both engines, and how a job ends on each.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, SetBy};
use propeller_sandbox::{
    Allocator, Capabilities, EngineConfig, Entry, InterpreterRuntime, Job, Limit, ModuleKey,
    RunError, Runtime, Status, Transcript, WasmtimeRuntime,
};

/// Nothing is kept: every input is another module.
const CONFIG: EngineConfig = EngineConfig {
    stack_bytes_max: 1024 * 1024,
    module_bytes_max: 1024 * 1024,
    compile_max: Duration::from_secs(30),
    compile_memory_bytes_max: 4 << 30,
    cache_bytes_max: 64 * 1024 * 1024,
    cache_entries_max: 1,
    cache_ttl: Duration::from_secs(3600),
    threads: 1,
    allocator: Allocator::OnDemand,
};

const MEMORY_BYTES: u64 = 4 * 1024 * 1024;
const FUEL: u64 = 20_000_000;
/// For a broken build alone: fuel ends every guest long before.
const WALL_MS: u64 = 20_000;

/// How the engines say that an import is there and of another type.
const WRONG_TYPE: [&str; 2] = ["incompatible import type", "has another type"];

/// Both engines, started once.
pub(crate) struct Engines {
    wasmtime: WasmtimeRuntime,
    interpreter: InterpreterRuntime,
    waits: tokio::runtime::Runtime,
}

pub(crate) static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines {
    wasmtime: WasmtimeRuntime::new(CONFIG).expect("the engine starts on this machine"),
    interpreter: InterpreterRuntime::new(CONFIG).expect("the interpreter starts"),
    waits: tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("waiting needs nothing"),
});

/// How a job ended, as far as both engines have to agree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With these results.
    Returned(Option<String>),
    /// For this reason.
    Trapped(String),
    /// By the limit on memory, which both count alike.
    OutOfMemory,
    /// By a limit that is not the same in both: fuel, stack, time.
    Inconclusive,
    /// The bytes are no module.
    Invalid,
    /// They are one without the function that was to be called.
    NoFunction,
    /// They import what there is not, or as something else than it is.
    Unlinkable,
    /// It did not run for another reason.
    Refused(String),
}

impl Engines {
    /// How `job` ends on wasmtime and on the interpreter.
    pub(crate) fn run(&self, job: &Job) -> [End; 2] {
        let run = |runtime: &dyn Runtime| end(self.waits.block_on(runtime.run(job.clone())));
        [run(&self.wasmtime), run(&self.interpreter)]
    }
}

fn end(end: Result<propeller_sandbox::Exit, RunError>) -> End {
    let exit = match end {
        Ok(exit) => exit,
        // The engines look at imports in different orders.
        Err(RunError::MissingImport { .. }) => return End::Unlinkable,
        Err(RunError::Invalid { reason }) if WRONG_TYPE.iter().any(|it| reason.contains(it)) => {
            return End::Unlinkable;
        }
        Err(RunError::Invalid { .. } | RunError::NotWasm) => return End::Invalid,
        // The engines list what there is in different orders.
        Err(RunError::MissingExport { .. }) => return End::NoFunction,
        Err(error @ RunError::Runtime(_)) => panic!("the host failed: {error:?}"),
        Err(error) => return End::Refused(error.to_string()),
    };
    match exit.status {
        Status::Returned => End::Returned(exit.result),
        Status::Exited(code) => panic!("no generated module exits: {code}"),
        Status::Trapped { message, .. } => {
            End::Trapped(message.lines().next().unwrap_or_default().to_owned())
        }
        Status::Inconclusive(_) => End::Inconclusive,
        Status::LimitHit(hit) => match hit.limit {
            Limit::Memory => End::OutOfMemory,
            Limit::Fuel | Limit::Stack => End::Inconclusive,
            other => panic!("no generated module runs into this limit: {other}"),
        },
    }
}

/// A call of the function `entry` of `wasm`.
pub(crate) fn job(wasm: Bytes, entry: &str) -> Job {
    let bound = |value| Bound {
        value,
        set_by: SetBy::Task,
    };
    Job {
        key: ModuleKey {
            tenant: "fuzz".to_owned(),
            digest: digest(&wasm),
        },
        wasm,
        name: "guest".to_owned(),
        entry: Entry::Named(entry.to_owned()),
        args: Vec::new(),
        env: Vec::new(),
        stdin: propeller_sandbox::Stdin::default(),
        limits: Limits {
            memory_bytes: bound(MEMORY_BYTES),
            fuel: bound(FUEL),
            wall_ms: bound(WALL_MS),
            ..Limits::default()
        },
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
    }
}

/// In place of SHA-256: all that matters is that different modules differ.
fn digest(wasm: &[u8]) -> Digest {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    wasm.hash(&mut hasher);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    Digest(digest)
}
