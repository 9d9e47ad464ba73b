//! What the tests share: a runtime, jobs, and a line of text for how a job went.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, SetBy};
use propeller_sandbox::{
    Capabilities, EngineConfig, Entry, Exit, Job, ModuleKey, RunError, Runtime, Status,
};

/// How long a test waits for what has to happen. Only a broken build ever waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const CONFIG: EngineConfig = EngineConfig {
    stack_bytes_max: 1024 * 1024,
    module_bytes_max: 16 * 1024 * 1024,
    compile_max: Duration::from_secs(60),
    cache_bytes_max: 64 * 1024 * 1024,
    cache_entries_max: 16,
    threads: 2,
};

/// In `process` another one than in `guests`.
pub(crate) use crate::runtime::runtime;

/// A call of the function `entry` of the module written as `text`.
pub(crate) fn job(text: &str, entry: &str, args: &[&str]) -> Job {
    Job {
        entry: Entry::Named(entry.to_owned()),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        ..job_of(wat::parse_str(text).expect("the test's module is well-formed"))
    }
}

/// The default call of whatever `wasm` is.
pub(crate) fn job_of(wasm: Vec<u8>) -> Job {
    Job {
        key: ModuleKey {
            tenant: "tenant".to_owned(),
            digest: digest(&wasm),
        },
        wasm: Bytes::from(wasm),
        name: "guest".to_owned(),
        entry: Entry::Default {
            hint: "guest".to_owned(),
        },
        args: Vec::new(),
        env: Vec::new(),
        stdin: Bytes::new(),
        limits: Limits::default(),
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
    }
}

/// In place of SHA-256: all that the tests need is that different modules differ.
fn digest(wasm: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    wasm.hash(&mut hasher);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    Digest(digest)
}

/// A limit that the task asked for.
pub(crate) fn bound(value: u64) -> Bound {
    Bound {
        value,
        set_by: SetBy::Task,
    }
}

/// Runs `job` on a runtime of its own.
pub(crate) async fn run(job: Job) -> Result<Exit, RunError> {
    runtime().run(job).await
}

/// Runs `job` to an exit.
pub(crate) async fn exit(job: Job) -> Exit {
    run(job).await.expect("the job runs")
}

/// Runs `job` and compares how it went, in a line.
pub(crate) async fn check(job: Job, expected: &str) {
    assert_eq!(line(&run(job).await), expected);
}

/// How a job went, in a line.
pub(crate) fn line(end: &Result<Exit, RunError>) -> String {
    match end {
        Ok(exit) => match &exit.status {
            Status::Returned => exit.result.clone().unwrap_or_else(|| "nothing".to_owned()),
            Status::Exited(code) => format!("exit {code}"),
            Status::Trapped { message } => message.lines().next().unwrap_or_default().to_owned(),
            Status::LimitHit(hit) => hit.to_string(),
            Status::Inconclusive(why) => why.to_string(),
        },
        Err(error) => format!("error: {error}"),
    }
}

/// Waits until `happened`.
pub(crate) async fn until(happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("what the test waits for happens");
}
