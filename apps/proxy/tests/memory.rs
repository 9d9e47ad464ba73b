//! How much memory a proxy takes that serves four proplets at once, across Debian's mosquitto.
//!
//! The proxy is the program that operators run: the peak is its process's.
#![cfg(test)]

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::{Digest, PropletId};
use propeller_oci::sha256;
use propeller_proxy::Config;
use propeller_proxy::config::SCHEMA;
use propeller_settings::{Settings, Sources};
use propeller_wire::images::{AskChunks, CHUNKS_PER_ASK_MAX, FromProxy, ToProxy};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::{Caller, Channel, Heard, Images, mqtt};
use tokio::task::JoinSet;

/// What a proxy may take, whatever it serves.
const MEMORY_MAX: u64 = 32 << 20;
/// The same beyond what it takes before it serves anything: what a build of the program has resident
/// says nothing about chunks.
const GROWTH_MAX: u64 = 17 << 20;
/// The length of the blob that it serves.
const BLOB_LEN: usize = 100_000_000;
/// Proplets that ask at once.
const PROPLETS: usize = 4;
/// Asks that a proplet has under way, of so many chunks each.
const ASKS: usize = 2;

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
struct Process(Child);

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
fn forget_peak(process: &Process) {
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

/// A proplet, as far as a proxy knows it.
struct Proplet {
    caller: Caller<Images>,
    link: Link,
    tasks: JoinSet<()>,
}

impl Proplet {
    async fn connect(name: &str, options: &mqtt::Options, key: &WorkloadKey) -> Self {
        let id: PropletId = name.parse().unwrap();
        let options = mqtt::Options {
            client_id: name.to_owned(),
            queues: mqtt::Queues::default(),
            ..options.clone()
        };
        let (link, carry) = mqtt::connect(&options, Listen::AsProplet(id.clone())).unwrap();
        let mut proplet = Self {
            caller: Caller::new(id, Keyring::new(key.clone())),
            link,
            tasks: JoinSet::new(),
        };
        proplet.tasks.spawn(carry);
        loop {
            let pause = Duration::from_millis(200);
            match tokio::time::timeout(pause, proplet.hear()).await {
                Ok(FromProxy::Welcome(_)) => return proplet,
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    let mut nonce = [0; 32];
                    aws_lc_rs::rand::fill(&mut nonce).unwrap();
                    let frame = proplet.caller.announce(nonce);
                    proplet.send(Channel::Ask, frame).await;
                }
            }
        }
    }

    async fn send(&self, channel: Channel, frame: Vec<u8>) {
        let bytes = frame.into();
        self.link
            .outgoing
            .send(Outgoing { channel, bytes })
            .await
            .unwrap();
    }

    /// The next thing that the proxy says.
    async fn hear(&mut self) -> FromProxy {
        loop {
            let incoming = self.link.incoming.recv().await.unwrap();
            let Incoming::Frame { channel, bytes } = incoming else {
                continue;
            };
            match self.caller.receive(&channel, &bytes) {
                Heard::Offered => {
                    let (channel, frame) = self.caller.seal_hello(&ToProxy::Hello).unwrap();
                    self.send(channel, frame).await;
                }
                Heard::Said(message) => return message,
                _ => {}
            }
        }
    }

    /// Fetches all chunks of a blob, and says how long that took.
    async fn fetch(&mut self, reference: &str, digest: Digest, chunk_len: u32) -> Duration {
        let begun = Instant::now();
        let count = u32::try_from(BLOB_LEN).unwrap().div_ceil(chunk_len);
        let all: Vec<u32> = (0..count).collect();
        let mut asks = all.chunks(CHUNKS_PER_ASK_MAX);
        let (mut there, mut wanted) = (0, 0);
        while there < count {
            while there + u32::try_from(ASKS * CHUNKS_PER_ASK_MAX).unwrap() > wanted {
                let Some(indexes) = asks.next() else { break };
                wanted += u32::try_from(indexes.len()).unwrap();
                let ask = ToProxy::Chunks(AskChunks {
                    ask: 1,
                    reference: reference.to_owned(),
                    digest,
                    len: BLOB_LEN as u64,
                    indexes: indexes.to_vec(),
                    again: false,
                });
                let (channel, frame) = self.caller.seal(&ask).unwrap();
                self.send(channel, frame).await;
            }
            let heard = tokio::time::timeout(Duration::from_secs(60), self.hear());
            match heard.await.unwrap() {
                FromProxy::Chunk(_) => there += 1,
                FromProxy::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
        begun.elapsed()
    }
}

/// A registry that has one blob, whatever it is asked for.
async fn registry(tasks: &mut JoinSet<()>) -> (String, Digest) {
    let piece: Vec<u8> = (0..=u8::MAX).collect();
    let blob: Bytes = piece.into_iter().cycle().take(BLOB_LEN).collect();
    let digest = sha256(&blob);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().route("/v2/{*rest}", get(move || async move { blob }));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, digest)
}

/// Has all of them fetch at one time; how long the slowest took.
async fn at_once(all: &mut Vec<Proplet>, reference: &str, digest: Digest, len: u32) -> Duration {
    let mut fetching = JoinSet::new();
    for mut proplet in std::mem::take(all) {
        let reference = reference.to_owned();
        fetching.spawn(async move {
            let took = proplet.fetch(&reference, digest, len).await;
            (proplet, took)
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(fetched) = fetching.join_next().await {
        let (proplet, took) = fetched.unwrap();
        slowest = slowest.max(took);
        all.push(proplet);
    }
    slowest
}

/// Tells what there is to know, and what the most was.
fn say(proxy: &Process, what: &str, took: Duration) -> u64 {
    let [peak, anon, file] = ["VmHWM:", "RssAnon:", "RssFile:"].map(|it| status(proxy, it));
    let ms = took.as_millis();
    println!("{what}: {ms} ms, peak {peak}, now {anon} of its own and {file} of files");
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_to_four_proplets_at_once_need_few_chunks_in_memory() {
    let Some(mosquitto) = program("mosquitto") else {
        return skipped("no mosquitto: run the tests with `cargo xtask test`");
    };
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return skipped("the kernel does not say how much memory a process takes");
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let mut tasks = JoinSet::new();
    let (registry, digest) = registry(&mut tasks).await;
    let folder = tempfile::tempdir().unwrap();
    let (_broker, address) = broker(&mosquitto, folder.path());
    let key = WorkloadKey::generate().unwrap();
    let flags = [
        ("mqtt_address", address),
        ("workload_key", key.to_hex().to_string()),
        (
            "data_dir",
            folder.path().join("proxy").display().to_string(),
        ),
        ("registries", format!("http://{registry}")),
        ("http_port", "0".to_owned()),
    ];
    let proxy = proxy(&flags, folder.path());
    let Config {
        mqtt: options,
        chunk_len,
        ..
    } = config(&flags);
    let reference = format!("http://{registry}/a/b:1");

    let mut all = Vec::new();
    for number in 0..PROPLETS {
        all.push(Proplet::connect(&format!("edge-{number}"), &options, &key).await);
    }
    let idle = say(&proxy, "idle", Duration::ZERO);
    let mut peaks = Vec::new();
    for what in ["one, which is fetched", "one", "one", "one"] {
        forget_peak(&proxy);
        let took = all[0].fetch(&reference, digest, chunk_len).await;
        peaks.push(say(&proxy, what, took));
    }
    for _ in 0..2 {
        forget_peak(&proxy);
        let took = at_once(&mut all, &reference, digest, chunk_len).await;
        peaks.push(say(&proxy, "four at once", took));
    }
    let most = peaks.into_iter().max().unwrap();
    assert!(most < MEMORY_MAX, "{most} bytes");
    let growth = most.saturating_sub(idle);
    assert!(growth < GROWTH_MAX, "{growth} bytes more than {idle}");
}
