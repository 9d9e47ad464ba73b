//! A guest that has broken out, and a module that has taken over its compiler: native code in a
//! guest's process, or a compiler's, after the last lock.
//!
//! Every attempt has a fresh child and has to fail. The same attempts in children without locks have
//! to succeed where they can, or the test would show nothing.
//!
//! It has a `main` of its own, since this program is also the zygote.
#![allow(
    clippy::print_stdout,
    reason = "a test without a harness prints for itself"
)]

mod abort;
mod attempts;
mod compiler;
mod pipe;
mod scan;
mod table;

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Digest, Limits, Profile};
use propeller_sandbox::exit::Inconclusive;
use propeller_sandbox::process::{AllowMissing, Locks, ProcessConfig, ProcessRuntime, enter_with};
use propeller_sandbox::{
    Allocator, EngineConfig, Entry, Job, ModuleKey, RunError, Runtime, Status, Transcript,
};

use abort::{ABORTING, NO_MEMORY};
use attempts::{ATTEMPTS, World};
use compiler::{COMPILERS_WAY_OUT, taken_over};
use pipe::WITH_A_PIPE;
use scan::scan_works;
use table::{DONE, Row};

const HINT: &str = "if the page is to be told: `cargo test -p propeller-sandbox \
    --features escaped-guest --test escape -- --tell`";

/// What every attempt's process has loaded: a component, for which most has to be open.
const COMPONENT: &str = r#"
    (component
      (core module $code (memory 1) (data (i32.const 4096) "image")
        (func (export "run") (result i32) (i32.const 0)))
      (core instance $i (instantiate $code))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $command (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $command)))
"#;

/// Under these names the program is a zygote whose children are free, or all but.
const FREE: &str = "escape-without-locks";
const NO_SECCOMP: &str = "escape-without-seccomp";

/// The variable that the parent has its key in, from its start on.
const KEY: &str = "ESCAPE_TEST_KEY";

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

/// How a deterministic guest ends whose process has no memory left.
const NO_MEMORY_LEFT: Status = Status::Inconclusive(Inconclusive::HostMemory);

const ENGINE: EngineConfig = EngineConfig {
    stack_bytes_max: 1024 * 1024,
    module_bytes_max: 1024 * 1024,
    compile_max: Duration::from_secs(60),
    compile_memory_bytes_max: 4 << 30,
    cache_bytes_max: 1024 * 1024,
    cache_entries_max: 4,
    cache_ttl: Duration::from_secs(3600),
    threads: 1,
    allocator: Allocator::OnDemand,
};

const NOTHING_LOCKED: Locks = Locks {
    namespaces: false,
    landlock: false,
    limits: false,
    seccomp: false,
};

const NO_FILTER: Locks = Locks {
    seccomp: false,
    ..Locks::ALL
};

fn main() -> ExitCode {
    let name = std::fs::read_link("/proc/self/exe").expect("a program knows its file");
    let locks = match name.file_name().and_then(|name| name.to_str()) {
        Some(FREE) => NOTHING_LOCKED,
        Some(NO_SECCOMP) => NO_FILTER,
        _ => Locks::ALL,
    };
    enter_with(locks, escaped, taken_over);

    let asked = |argument: &str| std::env::args().any(|given| given == argument);
    if asked("--list") {
        return ExitCode::SUCCESS;
    }
    let Some(key) = key() else {
        return again_with_a_key();
    };

    let outside = Outside::new(key);
    let names: Vec<&str> = ATTEMPTS.iter().map(|(name, _)| *name).collect();
    let ends = |program: &Path| outside.all(program, &names, |job| job);
    let (all, all_there) = ends(&name);
    let (most, _) = ends(&outside.copy(&name, NO_SECCOMP));
    let (none, _) = ends(&outside.copy(&name, FREE));
    let mut wrong_elsewhere = pipe::wrong(&outside, &name, &all);
    wrong_elsewhere.extend(abort::wrong(&outside, &name));
    let compiling = outside.compiling(&name);
    let rows = all.into_iter().zip(most).zip(none).zip(compiling);
    let rows: Vec<Row> = rows
        .map(|(((all, most), none), compiling)| [all, most, none, compiling])
        .collect();
    if asked("--tell") {
        table::write(&rows);
    }
    let mut wrong = table::differences(&rows, all_there);
    wrong.extend(wrong_elsewhere);
    for ((name, _), row) in ATTEMPTS.iter().zip(&rows) {
        println!("| {name} | {} |", row.join(" | "));
        let [all, _, none, compiling] = row;
        if all.starts_with(DONE) {
            wrong.push(format!("{name}: it works"));
        }
        if compiling.starts_with(DONE) && *name != COMPILERS_WAY_OUT {
            wrong.push(format!("{name}: it works in a compiler"));
        }
        if BITES.contains(name) && !none.starts_with(DONE) {
            wrong.push(format!(
                "{name}: it fails without locks too, and shows nothing"
            ));
        }
    }
    let failures = wrong.len();
    let verdict = if failures == 0 { "ok" } else { "FAILED" };
    let held = 2 * ATTEMPTS.len() + WITH_A_PIPE.len() + 2 * ABORTING.len();
    let held = held.saturating_sub(failures);
    // In the words of other tests, for whoever counts.
    println!("test result: {verdict}. {held} passed; {failures} failed; 0 ignored");
    assert!(wrong.is_empty(), "{wrong:#?}\n{HINT}");
    ExitCode::SUCCESS
}

/// The key in the environment that this process was started with.
fn key() -> Option<Vec<u8>> {
    let environment = std::fs::read("/proc/self/environ").expect("a process knows its own");
    let mut variables = environment.split(|byte| *byte == 0);
    let name = format!("{KEY}=");
    variables.find_map(|one| Some(one.strip_prefix(name.as_bytes())?.to_vec()))
}

/// Starts this program again with a key in its environment, and ends as it ends.
fn again_with_a_key() -> ExitCode {
    let key: String = random().iter().map(|byte| format!("{byte:02x}")).collect();
    let again = std::process::Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(KEY, key)
        .status();
    let again = again.expect("a program can be started again");
    match again.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs in a child in place of the guest: one attempt.
fn escaped(job: &Job) -> String {
    attempt(&job.args)
}

/// Makes the attempt that these words are of, and says how it went, in the words of a system call.
fn attempt(words: &[impl AsRef<str>]) -> String {
    let mut told = words.iter();
    let mut next = || {
        told.next()
            .map_or_else(String::new, |word| word.as_ref().to_owned())
    };
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
    let mut known = ATTEMPTS.iter().chain(WITH_A_PIPE).chain(ABORTING);
    let attempt = known.find(|(known, _)| *known == name);
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
    fn new(key: Vec<u8>) -> Self {
        let folder = std::env::temp_dir().join(format!("escape-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("for all");
        let outside = Self {
            key,
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

    fn copy(&self, program: &Path, name: &str) -> PathBuf {
        let copy = self.folder.join(name);
        std::fs::copy(program, &copy).expect("room for a copy");
        copy
    }

    /// The end of each of `attempts` in a zygote's children, as jobs that `changed` has made of ours;
    /// and whether nothing was missing that holds them.
    fn all(
        &self,
        program: &Path,
        attempts: &[&str],
        changed: impl Fn(Job) -> Job,
    ) -> (Vec<String>, bool) {
        let runtime = ProcessRuntime::new(ProcessConfig {
            engine: ENGINE,
            metering: propeller_sandbox::Metering::Full,
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
        assert_eq!(told(found.result.as_deref()), DONE, "{SCAN_WORKS}");
        let mut ends = Vec::new();
        for name in attempts {
            // A job next door, with a canary in its input, whose process is warm at the same time.
            let neighbour = Job {
                key: ModuleKey {
                    tenant: "tenant".to_owned(),
                    digest: Digest([1; 32]),
                },
                // (module (func (export "_start")))
                wasm: Bytes::from_static(
                    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b",
                ),
                stdin: Bytes::from(self.neighbour.clone()).into(),
                ..self.job("unknown")
            };
            let (_, end) = clock.block_on(async {
                let job = changed(self.job(name));
                tokio::join!(runtime.run(neighbour), runtime.run(job))
            });
            ends.push(match end {
                Ok(exit) if exit.status == NO_MEMORY_LEFT => NO_MEMORY.to_owned(),
                Ok(exit) => told(exit.result.as_deref()),
                Err(RunError::Escaped) => "SIGSYS".to_owned(),
                Err(RunError::Runtime(why)) if why.to_string().contains("has no memory left") => {
                    NO_MEMORY.to_owned()
                }
                Err(_) => format!("{DONE}, and the process is gone"),
            });
        }
        let all_there = runtime.mechanisms().to_string().ends_with("missing: none");
        (ends, all_there)
    }

    fn job(&self, attempt: &str) -> Job {
        let masked = |bytes: &[u8]| bytes.iter().map(|byte| format!("{:02x}", !byte)).collect();
        Job {
            daemon: None,
            key: ModuleKey {
                tenant: "tenant".to_owned(),
                digest: Digest([0; 32]),
            },
            wasm: Bytes::from(wat::parse_str(COMPONENT).expect("it is a component")),
            name: "guest".to_owned(),
            entry: Entry::Named("_start".to_owned()),
            args: vec![
                attempt.to_owned(),
                std::process::id().to_string(),
                self.listener
                    .local_addr()
                    .expect("an address")
                    .port()
                    .to_string(),
                self.file().display().to_string(),
                masked(&self.key),
                masked(&self.neighbour),
            ],
            env: Vec::new(),
            stdin: propeller_sandbox::Stdin::default(),
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
            let error = std::io::Error::from_raw_os_error(code).to_string();
            let words = error.split(" (os error").next().unwrap_or_default();
            match code {
                libc::ENODATA => "nothing is there".to_owned(),
                _ => words.to_lowercase(),
            }
        }
        Some(_) => DONE.to_owned(),
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
