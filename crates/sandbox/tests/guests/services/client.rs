//! A client that says exactly what a test wants to say.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Only a broken build takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }
}

/// Waits until somebody listens there.
pub(crate) async fn listens(address: SocketAddr) {
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, listening).await;
    waited.expect("the service listens");
}

/// Sends `request` and leaves it at that.
pub(crate) async fn begin(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    stream
}

/// Sends `request` and takes what comes until the other side ends.
async fn exchange(address: SocketAddr, head: &[u8], body: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut from, mut to) = stream.into_split();
    let send = async {
        // Whoever is turned away early has not read everything.
        if to.write_all(head).await.is_ok() {
            to.write_all(body).await.ok();
        }
    };
    let mut answer = Vec::new();
    let receive = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = from.read(&mut piece).await {
            answer.extend_from_slice(&piece[..len]);
        }
    };
    let both = async { tokio::join!(send, receive) };
    let done = tokio::time::timeout(PATIENCE, both).await;
    done.expect("the service answers");
    answer
}

/// What comes back, as it is. The client closes nothing by itself.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> String {
    let answer = exchange(address, request, b"").await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    parse(&exchange(address, head.as_bytes(), b"").await)
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &[u8]) -> Answer {
    let len = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {len}\r\n\r\n"
    );
    parse(&exchange(address, head.as_bytes(), body).await)
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = &answer[end + 4..];
    Answer {
        status: status.expect("the status is a number"),
        body: match head.contains("transfer-encoding: chunked") {
            true => unchunked(body),
            false => body.to_vec(),
        },
    }
}

/// RFC 9112, section 7.1.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let end = end.expect("a chunk begins with its size");
        let size = std::str::from_utf8(&rest[..end]).expect("the size is text");
        let size = usize::from_str_radix(size, 16).expect("the size is a number");
        rest = &rest[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
