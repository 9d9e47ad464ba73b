//! What the stories are played on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use propeller_envelope::{KeyId, Keyring, WorkloadKey};
use propeller_model::{Digest, PropletId};
use propeller_oci::registry::Pace;
use propeller_oci::sha256;
use propeller_proxy::config::SCHEMA;
use propeller_proxy::{Config, Proxy};
use propeller_settings::{Settings, Sources};
use propeller_wire::images::{AskChunks, Chunk, FromProxy, ToProxy};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::memory::{Faults, Hub};
use propeller_wire::{Caller, Channel, Heard, Images};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// The least that a chunk may have.
pub(crate) const CHUNK: usize = 16 * 1024;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What nobody takes from a connection.
pub(crate) type Stuck = mpsc::Receiver<Outgoing>;

/// What a registry sends for a blob.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// These bytes, with their length in front.
    Right(Vec<u8>),
    /// The same, but not before it is told to.
    Held(Vec<u8>, Arc<Semaphore>),
    /// These bytes, without.
    Chunked(Vec<u8>),
    /// The one that was asked for.
    AnyOf(Vec<Vec<u8>>),
    /// Bytes without an end.
    Endless,
    /// A status, and nothing.
    Status(u16),
}

/// A registry of blobs.
#[derive(Clone)]
pub(crate) struct Registry {
    address: String,
    behaviour: Behaviour,
    /// How often a blob was asked for.
    pub(crate) blobs: Arc<AtomicUsize>,
    /// How often a manifest was.
    pub(crate) manifests: Arc<AtomicUsize>,
    /// Whether it answers nobody any more.
    pub(crate) down: Arc<AtomicBool>,
}

pub(crate) struct Bed {
    pub(crate) registry: Registry,
    folder: TempDir,
    hub: Hub,
    key: WorkloadKey,
    pace: Pace,
    proxy: Option<Proxy>,
    tasks: JoinSet<()>,
}

pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

impl Bed {
    pub(crate) async fn new(behaviour: Behaviour) -> Self {
        Self::at(Pace::default(), behaviour).await
    }

    /// One whose proxy wants registries to be that fast.
    pub(crate) async fn at(pace: Pace, behaviour: Behaviour) -> Self {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Registry {
            address: listener.local_addr().unwrap().to_string(),
            behaviour,
            blobs: Arc::default(),
            manifests: Arc::default(),
            down: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        let router = Router::new().route("/v2/{*rest}", get(answer));
        let router = router.with_state(registry.clone());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut bed = Self {
            registry,
            folder: tempfile::tempdir().unwrap(),
            hub: Hub::new(0, Faults::default()),
            key: WorkloadKey::generate().unwrap(),
            pace,
            proxy: None,
            tasks,
        };
        bed.start().await;
        bed
    }

    async fn start(&mut self) {
        let config = self.config(self.folder.path());
        let (link, carry) = self.hub.connect(Listen::AsProxy);
        self.proxy = Some(Proxy::start_on(config, link, carry).await.unwrap());
    }

    fn config(&self, folder: &std::path::Path) -> Config {
        let flags = [
            ("data_dir", folder.display().to_string()),
            ("workload_key", self.key.to_hex().to_string()),
            ("registries", format!("http://{}", self.registry.address)),
            ("chunk_size", "16KiB".to_owned()),
            ("cache", "360KiB".to_owned()),
            ("http_port", "0".to_owned()),
            ("allow_plaintext_proplets", "true".to_owned()),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value));
        let sources = Sources {
            flags: flags.into(),
            ..Sources::default()
        };
        let settings = Settings::load(SCHEMA, "proxy", &sources);
        let mut config = Config::from_settings(settings).unwrap();
        config.registry.pace = self.pace;
        config
    }

    /// Stops the proxy, and starts it on what it left.
    pub(crate) async fn restart(&mut self) {
        self.proxy.take().unwrap().stop().await;
        self.start().await;
    }

    /// What a proplet hears and says.
    pub(crate) fn link(&mut self, name: &str) -> Link {
        let (link, carry) = self.hub.connect(Listen::AsProplet(name.parse().unwrap()));
        self.tasks.spawn(carry);
        link
    }

    /// A proplet that has a session.
    pub(crate) async fn proplet(&mut self, name: &str) -> Proplet {
        let id: PropletId = name.parse().unwrap();
        let link = self.link(name);
        let keys = Keyring::new(self.key.clone());
        let mut proplet = Proplet {
            caller: Caller::new(id, keys),
            link,
            heard: VecDeque::new(),
        };
        let mut nonce = [0; 32];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        let frame = proplet.caller.announce(nonce);
        proplet.send(Channel::Ask, frame);
        let FromProxy::Welcome(welcome) = proplet.hear().await else {
            panic!("no welcome")
        };
        assert_eq!(welcome.chunk_len as usize, CHUNK);
        proplet
    }

    /// An ask for chunks of a blob.
    pub(crate) fn chunks(&self, ask: u64, blob: &[u8], indexes: &[u32]) -> ToProxy {
        ToProxy::Chunks(AskChunks {
            ask,
            reference: format!("http://{}/a/b:1", self.registry.address),
            digest: sha256(blob),
            len: blob.len() as u64,
            indexes: indexes.to_vec(),
            again: false,
        })
    }

    pub(crate) fn key_id(&self) -> KeyId {
        self.key.id()
    }

    /// A reference to a repository of the registry.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("http://{}/{rest}", self.registry.address)
    }

    /// A proxy on a connection that takes nothing any more; what it is told goes into the sender.
    pub(crate) async fn on_a_stuck_link(&self) -> (Proxy, mpsc::Sender<Incoming>, Stuck) {
        let (outgoing, stuck) = mpsc::channel(2);
        let (tell, incoming) = mpsc::channel(1024);
        let link = Link { outgoing, incoming };
        let folder = self.folder.path().join("stuck");
        let carry = Box::pin(std::future::pending());
        let proxy = Proxy::start_on(self.config(&folder), link, carry).await;
        (proxy.unwrap(), tell, stuck)
    }

    fn blobs(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("blobs")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// How many blobs the proxy keeps.
    pub(crate) fn files(&self) -> usize {
        self.blobs().len()
    }

    /// Flips a bit in every file that the proxy keeps.
    pub(crate) fn damage(&self) {
        for path in self.blobs() {
            let mut file = std::fs::read(&path).unwrap();
            let last = file.len() - 1;
            file[last] ^= 1;
            std::fs::write(path, file).unwrap();
        }
    }
}

async fn answer(State(registry): State<Registry>, Path(rest): Path<String>) -> Response {
    if rest.starts_with("slow/") {
        // Something that begins, and never goes on.
        let pieces = futures_util::stream::pending::<std::io::Result<Bytes>>();
        return Body::from_stream(pieces).into_response();
    }
    if rest.contains("/manifests/") {
        registry.manifests.fetch_add(1, SeqCst);
        // So that those who ask at one time do.
        tokio::time::sleep(Duration::from_millis(50)).await;
    } else {
        registry.blobs.fetch_add(1, SeqCst);
    }
    if rest.starts_with("drips/") {
        // A byte, again and again.
        let drops = futures_util::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"."))
        });
        return Body::from_stream(drops).into_response();
    }
    if registry.down.load(SeqCst) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let asked: Option<Digest> = rest.rsplit('/').next().and_then(|text| text.parse().ok());
    match registry.behaviour {
        Behaviour::Right(bytes) => bytes.into_response(),
        Behaviour::Held(bytes, go) => {
            let _gone = go.acquire().await.unwrap();
            bytes.into_response()
        }
        Behaviour::AnyOf(blobs) => {
            let blob = blobs.into_iter().find(|blob| Some(sha256(blob)) == asked);
            blob.map_or_else(
                || StatusCode::NOT_FOUND.into_response(),
                IntoResponse::into_response,
            )
        }
        Behaviour::Chunked(bytes) => {
            let pieces = [Ok::<_, std::io::Error>(Bytes::from(bytes))];
            Body::from_stream(futures_util::stream::iter(pieces)).into_response()
        }
        Behaviour::Endless => {
            let pieces =
                std::iter::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(content(CHUNK))));
            Body::from_stream(futures_util::stream::iter(pieces)).into_response()
        }
        Behaviour::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
    }
}

/// A proplet, as far as a proxy knows it.
pub(crate) struct Proplet {
    caller: Caller<Images>,
    link: Link,
    heard: VecDeque<FromProxy>,
}

impl Proplet {
    fn send(&self, channel: Channel, frame: Vec<u8>) {
        let frame = Outgoing {
            channel,
            bytes: frame.into(),
        };
        self.link.outgoing.try_send(frame).unwrap();
    }

    pub(crate) fn ask(&mut self, message: ToProxy) {
        let (channel, frame) = self.caller.seal(&message).unwrap();
        self.send(channel, frame);
    }

    /// The next thing that the proxy says.
    pub(crate) async fn hear(&mut self) -> FromProxy {
        while self.heard.is_empty() {
            let incoming = tokio::time::timeout(PATIENCE, self.link.incoming.recv());
            let incoming = incoming.await.expect("the proxy answers").unwrap();
            self.take(incoming);
        }
        self.heard.pop_front().unwrap()
    }

    fn take(&mut self, incoming: Incoming) {
        let Incoming::Frame { channel, bytes } = incoming else {
            return;
        };
        match self.caller.receive(&channel, &bytes) {
            Heard::Offered => {
                let (channel, frame) = self.caller.seal_hello(&ToProxy::Hello).unwrap();
                self.send(channel, frame);
            }
            Heard::Said(message) => self.heard.push_back(message),
            Heard::Solicited => {}
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn chunk(&mut self) -> Chunk {
        loop {
            match self.hear().await {
                FromProxy::Chunk(chunk) => return chunk,
                FromProxy::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether nothing has come that was not heard.
    pub(crate) fn nothing_more(&mut self) -> bool {
        while let Ok(incoming) = self.link.incoming.try_recv() {
            self.take(incoming);
        }
        self.heard.is_empty()
    }
}
