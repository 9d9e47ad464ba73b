//! What the tests share: finding runtimes, jobs, and a line of text for how a job went.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, SetBy};
use propeller_sandbox::external::{ExternalConfig, ExternalRuntime, StartError, Template};
use propeller_sandbox::{Capabilities, Entry, Exit, Job, ModuleKey, RunError, Status, Transcript};

/// How long a test waits for what has to happen. Only a broken build ever waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where `cargo xtask test` has put runtimes; `PATH` comes after it.
const RUNTIMES: &str = "PROPELLER_TEST_RUNTIMES";

/// The program called `name`, or a record that the test could not run.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let folders = [RUNTIMES, "PATH"].map(|name| std::env::var_os(name).unwrap_or_default());
    let found = folders
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("there is no {name} in PATH or {RUNTIMES}"));
    }
    found
}

/// Records that the test could not run.
pub(crate) fn skipped(reason: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

pub(crate) fn config(program: &Path, template: Option<&str>) -> ExternalConfig {
    ExternalConfig {
        program: program.to_owned(),
        template: template.map(|text| Template::parse(text).expect("the test's template")),
        module_bytes_max: 16 * 1024 * 1024,
        guests_max: 4,
        folder: None,
        launcher: env!("CARGO_BIN_EXE_sandbox-child").into(),
    }
}

pub(crate) fn start(program: &Path, template: Option<&str>) -> Result<ExternalRuntime, StartError> {
    ExternalRuntime::new(config(program, template))
}

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
            digest: Digest([0; 32]),
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

/// A limit that the task asked for.
pub(crate) fn bound(value: u64) -> Bound {
    Bound {
        value,
        set_by: SetBy::Task,
    }
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

/// How many processes have `mark` on their command line.
pub(crate) fn marked(mark: &str) -> usize {
    with(mark).len()
}

/// The processes that have `mark` on their command line.
fn with(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let marked = processes.filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.windows(mark.len()).any(|part| part == mark.as_bytes())
    });
    marked
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// How nice a process is; `None` if it is gone.
fn nice(process: &str) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may have anything in it: state, then 15 numbers.
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(16)?.parse().ok()
}

/// Whether there is a process with `mark` on its command line that comes after this one, and so does
/// its session, where the kernel tells sessions apart.
pub(crate) fn gives_way(mark: &str) -> bool {
    const NICER: i32 = 10;
    const NICEST: i32 = 19;
    let own = nice("self").expect("this process is there");
    with(mark).iter().any(|process| {
        let group = std::fs::read_to_string(format!("/proc/{process}/autogroup"));
        let later = group.map_or(true, |group| group.trim_end().ends_with(" nice 10"));
        later && nice(process) == Some(NICEST.min(own + NICER))
    })
}

/// A folder of a test, which goes with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("propeller-external-{}", unique());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Different for each call in each run.
pub(crate) fn unique() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:x}", RandomState::new().build_hasher().finish())
}
