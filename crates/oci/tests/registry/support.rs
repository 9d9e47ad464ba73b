//! A real registry, a scripted one, and what tests push.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use propeller_oci::crypt::PrivateKey;
use propeller_oci::image::{ImageError, PullOptions, resolve};
use propeller_oci::signatures::{self, Admitted};
use propeller_oci::{Credentials, Reference, Registry, RegistryOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// `(module)`.
pub(crate) const MODULE: &[u8] = b"\0asm\x01\0\0\0";

pub(crate) const MODULE_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn options(keys: Vec<PrivateKey>) -> PullOptions {
    PullOptions {
        layers_at_once: 4,
        module_bytes_max: MODULE_BYTES_MAX,
        unpacked_bytes_max: 4 << 20,
        entries_max: 1000,
        keys: Arc::<[PrivateKey]>::from(keys).into(),
    }
}

/// Says that a test did not run, and why.
pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        let mut file = file.expect("the list of skips can be written");
        writeln!(file, "SKIPPED {name}: {reason}").expect("there is room");
    }
}

/// A program in `PATH` or where Debian puts servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("no {name}: run the tests with `cargo xtask test`"));
    }
    found
}

pub(crate) fn client(options: RegistryOptions) -> Registry {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    Registry::new(options).expect("a client can be made")
}

pub(crate) fn anonymous() -> Registry {
    client(RegistryOptions::default())
}

/// Debian's `docker-registry`, on a port of its own, until it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Nothing, if there is none on this machine. `more` is added to its configuration.
    pub(crate) fn start(more: impl FnOnce(&TempDir) -> String) -> Option<Self> {
        let program = program("docker-registry")?;
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\n{}",
            folder.path().display(),
            more(&folder)
        );
        std::fs::write(&config, text).expect("there is room");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let stderr = process.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find(['"', ','])?;
            Some(rest[..end].to_owned())
        });
        let address = address.expect("it says where it listens");
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            process,
            address,
            folder,
        })
    }

    /// Without TLS, for everybody.
    pub(crate) fn plain() -> Option<Self> {
        Self::start(|_| "http: {addr: \"127.0.0.1:0\"}\n".to_owned())
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        let text = format!("http://{}/{rest}", self.address);
        text.parse().expect("it is a reference")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What a scripted registry is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

/// What it answers.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// What comes after the body.
    pub(crate) then: Then,
}

/// How an answer goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    End,
    /// The body again, for ever.
    Again,
    /// Nothing, for as long as anybody waits.
    Nothing,
}

impl Answer {
    /// A status, headers, and a body whose length is told.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self {
            head,
            body,
            then: Then::End,
        }
    }

    /// A body without a length and without an end.
    pub(crate) fn endless(headers: &[(&str, &str)]) -> Self {
        let mut answer = Self::new(200, headers, vec![b' '; 64 << 10]);
        answer.head = answer
            .head
            .replacen("content-length", "x-not-the-length", 1);
        Self {
            then: Then::Again,
            ..answer
        }
    }

    /// Half of a body, whose length is told.
    pub(crate) fn broken(body: &[u8]) -> Self {
        let mut answer = Self::new(200, &[], body);
        answer.body.truncate(body.len() / 2);
        answer
    }

    /// A body whose end never comes.
    pub(crate) fn stalling(headers: &[(&str, &str)]) -> Self {
        Self {
            then: Then::Nothing,
            ..Self::endless(headers)
        }
    }
}

/// A server that answers by a script and remembers what it was asked.
pub(crate) struct Scripted {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Ends with it.
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener
            .local_addr()
            .expect("it has an address")
            .to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&asked));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                connections.spawn(async move { serve(connection, &*script, &log).await });
            }
        });
        Self {
            address,
            asked,
            _serving: serving,
        }
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        let text = format!("http://{}/{rest}", self.address);
        text.parse().expect("it is a reference")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

/// One request for each connection.
async fn serve(
    mut connection: TcpStream,
    script: &(impl Fn(&Asked) -> Answer + Sync),
    log: &Mutex<Vec<Asked>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.trim().to_owned())
    });
    let asked = Asked {
        path,
        authorization,
    };
    let answer = script(&asked);
    log.lock().expect("nobody panics with it").push(asked);
    let head = format!("{}connection: close\r\n\r\n", answer.head);
    let mut sent = connection.write_all(head.as_bytes()).await;
    sent = match sent {
        Ok(()) => connection.write_all(&answer.body).await,
        failed => failed,
    };
    while answer.then == Then::Again && sent.is_ok() {
        sent = connection.write_all(&answer.body).await;
    }
    if answer.then == Then::Nothing {
        connection.read_u8().await.ok();
    }
    connection.shutdown().await.ok();
}

pub(crate) fn credentials(registry: &str, username: &str, password: &str) -> Credentials {
    let pair = data_encoding::BASE64.encode(format!("{username}:{password}").as_bytes());
    let file = format!(r#"{{"auths": {{"{registry}": {{"auth": "{pair}"}}}}}}"#);
    Credentials::from_docker_config(file.as_bytes()).expect("it is one")
}

/// What a reference leads to, whoever has signed it.
pub(crate) async fn anybodys(
    registry: &Registry,
    reference: &Reference,
) -> Result<Admitted, ImageError> {
    let resolved = resolve(registry, reference).await?;
    let admitted = signatures::admit(registry, resolved, &[]).await;
    Ok(admitted.expect("nobody has to sign it"))
}
