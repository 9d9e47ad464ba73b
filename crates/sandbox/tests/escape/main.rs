//! A guest that has broken out: native code in a guest's process, after the last lock.
//!
//! Every attempt has a fresh child and has to fail. The same attempts in children without locks have
//! to succeed where they can, or the test would show nothing.
//!
//! It has a `main` of its own, since this program is also the zygote.
#![allow(
    clippy::print_stdout,
    reason = "a test without a harness prints for itself"
)]

mod attempts;

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Digest, Limits, Profile};
use propeller_sandbox::process::{AllowMissing, Locks, ProcessConfig, ProcessRuntime, enter_with};
use propeller_sandbox::{
    Allocator, EngineConfig, Entry, Job, ModuleKey, RunError, Runtime, Transcript,
};

use attempts::{ATTEMPTS, World, scan_works};

/// Under this name the program is a zygote whose children are free.
const FREE: &str = "escape-without-locks";

/// Attempts that succeed without locks wherever this test can run at all.
const BITES: [&str; 14] = [
    "open a file that everybody may read",
    "open /etc/passwd",
    "look at a file without opening it",
    "change the directory",
    "be traced",
    "hold the parent by a descriptor",
    "make a TCP socket",
    "connect to a port of this machine",
    "send a datagram",
    "fork",
    "make a memory file",
    "map memory to execute",
    "copy a descriptor",
    "take 8 GiB of memory",
];

/// No attempt: whether the search through memory finds what is there.
const SCAN_WORKS: &str = "find a canary of its own";

const NOTHING_LOCKED: Locks = Locks {
    namespaces: false,
    landlock: false,
    limits: false,
    seccomp: false,
};

fn main() {
    let myself = std::env::current_exe().expect("a program knows its file");
    let free = std::fs::read_link("/proc/self/exe").is_ok_and(|path| path.ends_with(FREE));
    enter_with(if free { NOTHING_LOCKED } else { Locks::ALL }, escaped);

    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let outside = Outside::new();
    let locked = outside.all(&myself);
    let free = outside.all(&outside.copy(&myself));
    let mut failures = 0;
    for ((name, _), (locked, free)) in ATTEMPTS.iter().zip(locked.iter().zip(&free)) {
        let held = !locked.starts_with("done");
        let bites = free.starts_with("done") || !BITES.contains(name);
        println!(
            "| {name} | {locked} | {free} |{}",
            if held && bites { "" } else { " <- WRONG" }
        );
        failures += usize::from(!held || !bites);
    }
    let total = ATTEMPTS.len();
    let verdict = if failures == 0 { "ok" } else { "FAILED" };
    let held = total - failures;
    // In the words of other tests, for whoever counts.
    println!("test result: {verdict}. {held} passed; {failures} failed; 0 ignored");
    assert_eq!(failures, 0, "every attempt fails, and bites without locks");
}

/// Runs in a child in place of the guest: one attempt.
fn escaped(job: &Job) -> String {
    let mut told = job.args.iter();
    let mut next = || told.next().cloned().unwrap_or_default();
    let name = next();
    let world = World {
        parent: next().parse().unwrap_or_default(),
        port: next().parse().unwrap_or_default(),
        file: next(),
        masked: [bytes_of(&next()), bytes_of(&next())],
    };
    if name == SCAN_WORKS {
        return scan_works().to_string();
    }
    let attempt = ATTEMPTS.iter().find(|(known, _)| *known == name);
    attempt.map_or_else(
        || "unknown".to_owned(),
        |(_, attempt)| attempt(&world).to_string(),
    )
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// What there is to get at, made anew for every run.
struct Outside {
    key: Vec<u8>,
    neighbour: Vec<u8>,
    folder: PathBuf,
    listener: TcpListener,
}

impl Outside {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("escape-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("for all");
        let outside = Self {
            key: random(),
            neighbour: random(),
            folder,
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
        };
        let file = outside.file();
        let mut made = std::fs::File::create(&file).expect("a file");
        made.write_all(&outside.key).expect("room");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).expect("for all");
        outside
    }

    fn file(&self) -> PathBuf {
        self.folder.join("canary")
    }

    fn copy(&self, program: &Path) -> PathBuf {
        let copy = self.folder.join(FREE);
        std::fs::copy(program, &copy).expect("room for a copy");
        copy
    }

    /// The end of every attempt in a zygote's children.
    fn all(&self, program: &Path) -> Vec<String> {
        let runtime = ProcessRuntime::new(ProcessConfig {
            engine: EngineConfig {
                stack_bytes_max: 1024 * 1024,
                module_bytes_max: 1024 * 1024,
                compile_max: Duration::from_secs(60),
                cache_bytes_max: 1024 * 1024,
                cache_entries_max: 4,
                threads: 1,
                allocator: Allocator::OnDemand,
            },
            pool: 2,
            guests_max: 4,
            allow_missing: AllowMissing::default(),
            program: program.to_owned(),
        });
        let runtime = runtime.expect("guests' processes start");
        println!("{}", runtime.mechanisms());
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let clock = clock.expect("a runtime");
        let found = clock.block_on(runtime.run(self.job(SCAN_WORKS)));
        let found = found.expect("a search makes no call that is forbidden");
        assert_eq!(told(found.result.as_deref()), "done", "{SCAN_WORKS}");
        let mut ends = Vec::new();
        for (name, _) in ATTEMPTS {
            // A job next door, with a canary in its input, whose process is warm at the same time.
            let mut neighbour = self.job("unknown");
            neighbour.stdin = Bytes::from(self.neighbour.clone());
            let (_, end) = clock.block_on(async {
                tokio::join!(runtime.run(neighbour), runtime.run(self.job(name)))
            });
            ends.push(match end {
                Ok(exit) => told(exit.result.as_deref()),
                Err(RunError::Escaped) => "SIGSYS".to_owned(),
                Err(error) => format!("{error:?}"),
            });
        }
        ends
    }

    fn job(&self, attempt: &str) -> Job {
        let masked = |bytes: &[u8]| bytes.iter().map(|byte| format!("{:02x}", !byte)).collect();
        Job {
            key: ModuleKey {
                tenant: "tenant".to_owned(),
                digest: Digest([0; 32]),
            },
            // (module (func (export "_start")))
            wasm: Bytes::from_static(
                b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b",
            ),
            name: "guest".to_owned(),
            entry: Entry::Named("_start".to_owned()),
            args: vec![
                attempt.to_owned(),
                std::process::id().to_string(),
                self.listener.local_addr().expect("an address").port().to_string(),
                self.file().display().to_string(),
                masked(&self.key),
                masked(&self.neighbour),
            ],
            env: Vec::new(),
            stdin: Bytes::new(),
            limits: Limits::default(),
            profile: Profile::Pure,
            capabilities: propeller_sandbox::Capabilities::default(),
            transcript: Transcript::default(),
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn told(result: Option<&str>) -> String {
    match result.and_then(|text| text.parse::<i64>().ok()) {
        Some(value) if value < 0 => {
            let code = i32::try_from(-value).unwrap_or_default();
            std::io::Error::from_raw_os_error(code).to_string()
        }
        Some(_) => "done".to_owned(),
        None => format!("{result:?}"),
    }
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; 32];
    let file = std::fs::File::open("/dev/urandom");
    let read = file.and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    read.expect("randomness");
    bytes
}
