//! A proxy, put together: registry, blobs, link and loop.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use propeller_blobs::{Blobs, Options as BlobsOptions};
use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_oci::{Registry, RegistryError};
use propeller_settings::{DirectoryLock, LockError};
use propeller_wire::Desk;
use propeller_wire::link::{Carry, Link, Listen};
use propeller_wire::mqtt::{self, ConnectError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::asks::Asks;
use crate::config::Config;
use crate::health;
use crate::library::Library;
use crate::plain::Plain;
use crate::serve::Serving;

/// How long a proxy may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What images are fetched with.
    #[error("cannot set up the connection to registries")]
    Registry(#[from] RegistryError),
    /// The broker's options.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Another proxy has the data directory.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The data directory.
    #[error("cannot use the data directory {0}")]
    Data(String, #[source] std::io::Error),
    /// The address of `/health`.
    #[error("cannot listen on {0} for /health (PROXY_HTTP_PORT)")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    id: PropletId,
    stop: oneshot::Sender<()>,
    keys: watch::Sender<Keyring>,
    library: Arc<Library>,
    health: Option<SocketAddr>,
    tasks: JoinSet<()>,
    _lock: DirectoryLock,
}

impl Proxy {
    /// Starts a proxy. It connects to the broker in its own time.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (link, carry) = mqtt::connect(&config.mqtt, Listen::AsProxy)?;
        Self::start_on(config, link, carry).await
    }

    /// Starts a proxy on a link of the caller's choice; `carry` is what the link needs to be polled.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_on(config: Config, link: Link, carry: Carry) -> Result<Self, StartError> {
        let lock = DirectoryLock::take(&config.data_dir, "proxy")?;
        let registry = Registry::new(config.registry)?;
        let name = format!("proxy-{}", uuid::Uuid::now_v7().simple());
        let id: PropletId = name.parse().expect("letters, digits and a dash");
        let options = BlobsOptions {
            folder: config.data_dir.join("blobs"),
            owner: "proxy".to_owned(),
            bytes_max: config.cache_bytes_max,
            piece_len: config.chunk_len,
        };
        let blobs = Blobs::open(options, config.keys.clone())
            .map_err(|cause| StartError::Data(config.data_dir.display().to_string(), cause))?;
        let chunk_len = config.chunk_len;
        let library = Library::new(registry, config.allowed, blobs, config.pulls, chunk_len);
        let (asks, answers) = Asks::new(Arc::clone(&library));
        let plain = config.allow_plaintext.then(|| {
            warn!("plain mode: what upstream's proplets ask for is sent without encryption");
            let (answers, memory) = asks.outlet();
            Plain::new(Arc::clone(&library), chunk_len, answers, memory)
        });
        let (keys, in_use) = watch::channel(config.keys.clone());
        let mut tasks = JoinSet::new();
        let health = match config.health {
            None => None,
            Some(address) => {
                let listening = health::listen(address).await;
                let (address, answer) =
                    listening.map_err(|cause| StartError::Listen(address, cause))?;
                tasks.spawn(answer);
                Some(address)
            }
        };
        tasks.spawn(carry);
        let (stop, stopped) = oneshot::channel();
        let serving = Serving {
            desk: Desk::new(id.clone(), config.keys),
            link,
            asks,
            answers,
            plain,
            chunk_len,
            keys: in_use,
            waiting: VecDeque::new(),
            heard: HashMap::new(),
            hearings: 0,
        };
        info!(proxy = %id, broker = %config.mqtt.address, "proxy starts");
        tasks.spawn(serving.run(stopped));
        Ok(Self {
            id,
            stop,
            keys,
            library,
            health,
            tasks,
            _lock: lock,
        })
    }

    /// What this proxy is called, until it is started again.
    #[must_use]
    pub fn id(&self) -> &PropletId {
        &self.id
    }

    /// Where `/health` is.
    #[must_use]
    pub fn health(&self) -> Option<SocketAddr> {
        self.health
    }

    /// Takes other workload keys into use.
    pub fn rekey(&self, keys: Keyring) {
        self.library.rekey(keys.clone());
        self.keys.send_replace(keys);
    }

    /// Stops in bounded time.
    pub async fn stop(self) {
        let Self {
            stop,
            mut tasks,
            library,
            _lock: lock,
            ..
        } = self;
        drop(stop);
        // The loop, and then the connection that it had; not `/health`, which nothing ends.
        let left = async {
            for _ in 0..2 {
                tasks.join_next().await;
            }
        };
        let _late = tokio::time::timeout(LEAVE_MAX, left).await;
        tasks.shutdown().await;
        library.stop().await;
        drop(lock);
        info!("proxy stopped");
    }
}
