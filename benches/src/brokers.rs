//! The brokers that are compared: the embedded one, and mosquitto if the machine has it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use propeller::stack::{self, Scratch};
use propeller_broker::Broker;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::error::BenchError;

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// In this process.
    Embedded,
    /// Debian's, as a child process.
    Mosquitto,
}

impl Kind {
    /// Its name, for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// A broker that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) enum Running {
    Embedded(Broker),
    Mosquitto {
        address: SocketAddr,
        child: Box<Child>,
    },
}

impl Running {
    /// Starts a broker on a free port of loopback. It accepts connections when this returns.
    pub(crate) async fn start(kind: Kind, scratch: &Scratch) -> Result<Self, BenchError> {
        match kind {
            Kind::Embedded => Ok(Self::Embedded(stack::broker().await?)),
            Kind::Mosquitto => start_mosquitto(scratch).await,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Embedded(broker) => broker.address(),
            Self::Mosquitto { address, .. } => *address,
        }
    }

    /// Its process, if it has one of its own.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Embedded(_) => None,
            Self::Mosquitto { child, .. } => child.id(),
        }
    }

    pub(crate) async fn stop(self) {
        match self {
            Self::Embedded(broker) => broker.stop().await,
            Self::Mosquitto { mut child, .. } => {
                // It may have ended by itself, which has shown in what was measured.
                let _gone = child.kill().await;
            }
        }
    }
}

/// Where mosquitto is, if it is installed. Debian keeps it out of most people's PATH.
pub(crate) fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.is_file())
}

/// An address of loopback that was free a moment ago.
pub(crate) async fn free_address() -> Result<SocketAddr, BenchError> {
    let failed = || BenchError::io("find a free port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.map_err(failed())?.local_addr().map_err(failed())
}

async fn start_mosquitto(scratch: &Scratch) -> Result<Running, BenchError> {
    /// Connecting to a port that nobody listens on fails at once.
    const LOOK: Duration = Duration::from_millis(5);
    let address = free_address().await?;
    let config = scratch.path("mosquitto.conf");
    let text = mosquitto_config(address.port());
    std::fs::write(&config, text).map_err(BenchError::io("write mosquitto's configuration"))?;
    let file = mosquitto().unwrap_or_else(|| PathBuf::from("mosquitto"));
    let mut child = spawn_mosquitto(&file, &config)?;
    loop {
        let exited = child
            .try_wait()
            .map_err(BenchError::io("watch mosquitto"))?;
        if let Some(status) = exited {
            return Err(BenchError::Ended {
                what: "mosquitto",
                said: status.to_string(),
            });
        }
        if TcpStream::connect(address).await.is_ok() {
            let child = Box::new(child);
            return Ok(Running::Mosquitto { address, child });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn spawn_mosquitto(file: &Path, config: &Path) -> Result<Child, BenchError> {
    Command::new(file)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(BenchError::io("start mosquitto"))
}

/// Without bounds on what is queued or under way, so that the broker drops nothing, and without
/// Nagle's algorithm, which would add 40 ms to what is measured.
fn mosquitto_config(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
         max_queued_messages 0\nmax_inflight_messages 0\npersistence false\nlog_dest none\n"
    )
}
