//! What the tests share: a runtime, jobs, and a line of text for how a job went.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, SetBy};
use propeller_sandbox::{
    Allocator, Capabilities, EngineConfig, Entry, Exit, Job, ModuleKey, RunError, Runtime, Status,
    Transcript,
};

/// How long a test waits for what has to happen. Only a broken build ever waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const CONFIG: EngineConfig = EngineConfig {
    stack_bytes_max: 1024 * 1024,
    module_bytes_max: 16 * 1024 * 1024,
    compile_max: Duration::from_secs(60),
    compile_memory_bytes_max: 4 << 30,
    cache_bytes_max: 64 * 1024 * 1024,
    cache_entries_max: 16,
    cache_ttl: Duration::from_secs(3600),
    threads: 2,
    allocator: Allocator::OnDemand,
};

/// In each folder another one.
pub(crate) use crate::runtime::{BACKTRACES, runtime};

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
        stdin: propeller_sandbox::Stdin::default(),
        limits: Limits::default(),
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
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
            Status::Trapped { message, .. } => {
                message.lines().next().unwrap_or_default().to_owned()
            }
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

/// Whether this is a process for the test called `name` alone. If it is not, the test has run in
/// such a process when this comes back, and went well.
pub(crate) fn alone(name: &str) -> bool {
    const ALONE: &str = "SANDBOX_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let alone = std::process::Command::new("/proc/self/exe")
        .args(["--exact", name])
        .env(ALONE, "1")
        .output()
        .expect("the test starts itself");
    let said = String::from_utf8_lossy(&alone.stdout);
    let failed = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success(), "{said}{failed}");
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("there is /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let line = format!("PPid:\t{parent}");
        status.is_ok_and(|status| status.lines().any(|l| l == line))
    })
    .collect()
}

/// Every process below this one, in the order in which they are below each other.
pub(crate) fn below() -> Vec<u32> {
    let mut found: Vec<u32> = children(std::process::id());
    let mut at = 0;
    while at < found.len() {
        found.extend(children(found[at]));
        at += 1;
    }
    found
}
