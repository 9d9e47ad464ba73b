//! A server that answers by a script and remembers what it was asked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use propeller_attest::rcar::{KbsAddress, Step};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::honest::Honest;

/// How a handshake of TLS begins (RFC 8446, section 5.1), which is no request.
const TLS: [u8; 1] = [22];

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// Nothing, if whoever asks goes away.
    async fn read(connection: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.ok()?);
            if head == TLS {
                return None;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ').map(str::to_owned);
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let mut asked = Self {
            method: first.next()?,
            path: first.next()?,
            headers: pairs
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let length = asked.header("content-length").unwrap_or("0");
        asked.body.resize(length.parse().unwrap(), 0);
        connection.read_exact(&mut asked.body).await.ok()?;
        Some(asked)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of_name = |(known, _): &&(String, String)| known == name;
        let found = self.headers.iter().find(of_name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn step(&self) -> Step {
        match self.path.split_once("/kbs/v0/") {
            Some((_, "auth")) => Step::Auth,
            Some((_, "attest")) => Step::Attest,
            _ => Step::Resource,
        }
    }
}

/// What is sent back, byte for byte, and what comes after it.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

/// How an answer goes on.
pub(crate) enum Then {
    /// The connection is closed.
    End,
    /// These bytes, for as long as anybody takes them.
    Again(Vec<u8>),
    /// Nothing, for as long as anybody waits.
    Nothing,
    /// A space, and ten seconds later another one.
    Drip,
}

impl Answer {
    /// A status, headers, and a body whose length is told.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self::raw([head.as_bytes(), b"connection: close\r\n\r\n", body].concat())
    }

    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            then: Then::End,
        }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::new(
            200,
            &[("content-type", "application/json")],
            body.to_string(),
        )
    }

    /// As brokers refuse nearly everything.
    pub(crate) fn refusal(name: &str, detail: &str) -> Self {
        Self::new(401, &[], refusal(name, detail))
    }

    /// Only so many of its bytes.
    pub(crate) fn cut(mut self, len: usize) -> Self {
        self.bytes.truncate(len);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    async fn send(self, connection: &mut (impl AsyncWrite + AsyncRead + Unpin)) -> Option<()> {
        connection.write_all(&self.bytes).await.ok()?;
        connection.flush().await.ok()?;
        match self.then {
            Then::End => {}
            Then::Nothing => drop(connection.read_u8().await),
            Then::Again(piece) => loop {
                connection.write_all(&piece).await.ok()?;
            },
            Then::Drip => loop {
                connection.write_all(b" ").await.ok()?;
                tokio::time::sleep(Duration::from_secs(10)).await;
            },
        }
        connection.shutdown().await.ok()
    }
}

/// The body of a refusal.
pub(crate) fn refusal(name: &str, detail: &str) -> String {
    let kind = format!("https://github.com/confidential-containers/kbs/errors/{name}");
    json!({"type": kind, "detail": detail}).to_string()
}

type Script = Box<dyn FnMut(&Asked, &mut Honest) -> Answer + Send>;

struct State {
    script: Script,
    honest: Honest,
    asked: Vec<Asked>,
}

/// A broker, for as long as it is held.
pub(crate) struct Broker {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    count: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

impl Broker {
    /// By the book.
    pub(crate) async fn honest() -> Self {
        Self::start(|asked, honest| honest.answer(asked)).await
    }

    /// One that answers as `script` says.
    pub(crate) async fn start(
        script: impl FnMut(&Asked, &mut Honest) -> Answer + Send + 'static,
    ) -> Self {
        Self::listen(None, Box::new(script)).await
    }

    /// An honest one, behind TLS.
    pub(crate) async fn behind(tls: TlsAcceptor) -> Self {
        let script: Script = Box::new(|asked, honest| honest.answer(asked));
        Self::listen(Some(tls), script).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            script,
            honest: Honest::default(),
            asked: Vec::new(),
        }));
        let (counter, count) = watch::channel(0);
        let mut serving = JoinSet::new();
        let shared = Arc::new((Arc::clone(&state), counter, tls));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let (state, counter, tls) = &*shared;
                    match tls {
                        None => serve(connection, state, counter).await,
                        Some(tls) => match tls.accept(connection).await {
                            Ok(connection) => serve(connection, state, counter).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self {
            url,
            state,
            count,
            _serving: serving,
        }
    }

    pub(crate) fn address(&self) -> KbsAddress {
        KbsAddress::parse(&self.url, false, "ALLOW").unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Does something to what is honest about it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Honest)) {
        change(&mut self.state().honest);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// The only request of a step.
    pub(crate) fn asked_once(&self, step: Step) -> Asked {
        let asked = self.asked();
        let mut asked = asked.into_iter().filter(|asked| asked.step() == step);
        let only = asked.next().unwrap();
        assert!(asked.next().is_none(), "{step}");
        only
    }

    /// How often each step was asked for.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let asked = self.asked();
        [Step::Auth, Step::Attest, Step::Resource]
            .map(|step| asked.iter().filter(|asked| asked.step() == step).count())
    }

    /// Waits until a step has been asked for.
    pub(crate) async fn reached(&self, step: Step) {
        let mut count = self.count.clone();
        while !self.asked().iter().any(|asked| asked.step() == step) {
            count.changed().await.unwrap();
        }
    }
}

/// One request for each connection.
async fn serve(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    state: &Mutex<State>,
    counter: &watch::Sender<usize>,
) -> Option<()> {
    let mut connection = BufReader::new(connection);
    let asked = Asked::read(&mut connection).await?;
    let answer = {
        let mut state = state.lock().unwrap();
        let State {
            script,
            honest,
            asked: all,
        } = &mut *state;
        let answer = script(&asked, honest);
        all.push(asked);
        answer
    };
    counter.send_modify(|count| *count += 1);
    answer.send(&mut connection).await
}
