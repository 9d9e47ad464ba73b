//! A scripted manager on loopback, and a way to run a command line against it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};
use propeller_ces::{Wanted, verify};
use propeller_cli::{Cli, Exit, Ui};

/// What the manager does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with a status and JSON.
    Answer(u16, String),
    /// Keeps what is uploaded, and says what object that is.
    Keep,
    /// Answers with the part of these bytes that is asked for.
    Part(Arc<Vec<u8>>),
    /// Closes the connection without a word.
    HangUp,
}

/// An answer.
pub(crate) fn answer(status: u16, json: &str) -> Act {
    Act::Answer(status, json.to_owned())
}

/// A manager that answers one request after the other, each on its own connection.
pub(crate) struct Manager {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    kept: Arc<Mutex<Vec<u8>>>,
}

/// A request as it came.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Manager {
    pub(crate) fn new(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (Arc::clone(&requests), script.to_vec());
        let keeps = Arc::clone(&kept);
        std::thread::spawn(move || {
            for act in script {
                let (mut stream, _) = listener.accept().expect("a client connects");
                let request = read_request(&mut stream);
                seen.lock()
                    .expect("no test panics while it holds this")
                    .push(request.line());
                match act {
                    Act::Answer(status, json) => write_answer(&mut stream, status, &json),
                    Act::Keep => {
                        let json = object_info(&request.body);
                        *keeps.lock().expect("no test panics while it holds this") = request.body;
                        write_answer(&mut stream, 200, &json);
                    }
                    Act::Part(bytes) => write_part(&mut stream, &request.head, &bytes),
                    Act::HangUp => {}
                }
            }
        });
        Self {
            url: format!("http://{address}"),
            requests,
            kept,
        }
    }

    /// What was uploaded last.
    pub(crate) fn kept(&self) -> Vec<u8> {
        self.kept
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    /// Every request so far: its first line, an authorization and a condition if it has them, and
    /// its body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }
}

impl Request {
    /// Its first line, an authorization and a condition if it has them, and its body if it is text.
    fn line(&self) -> String {
        let first = self.head.lines().next().unwrap_or_default();
        let first = first.trim_end_matches(" HTTP/1.1");
        let token = header(&self.head, "authorization").map(|token| format!(" [{token}]"));
        let body = match header(&self.head, "content-type") {
            Some("application/octet-stream") => "".into(),
            _ => String::from_utf8_lossy(&self.body),
        };
        let condition = header(&self.head, "if-none-match").map(|tags| format!(" unless {tags}"));
        let (token, condition) = (token.unwrap_or_default(), condition.unwrap_or_default());
        format!("{first}{token}{condition} {body}")
            .trim_end()
            .to_owned()
    }
}

fn read_request(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut chunk).expect("the client sends a request");
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(request) = complete(&bytes) {
            return request;
        }
        assert!(
            read > 0,
            "the request ends early: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

fn complete(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = &bytes[end + 4..];
    let body = match header(&head, "transfer-encoding") {
        Some(_) if rest.ends_with(b"\r\n0\r\n\r\n") => unchunked(rest),
        Some(_) => return None,
        None => {
            let length =
                header(&head, "content-length").map_or(0, |l| l.parse().expect("a number"));
            rest.get(..length)?.to_vec()
        }
    };
    Some(Request { head, body })
}

/// The body in a chunked one.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|end| end == b"\r\n");
        let (line, after) = rest.split_at(end.expect("a chunk has a length"));
        let line = std::str::from_utf8(line).expect("a length is text");
        match usize::from_str_radix(line, 16).expect("a length is hexadecimal") {
            0 => return body,
            len => {
                body.extend_from_slice(&after[2..2 + len]);
                rest = &after[2 + len + 2..];
            }
        }
    }
}

/// What a manager says of a shard, without its key.
fn object_info(shard: &[u8]) -> String {
    let report = verify(vec![shard], Wanted::default(), &mut |_| ()).expect("it is a shard");
    assert!(report.is_whole(), "{}", report.damage);
    format!(
        r#"{{"digest":"{}","length":{}}}"#,
        report.digest, report.plain_len
    )
}

fn write_part(stream: &mut TcpStream, head: &str, bytes: &[u8]) {
    let range = header(head, "range").and_then(|range| range.strip_prefix("bytes="));
    let (first, last) = range
        .and_then(|range| range.split_once('-'))
        .expect("a range");
    let first: usize = first.parse().expect("a number");
    let last: usize = last.parse().expect("a number");
    let part = &bytes[first..=last];
    let (total, len) = (bytes.len(), part.len());
    let head = format!(
        "HTTP/1.1 206 x\r\nContent-Range: bytes {first}-{last}/{total}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    );
    // A client that was told enough reads no more.
    stream.write_all(head.as_bytes()).ok();
    stream.write_all(part).ok();
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn write_answer(stream: &mut TcpStream, status: u16, json: &str) {
    let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/json");
    let length = match status {
        204 => String::new(),
        _ => format!("\r\nContent-Length: {}", json.len()),
    };
    let text = format!("{head}{length}\r\nConnection: close\r\n\r\n{json}");
    stream
        .write_all(text.as_bytes())
        .expect("the client reads the answer");
}

/// What a command line printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    /// All of it, for snapshots.
    pub(crate) fn transcript(&self) -> String {
        let out = String::from_utf8_lossy(&self.out);
        format!("{out}--- {:?}\n{}", self.exit, self.err)
    }
}

/// Runs a command line against a manager whose address is `url`.
pub(crate) fn run_at(url: &str, args: &[&str]) -> Ran {
    run_before(url, args, false)
}

/// The same where a person looks at both streams.
pub(crate) fn run_on_terminal(args: &[&str], script: &[Act]) -> Ran {
    run_before(&Manager::new(script).url, args, true)
}

fn run_before(url: &str, args: &[&str], terminal: bool) -> Ran {
    // Another test of this process may have been first.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let line = [&["propeller-cli", "--manager-url", url], args].concat();
    let cli = Cli::try_parse_from(line).expect("the command line makes sense");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ui = Ui::new(&mut out, &mut err, false).on_terminal(terminal, terminal);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let run = propeller_cli::run(cli.verb, &cli.connection, Cli::command(), &mut ui);
    let exit = runtime.block_on(run);
    let err = String::from_utf8(err)
        .expect("messages are text")
        .replace(url, "MANAGER");
    Ran { exit, out, err }
}

/// Runs a command line against a manager with these answers.
pub(crate) fn run(args: &[&str], script: &[Act]) -> (Ran, Vec<String>) {
    let manager = Manager::new(script);
    let ran = run_at(&manager.url, args);
    (ran, manager.requests())
}
