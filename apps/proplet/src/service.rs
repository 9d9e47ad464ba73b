//! A proplet, put together: runtime, link and loop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use propeller_blobs::Blobs;
use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_sandbox::Runtime;
use propeller_settings::{DirectoryLock, LockError, store_variables};
use propeller_wire::link::{Carry, Link, Listen};
use propeller_wire::mqtt::{self, ConnectError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::info;

use crate::attested::Attesting;
use crate::config::Config;
use crate::courier::Courier;
use crate::daemons::Daemons;
use crate::images::Images;
use crate::isolation;
use crate::outbox::OutboxError;
use crate::plain::Plain;
use crate::plain_fetch::PlainFetches;
use crate::stored::Store;
use crate::vitals::about;
use crate::work::Bench;
use crate::worker::{Parts, Worker};

/// How long a proplet may take to say goodbye.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// Bytes that are sealed at a time for the disk.
const PIECE_LEN: u32 = 1 << 20;
/// What pulls may want of a proxy and it has not been asked for; they wait.
const ORDERS_MAX: usize = 16;

/// Why a proplet does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine.
    #[error("cannot start the WebAssembly engine")]
    Sandbox(#[from] propeller_sandbox::StartError),
    /// Processes for guests.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    #[error("cannot isolate guests by process")]
    Isolation(#[from] propeller_sandbox::process::StartError),
    /// Another runtime.
    #[cfg(all(target_os = "linux", feature = "wasmtime"))]
    #[error("cannot use the external runtime")]
    External(#[from] propeller_sandbox::external::StartError),
    /// Processes for guests, where there are none.
    #[cfg(not(all(target_os = "linux", feature = "wasmtime")))]
    #[error(
        "process isolation and external runtimes need Linux and a proplet that was built with wasmtime"
    )]
    NoProcesses,
    /// This process cannot be closed to others.
    #[error("cannot close this process to guests' processes: {0}")]
    Harden(String),
    /// The broker's options.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What images are fetched with.
    #[error("cannot set up the connection to registries")]
    Registry(#[from] propeller_oci::RegistryError),
    /// There has to be a TEE, and there is none.
    #[cfg(feature = "tee")]
    #[error("PROPLET_TEE_ENABLED is true, and this is no trusted execution environment:\n{0}")]
    NoTee(String),
    /// An agent attests that is in none, whatever it says.
    #[cfg(feature = "tee")]
    #[error(
        "PROPLET_TEE_ENABLED is true, and the agent that attests (PROPLET_ATTESTER) makes evidence of kind `sample`, which is no trusted execution environment: unset PROPLET_TEE_ENABLED for tests"
    )]
    SampleIsNoTee,
    /// Nothing runs encrypted tasks.
    #[cfg(feature = "tee")]
    #[error(
        "encrypted tasks run in a locked process, which needs the engine wasmtime: set PROPLET_ISOLATION=in-process to have them run without one; no program of PROPLET_EXTERNAL_WASM_RUNTIME runs them, since it may write what it is given"
    )]
    NoProcessForEncrypted,
    /// Evidence of the TEE cannot be made.
    #[cfg(feature = "tee")]
    #[error("this proplet cannot attest")]
    Attest(#[from] propeller_attest::AttestError),
    /// The attestation-agent does not say what it attests.
    #[cfg(feature = "tee")]
    #[error("the attestation-agent cannot be used (PROPLET_ATTESTATION_AGENT): {0}")]
    Agent(String),
    /// The client of key brokers.
    #[cfg(feature = "tee")]
    #[error("key brokers cannot be asked")]
    Kbs(#[from] propeller_attest::rcar::KbsError),
    /// What says how the store for large inputs and outputs is reached.
    #[error(transparent)]
    Store(#[from] propeller_depot::OpenError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// Another proplet has the data directory.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The data directory.
    #[error("cannot use the data directory {0}")]
    Data(String, #[source] std::io::Error),
}

/// A running proplet.
#[derive(Debug)]
pub struct Proplet {
    id: PropletId,
    stop: oneshot::Sender<()>,
    /// Nothing in plain mode.
    keys: Option<watch::Sender<Keyring>>,
    tasks: JoinSet<()>,
    _lock: DirectoryLock,
}

impl Proplet {
    /// Starts a proplet. It connects to the broker and its manager in its own time.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let runtime = isolation::runtime(&config)?;
        let lock = DirectoryLock::take(&config.data_dir, "proplet")?;
        let id = identity(&config)?;
        let (link, carry) = mqtt::connect(&config.mqtt, Listen::AsProplet(id.clone()))?;
        Self::begin(config, id, runtime, link, carry, lock)
    }

    /// Starts a proplet with a runtime and on a link of the caller's choice; `carry` is what the
    /// link needs to be polled.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_on(
        config: Config,
        id: PropletId,
        runtime: Arc<dyn Runtime>,
        link: Link,
        carry: Carry,
    ) -> Result<Self, StartError> {
        let lock = DirectoryLock::take(&config.data_dir, "proplet")?;
        Self::begin(config, id, runtime, link, carry, lock)
    }

    fn begin(
        config: Config,
        id: PropletId,
        runtime: Arc<dyn Runtime>,
        link: Link,
        carry: Carry,
        lock: DirectoryLock,
    ) -> Result<Self, StartError> {
        let mut tasks = JoinSet::new();
        tasks.spawn(carry);
        let (stop, stopped) = oneshot::channel();
        let engine = isolation::name(&config);
        info!(proplet = %id, broker = %config.mqtt.address, %engine, "proplet starts");
        let keys = match config.keys.clone() {
            Some(keys) => {
                let (keys, in_use) = watch::channel(keys);
                let worker = sealed(&config, id.clone(), in_use, runtime, link)?;
                tasks.spawn(worker.run(stopped));
                Some(keys)
            }
            None => {
                tracing::warn!("plain mode: nothing that this proplet says or hears is encrypted");
                let plain = plain(&config, id.clone(), runtime, link);
                tasks.spawn(plain.run(stopped));
                None
            }
        };
        Ok(Self {
            id,
            stop,
            keys,
            tasks,
            _lock: lock,
        })
    }

    /// The proplet's id.
    #[must_use]
    pub fn id(&self) -> &PropletId {
        &self.id
    }

    /// Takes other workload keys into use; in plain mode there are none.
    pub fn rekey(&self, keys: Keyring) {
        if let Some(in_use) = &self.keys {
            in_use.send_replace(keys);
        }
    }

    /// Stops in bounded time: guests are stopped, the manager is told, reports are written down.
    pub async fn stop(self) {
        let Self {
            stop, mut tasks, ..
        } = self;
        drop(stop);
        let left = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_MAX, left).await.is_err() {
            tasks.shutdown().await;
        }
        info!("proplet stopped");
    }

    /// Ends at once, as if the process had been killed. For tests of what survives that.
    pub async fn kill(self) {
        let mut tasks = self.tasks;
        tasks.shutdown().await;
    }
}

fn sealed(
    config: &Config,
    id: PropletId,
    keys: watch::Receiver<Keyring>,
    runtime: Arc<dyn Runtime>,
    link: Link,
) -> Result<Worker, StartError> {
    let ring = keys.borrow().clone();
    let (order, orders) = mpsc::channel(ORDERS_MAX);
    let (there, is_there) = watch::channel(false);
    let blobs = blobs(config, &id, ring.clone())?;
    let images = Images::new(config.images.clone(), order, is_there, blobs.clone())?;
    let images = Arc::new(images);
    let attesting = Attesting::start(config, &images)?.map(Arc::new);
    let parts = Parts {
        courier: Courier::new(id.clone(), ring.clone(), there),
        orders,
        bench: Bench {
            proplet: id,
            keys: ring,
            runtime,
            ceilings: config.ceilings,
            policy: Arc::clone(&config.policy),
            daemons: Daemons::new(config.ceilings.daemons),
            images,
            attesting,
            store: store(config)?,
        },
        keys,
        about: about(config),
        blobs,
        slots: config.slots,
        heartbeat: config.heartbeat,
        link,
    };
    Ok(Worker::new(parts, &config.data_dir.join("outbox"))?)
}

fn store(config: &Config) -> Result<Option<Arc<Store>>, StartError> {
    let location = config.object_store.clone();
    let store = location.map(|at| Store::new(at, config.inline_max, store_variables()));
    Ok(store.transpose()?.map(Arc::new))
}

/// What is kept on disk of images, if anything is to be. Envelopes are for this proplet by its name.
fn blobs(config: &Config, id: &PropletId, keys: Keyring) -> Result<Option<Arc<Blobs>>, StartError> {
    let bytes_max = config.images.disk_bytes_max;
    if bytes_max == 0 {
        return Ok(None);
    }
    let options = propeller_blobs::Options {
        folder: match &config.layer_store {
            // A folder of its own: whoever names one may have more in it, such as upstream's layers,
            // or give it to several proplets.
            Some(folder) => folder.join(format!("proplet-{id}")),
            None => config.data_dir.join("images"),
        },
        owner: format!("proplet {id}"),
        bytes_max,
        piece_len: PIECE_LEN,
    };
    let opened = Blobs::open(options, keys);
    let opened =
        opened.map_err(|cause| StartError::Data(config.data_dir.display().to_string(), cause))?;
    Ok(Some(opened))
}

fn plain(config: &Config, id: PropletId, runtime: Arc<dyn Runtime>, link: Link) -> Plain {
    Plain {
        id,
        runtime,
        ceilings: config.ceilings,
        daemons: Daemons::new(config.ceilings.daemons),
        about: about(config),
        slots: config.slots,
        heartbeat: config.heartbeat,
        link,
        running: std::collections::HashMap::new(),
        tasks: JoinSet::new(),
        fetches: PlainFetches::new(config.images.module_bytes_max),
    }
}

/// The configured id, or the one that an earlier start made and kept.
fn identity(config: &Config) -> Result<PropletId, StartError> {
    if let Some(id) = &config.id {
        return Ok(id.clone());
    }
    let path = config.data_dir.join("id");
    kept_identity(&path)
        .map_err(|cause| StartError::Data(config.data_dir.display().to_string(), cause))
}

fn kept_identity(path: &Path) -> std::io::Result<PropletId> {
    if let Ok(text) = std::fs::read_to_string(path)
        && let Ok(id) = text.trim().parse()
    {
        return Ok(id);
    }
    let name = format!("proplet-{}", uuid::Uuid::now_v7().simple());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Whole or not at all: half a name would be another proplet's.
    let aside = path.with_extension("part");
    std::fs::write(&aside, &name)?;
    std::fs::rename(&aside, path)?;
    Ok(name.parse().expect("letters, digits and a dash"))
}
