//! The guests that are measured, and jobs for them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, SetBy};
use propeller_sandbox::{Allocator, Capabilities, EngineConfig, Entry, Job, ModuleKey, Transcript};

/// A function of a module with nothing else.
pub(crate) const ADD: &[u8] = include_bytes!("../../../../examples/guests/add.wasm");
/// A command that prints a line.
pub(crate) const HELLO: &[u8] = include_bytes!("../../../../examples/guests/hello.wasm");
/// A component that takes and gives text.
pub(crate) const GREET: &[u8] = include_bytes!("../../../../examples/guests/greet.wasm");
/// A function of a module with a memory that it writes to.
pub(crate) const WITH_MEMORY: &str = r#"
    (module
      (memory (export "memory") 17)
      (data (i32.const 1024) "something to begin with")
      (func (export "add") (param i32 i32) (result i32)
        (i32.store (i32.const 8) (local.get 0))
        (i32.store (i32.const 1048580) (local.get 1))
        (i32.add (i32.load (i32.const 8)) (i32.load (i32.const 1048580)))))
"#;

pub(crate) fn config(threads: usize, allocator: Allocator) -> EngineConfig {
    EngineConfig {
        stack_bytes_max: 1024 * 1024,
        module_bytes_max: 64 * 1024 * 1024,
        compile_max: Duration::from_mins(5),
        compile_memory_bytes_max: 4 << 30,
        cache_bytes_max: 512 * 1024 * 1024,
        cache_entries_max: 64,
        cache_ttl: Duration::from_hours(1),
        threads,
        allocator,
    }
}

/// A call of the function `entry`.
pub(crate) fn job(wasm: &[u8], entry: &str, args: &[&str]) -> Job {
    Job {
        key: ModuleKey {
            tenant: "tenant".to_owned(),
            digest: digest(wasm),
        },
        wasm: Bytes::copy_from_slice(wasm),
        name: "guest".to_owned(),
        entry: Entry::Named(entry.to_owned()),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
        stdin: propeller_sandbox::Stdin::default(),
        limits: limits(),
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
    }
}

/// A job is used once: its transcript is its own.
pub(crate) fn again(job: &Job) -> Job {
    Job {
        transcript: Transcript::default(),
        ..job.clone()
    }
}

fn limits() -> Limits {
    let fuel = Bound {
        value: u64::MAX >> 1,
        set_by: SetBy::Task,
    };
    Limits {
        fuel,
        ..Limits::default()
    }
}

/// In place of SHA-256: all that matters is that different modules differ.
fn digest(wasm: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    wasm.hash(&mut hasher);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    Digest(digest)
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the guest is well-formed")
}
