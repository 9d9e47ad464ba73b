//! A tap on the wire: a TCP forwarder that keeps every byte between the parts and the broker.
//!
//! It knows nothing of MQTT, frames or keys, and looks at the bytes as an owner of the broker
//! would.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::{BASE64, HEXLOWER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes that a tap keeps. A demo carries less than one of them.
const KEPT_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a secret that must stand together to count as found: far beyond chance.
const NEEDLE_LEN: usize = 16;

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    /// One buffer for each direction of each connection, so that nothing is torn apart.
    streams: Arc<Mutex<Vec<Vec<u8>>>>,
    tasks: JoinSet<()>,
}

/// What a tap has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Bytes, in both directions.
    pub bytes: usize,
    /// Places where a piece of the secret stands.
    pub hits: usize,
}

impl Tap {
    /// Forwards a free port of loopback to `target`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let streams = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, Arc::clone(&streams)));
        Ok(Self {
            address,
            streams,
            tasks,
        })
    }

    /// The port to connect to instead of the broker's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Searches every byte that has passed for any piece of `secrets`, as it is, in base64 and in
    /// hexadecimal.
    #[must_use]
    pub fn search(&self, secrets: &[&[u8]]) -> Seen {
        let needles: HashSet<[u8; NEEDLE_LEN]> =
            secrets.iter().flat_map(|secret| needles(secret)).collect();
        let streams = lock(&self.streams);
        let hits = streams
            .iter()
            .flat_map(|stream| stream.windows(NEEDLE_LEN))
            .filter(|window| needles.contains(*window))
            .count();
        Seen {
            bytes: streams.iter().map(Vec::len).sum(),
            hits,
        }
    }

    /// Stops forwarding.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Every piece of a secret, in every form it is likely to travel in.
///
/// Base64 depends on where a piece stands, so it is cut from the encoding of the whole.
fn needles(secret: &[u8]) -> Vec<[u8; NEEDLE_LEN]> {
    let forms = [
        secret.to_vec(),
        BASE64.encode(secret).into_bytes(),
        HEXLOWER.encode(secret).into_bytes(),
    ];
    forms
        .iter()
        .flat_map(|form| form.windows(NEEDLE_LEN))
        .filter(|window| is_telling(window))
        .filter_map(|window| window.try_into().ok())
        .collect()
}

/// Runs of one byte, as in the padding of any file, say nothing.
fn is_telling(window: &[u8]) -> bool {
    let distinct: HashSet<&u8> = window.iter().collect();
    distinct.len() >= NEEDLE_LEN / 2
}

async fn accept(listener: TcpListener, target: SocketAddr, streams: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        let streams = Arc::clone(&streams);
        connections.spawn(async move {
            if let Ok(to) = TcpStream::connect(target).await {
                forward(from, to, streams).await;
            }
        });
    }
}

async fn forward(from: TcpStream, to: TcpStream, streams: Arc<Mutex<Vec<Vec<u8>>>>) {
    for stream in [&from, &to] {
        if stream.set_nodelay(true).is_err() {
            return;
        }
    }
    let (mut from_read, mut from_write) = from.into_split();
    let (mut to_read, mut to_write) = to.into_split();
    tokio::select! {
        () = copy(&mut from_read, &mut to_write, &streams) => {}
        () = copy(&mut to_read, &mut from_write, &streams) => {}
    }
}

async fn copy(
    read: &mut (impl AsyncReadExt + Unpin),
    write: &mut (impl AsyncWriteExt + Unpin),
    streams: &Mutex<Vec<Vec<u8>>>,
) {
    let index = {
        let mut streams = lock(streams);
        streams.push(Vec::new());
        streams.len() - 1
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(len @ 1..) = read.read(&mut buffer).await else {
            return;
        };
        keep(&mut lock(streams), index, &buffer[..len]);
        if write.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

fn keep(streams: &mut [Vec<u8>], index: usize, bytes: &[u8]) {
    let kept: usize = streams.iter().map(Vec::len).sum();
    let room = KEPT_MAX.saturating_sub(kept).min(bytes.len());
    streams[index].extend_from_slice(&bytes[..room]);
}

fn lock(streams: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}
