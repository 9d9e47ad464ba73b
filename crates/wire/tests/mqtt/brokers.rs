//! The brokers that a link is tried on: our own, and mosquitto and amqtt if the machine has them.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use propeller_broker::{Options, PACKET_LEN_MAX, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

/// Where the next broker is tried. Systems choose ports from 32,768 on for whoever connects or
/// does not care; down here nobody takes the port of a broker that is away for a moment.
static NEXT_PORT: AtomicU16 = AtomicU16::new(21_000);
/// Some ports may be in use by something else.
const PORT_TRIES: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded {
        packet_len_max: u32,
    },
    Mosquitto,
    /// Knows only MQTT 3.1.1.
    Amqtt,
}

pub(crate) const EMBEDDED: Kind = Kind::Embedded {
    packet_len_max: PACKET_LEN_MAX,
};

/// A broker that runs. Dropping it kills it.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    kind: Kind,
    running: Running,
}

enum Running {
    Embedded(propeller_broker::Broker),
    Mosquitto(Box<Mosquitto>),
    Amqtt(Box<Child>),
}

struct Mosquitto {
    child: Child,
    _config: TempDir,
    _log: BufReader<ChildStderr>,
}

impl Broker {
    /// Starts a broker on any port, or says why there is none.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        if kind == Kind::Mosquitto && mosquitto().is_none() {
            skipped("no mosquitto: install it, or name it with PROPELLER_TEST_MOSQUITTO");
            return None;
        }
        if kind == Kind::Amqtt && python_with_amqtt().is_none() {
            skipped("no Python with amqtt: name one with PROPELLER_TEST_PYTHON");
            return None;
        }
        for _ in 0..PORT_TRIES {
            let address = ([127, 0, 0, 1], NEXT_PORT.fetch_add(1, Relaxed)).into();
            if let Some(running) = run(kind, address).await {
                return Some(Self {
                    address,
                    kind,
                    running,
                });
            }
        }
        panic!("{PORT_TRIES} ports are in use");
    }

    /// Ends it, without a goodbye if that is possible.
    pub(crate) async fn kill(self) -> Grave {
        match self.running {
            Running::Embedded(broker) => broker.stop().await,
            Running::Mosquitto(mut mosquitto) => mosquitto.child.kill().await.unwrap(),
            Running::Amqtt(mut child) => child.kill().await.unwrap(),
        }
        Grave {
            kind: self.kind,
            address: self.address,
        }
    }
}

/// Where a broker was.
pub(crate) struct Grave {
    kind: Kind,
    address: SocketAddr,
}

impl Grave {
    pub(crate) async fn revive(self) -> Broker {
        let running = run(self.kind, self.address)
            .await
            .expect("nobody else took the port");
        Broker {
            address: self.address,
            kind: self.kind,
            running,
        }
    }
}

/// Starts a broker at `address`, unless that is taken.
async fn run(kind: Kind, address: SocketAddr) -> Option<Running> {
    match kind {
        Kind::Embedded { packet_len_max } => {
            let options = Options {
                packet_len_max,
                ..Options::new(address)
            };
            match propeller_broker::start(options).await {
                Ok(broker) => Some(Running::Embedded(broker)),
                Err(StartError::PortInUse { .. }) => None,
                Err(error) => panic!("{error:?}"),
            }
        }
        Kind::Mosquitto => run_mosquitto(address)
            .await
            .map(Box::new)
            .map(Running::Mosquitto),
        Kind::Amqtt => run_amqtt(address).await.map(Box::new).map(Running::Amqtt),
    }
}

async fn run_mosquitto(address: SocketAddr) -> Option<Mosquitto> {
    let config = tempfile::tempdir().unwrap();
    let path = config.path().join("mosquitto.conf");
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n\
         log_dest stderr\nlog_type information\nlog_type error\nconnection_messages false\n",
        address.port()
    );
    fs::write(&path, text).unwrap();
    let mut child = Command::new(mosquitto().unwrap())
        .arg("-c")
        .arg(path)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while log.read_line(&mut line).await.unwrap() > 0 {
        if line.contains("running") {
            return Some(Mosquitto {
                child,
                _config: config,
                _log: log,
            });
        }
        assert!(!line.contains("Unknown"), "{line}");
        line.clear();
    }
    None
}

async fn run_amqtt(address: SocketAddr) -> Option<Child> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mqtt/old_broker.py");
    let mut child = Command::new(python_with_amqtt().unwrap())
        .arg(script)
        .arg(address.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_running = lines.next_line().await.unwrap().is_some();
    is_running.then_some(child)
}

fn python_with_amqtt() -> Option<OsString> {
    let python = std::env::var_os("PROPELLER_TEST_PYTHON")?;
    let mut import = std::process::Command::new(&python);
    import.args(["-c", "import amqtt.broker"]);
    let found = import.stderr(Stdio::null()).status().unwrap();
    found.success().then_some(python)
}

fn mosquitto() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_MOSQUITTO") {
        return Some(PathBuf::from(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).collect::<Vec<_>>();
    let folders = folders
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new("/usr/sbin")]);
    folders
        .map(|folder| folder.join("mosquitto"))
        .find(|path| path.is_file())
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}
