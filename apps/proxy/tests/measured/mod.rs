//! What tests of memory share: the program that operators run, on Debian's mosquitto, and what the
//! kernel says of its process.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use propeller_envelope::WorkloadKey;
use propeller_proxy::Config;
use propeller_proxy::config::SCHEMA;
use propeller_settings::{Settings, Sources};
use tempfile::TempDir;

/// What a proxy may take, whatever it serves.
pub(crate) const MEMORY_MAX: u64 = 32 << 20;
/// The same beyond what it takes before it serves anything: what a build of the program has resident
/// says nothing about chunks.
pub(crate) const GROWTH_MAX: u64 = 17 << 20;
/// Names another program to measure, with its arguments: such as `target/release/propeller proxy`.
const PROGRAM: &str = "PROPELLER_TEST_PROXY";

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = File::options();
        let mut file = options.append(true).create(true).open(path).unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|path| path.is_file())
}

fn config(flags: &[(&str, String)]) -> Config {
    let flags = flags.iter();
    let flags = flags.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let sources = Sources {
        flags: flags.collect(),
        ..Sources::default()
    };
    Config::from_settings(Settings::load(SCHEMA, "proxy", &sources)).unwrap()
}

/// A process that is killed when nobody looks at it any more.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the kernel says of a process, in bytes.
fn status(process: &Process, what: &str) -> u64 {
    let path = format!("/proc/{}/status", process.0.id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse::<u64>().unwrap() * 1024
}

/// Has the kernel forget what the most was.
pub(crate) fn forget_peak(process: &Process) {
    std::fs::write(format!("/proc/{}/clear_refs", process.0.id()), "5").unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn broker(mosquitto: &Path, folder: &Path) -> (Process, String) {
    let port = free_port();
    let config = folder.join("mosquitto.conf");
    std::fs::write(
        &config,
        format!("listener {port} 127.0.0.1\nallow_anonymous true\n"),
    )
    .unwrap();
    let child = Command::new(mosquitto)
        .arg("-c")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    (Process(child.unwrap()), format!("tcp://127.0.0.1:{port}"))
}

/// The program, told by its environment what a service is told.
fn proxy(flags: &[(&str, String)], folder: &Path) -> Process {
    let log = File::create(folder.join("proxy.log")).unwrap();
    let named = |(name, value): &(&str, String)| {
        let name = format!("PROXY_{}", name.to_uppercase());
        (name, value.clone())
    };
    let other =
        std::env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_propeller-proxy").into());
    let other = other.into_string().unwrap();
    let mut words = other.split(' ');
    let child = Command::new(words.next().unwrap())
        .args(words)
        .env_clear()
        .envs(flags.iter().map(named))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn();
    Process(child.unwrap())
}

/// Tells what there is to know, and what the most was.
pub(crate) fn say(proxy: &Process, what: &str, took: Duration) -> u64 {
    let [peak, anon, file] = ["VmHWM:", "RssAnon:", "RssFile:"].map(|it| status(proxy, it));
    let ms = took.as_millis();
    println!("{what}: {ms} ms, peak {peak}, now {anon} of its own and {file} of files");
    peak
}

/// A proxy that is measured, and its broker.
pub(crate) struct Bed {
    pub(crate) proxy: Process,
    pub(crate) config: Config,
    _broker: Process,
    _folder: TempDir,
}

impl Bed {
    /// One that asks the registry at an address, with these settings more; nothing where memory cannot
    /// be measured.
    pub(crate) fn start(
        registry: &str,
        key: &WorkloadKey,
        more: &[(&str, String)],
    ) -> Option<Self> {
        let Some(mosquitto) = program("mosquitto") else {
            skipped("no mosquitto: run the tests with `cargo xtask test`");
            return None;
        };
        if std::fs::write("/proc/self/clear_refs", "5").is_err() {
            skipped("the kernel does not say how much memory a process takes");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (broker, address) = broker(&mosquitto, folder.path());
        let data_dir = folder.path().join("proxy");
        let flags = [
            ("mqtt_address", address),
            ("workload_key", key.to_hex().to_string()),
            ("data_dir", data_dir.display().to_string()),
            ("registries", format!("http://{registry}")),
            ("http_port", "0".to_owned()),
        ];
        let flags = [&flags, more].concat();
        Some(Self {
            proxy: proxy(&flags, folder.path()),
            config: config(&flags),
            _broker: broker,
            _folder: folder,
        })
    }
}
