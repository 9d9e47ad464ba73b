//! The least HTTP/1.1 that talks to a manager: one connection, kept alive, one request at a time.
//!
//! Client and server share the machine's cores, so what the client costs is missing elsewhere.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::error::BenchError;

/// The lines of a head: a manager sends five.
const HEAD_LINES_MAX: usize = 64;
/// One line of a head, in bytes.
const LINE_LEN_MAX: u64 = 8 * 1024;
/// A body, in bytes: results and lists are far smaller.
const BODY_LEN_MAX: usize = 16 * 1024 * 1024;

/// What the manager answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A connection. After an error it is of no more use.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Connection {
    /// Connects to a manager.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream: BufReader::new(stream),
            line: Vec::new(),
        })
    }

    /// Another connection to the same manager.
    pub(crate) async fn again(&self) -> io::Result<Self> {
        Self::open(self.address).await
    }

    /// Fetches what is at `path`; anything but 200 is an error.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Vec<u8>, BenchError> {
        self.send("GET", path, None).await?.expect_status(path, 200)
    }

    /// Creates something at `path` from JSON; anything but 201 is an error.
    pub(crate) async fn post(&mut self, path: &str, json: &[u8]) -> Result<Vec<u8>, BenchError> {
        self.send("POST", path, Some(json))
            .await?
            .expect_status(path, 201)
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        json: Option<&[u8]>,
    ) -> Result<Answer, BenchError> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if let Some(json) = json {
            request.push_str("content-type: application/json\r\n");
            request.push_str(&format!("content-length: {}\r\n", json.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(json.unwrap_or_default());
        let sent = self.stream.get_mut().write_all(&request).await;
        sent.map_err(BenchError::io("send a request"))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, BenchError> {
        let status = status(self.line().await?)?;
        let mut len = None;
        for _ in 0..HEAD_LINES_MAX {
            let line = self.line().await?;
            if line.is_empty() {
                let body = self.body(len).await?;
                return Ok(Answer { status, body });
            }
            len = content_length(line)?.or(len);
        }
        Err(BenchError::Http {
            why: "its head has no end",
        })
    }

    /// The next line of the head, without its end.
    async fn line(&mut self) -> Result<&[u8], BenchError> {
        self.line.clear();
        let mut limited = (&mut self.stream).take(LINE_LEN_MAX);
        let read = limited.read_until(b'\n', &mut self.line).await;
        read.map_err(BenchError::io("read an answer"))?;
        self.line.strip_suffix(b"\r\n").ok_or(BenchError::Http {
            why: "a line is too long or cut off",
        })
    }

    async fn body(&mut self, len: Option<usize>) -> Result<Vec<u8>, BenchError> {
        let why = "it does not say how long it is, or is too long";
        let len = len
            .filter(|len| *len <= BODY_LEN_MAX)
            .ok_or(BenchError::Http { why })?;
        let mut body = vec![0; len];
        let read = self.stream.read_exact(&mut body).await;
        read.map_err(BenchError::io("read an answer"))?;
        Ok(body)
    }
}

impl Answer {
    fn expect_status(self, path: &str, expected: u16) -> Result<Vec<u8>, BenchError> {
        if self.status == expected {
            return Ok(self.body);
        }
        Err(BenchError::Refused {
            path: path.to_owned(),
            status: self.status,
            body: String::from_utf8_lossy(&self.body).into_owned(),
        })
    }
}

/// The status in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Result<u16, BenchError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or(BenchError::Http {
            why: "it has no status",
        })
}

/// The length of the body, if that is what this line says.
fn content_length(line: &[u8]) -> Result<Option<usize>, BenchError> {
    let why = "its length is no number";
    let text = std::str::from_utf8(line).map_err(|_| BenchError::Http { why })?;
    match text.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("content-length") => value
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| BenchError::Http { why }),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 201 Created").unwrap(), 201);
        assert!(status(b"HTTP/1.1 2").is_err());
        assert!(status(b"SSH-2.0").is_err());
    }

    #[test]
    fn only_one_header_says_how_long_the_body_is() {
        assert_eq!(content_length(b"Content-Length: 12").unwrap(), Some(12));
        assert_eq!(content_length(b"date: today").unwrap(), None);
        assert!(content_length(b"content-length: -1").is_err());
    }
}
