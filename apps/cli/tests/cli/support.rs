//! A scripted manager on loopback, and a way to run a command line against it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};
use propeller_cli::{Cli, Exit, Ui};

/// What the manager does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with a status and JSON.
    Answer(u16, String),
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
}

impl Manager {
    pub(crate) fn new(script: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (Arc::clone(&requests), script.to_vec());
        std::thread::spawn(move || {
            for act in script {
                let (mut stream, _) = listener.accept().expect("a client connects");
                let request = read_request(&mut stream);
                seen.lock()
                    .expect("no test panics while it holds this")
                    .push(request);
                if let Act::Answer(status, json) = act {
                    write_answer(&mut stream, status, &json);
                }
            }
        });
        Self {
            url: format!("http://{address}"),
            requests,
        }
    }

    /// Every request so far: its first line, an authorization if it has one, and its body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("the client sends a request");
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let complete = text.split_once("\r\n\r\n").filter(|(head, body)| {
            let length = header(head, "content-length").map_or(0, |l| l.parse().expect("a number"));
            body.len() >= length
        });
        if let Some((head, body)) = complete {
            let first = head
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches(" HTTP/1.1");
            let token = header(head, "authorization").map(|token| format!(" [{token}]"));
            return format!("{first}{} {body}", token.unwrap_or_default())
                .trim_end()
                .to_owned();
        }
        assert!(read > 0, "the request ends early: {text}");
    }
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
    // Another test of this process may have been first.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let line = [&["propeller-cli", "--manager-url", url], args].concat();
    let cli = Cli::try_parse_from(line).expect("the command line makes sense");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ui = Ui::new(&mut out, &mut err, false);
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
