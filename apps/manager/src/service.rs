//! A manager, put together: store, dispatcher, broker link and REST API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use propeller_envelope::Keyring;
use propeller_oci::{Registry, RegistryError};
use propeller_wire::link::{Carry, Link, Listen};
use propeller_wire::message::StoreMark;
use propeller_wire::mqtt::{self, ConnectError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::info;

use crate::config::{Config, instance};
use crate::dispatch::{Command, Dispatcher, Objects, TICK, WAKES_MAX, Wake};
use crate::http::{Api, Bound, Images, Keep, Parts, ServeError, Serving};
use crate::metrics::Metrics;
use crate::objects::{
    self, Discard, Discards, ObjectsError, Owners, Reaching, Standing, remove_discarded,
    sweep_hourly,
};
use crate::store::object_store::Remembered;
use crate::store::{Store, StoreError, remove_orphans};
use crate::verifier::Verifier;

/// Why a manager does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory.
    #[error("cannot open the data directory")]
    Store(#[from] StoreError),
    /// The REST API.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The broker's options.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// What images are looked up with.
    #[error("cannot set up the connection to registries")]
    Registry(#[from] RegistryError),
    /// The dispatcher's thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// A running manager.
#[derive(Debug)]
pub struct Manager {
    address: SocketAddr,
    url: String,
    serving: Serving,
    tasks: JoinSet<()>,
    dispatcher: JoinHandle<()>,
    wakes: mpsc::Sender<Wake>,
    keys: watch::Sender<Keyring>,
}

impl Manager {
    /// Starts a manager. It answers requests when this returns, and connects to the broker in its
    /// own time.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (link, carry) = mqtt::connect(&config.mqtt, Listen::AsManager)?;
        Self::start_on(config, link, carry).await
    }

    /// Starts a manager on a link that somebody else has opened; `carry` is what the link needs to
    /// be polled.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_on(config: Config, link: Link, carry: Carry) -> Result<Self, StartError> {
        let address = SocketAddr::new(config.http.host, config.http.port);
        let bound = Bound::bind(address, config.http.tls.as_ref()).await?;
        let mut store = Store::open(&config.data_dir)?;
        let reader = store.reader();
        reader.with(|db| remove_orphans(db, reader.blobs()))?;
        let instance = instance();
        let metrics = Arc::new(Metrics::default());
        let broker_up = Arc::new(AtomicBool::new(false));
        let (wakes, queue) = mpsc::channel(WAKES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(carry);
        tasks.spawn(forward(link.incoming, wakes.clone()));
        tasks.spawn(tick(wakes.clone()));
        let (keys, in_use) = watch::channel(config.keys.clone());
        let taken = take_store(&config, &mut store, &in_use, &mut tasks, &wakes).await?;
        let (standing, objects) = taken.unzip();
        tasks.spawn(follow(in_use.clone(), wakes.clone()));
        let judge = Arc::clone(&config.rules.judge);
        let (verifier, _ends_with_the_dispatcher) =
            Verifier::start(judge, wakes.downgrade()).map_err(StartError::Thread)?;
        let dispatcher = Dispatcher::new(
            store,
            instance.clone(),
            config.keys.clone(),
            config.rules.clone(),
            queue,
            link.outgoing,
            Arc::clone(&broker_up),
            Arc::clone(&metrics),
            verifier,
            objects.clone(),
        )?;
        let dispatcher = std::thread::Builder::new()
            .name("dispatcher".to_owned())
            .spawn(move || dispatcher.run())
            .map_err(StartError::Thread)?;
        let api = Api::new(Parts {
            wakes: wakes.clone(),
            reader,
            keys: in_use,
            tenant: config.rules.tenant,
            instance: instance.to_string(),
            token: config.http.token,
            loopback: config.http.host.is_loopback(),
            upload_max: config.http.upload_max,
            images: Images {
                registry: Registry::new(config.images.registry)?,
                trusted: config.images.trusted,
            },
            objects: Keep {
                store: standing.zip(objects.map(|objects| objects.discards)),
                inline_max: config.objects.inline_max,
                object_max: config.objects.object_max,
            },
            broker_up,
            metrics,
        });
        let (address, url) = (bound.address(), bound.url());
        info!(url = %url, data_dir = %config.data_dir.display(), "manager ready");
        Ok(Self {
            address,
            url,
            serving: bound.serve(api.router()),
            tasks,
            dispatcher,
            wakes,
            keys,
        })
    }

    /// Where the REST API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the REST API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns if the dispatcher ends before it is told to. Nothing is accepted or settled any more
    /// then, and only a new start helps; its log says why.
    pub async fn failed(&self) {
        self.wakes.closed().await;
    }

    /// Takes other workload keys into use. What is sealed with a key that is gone cannot be read any
    /// more, until it is back.
    pub fn rekey(&self, keys: Keyring) {
        self.keys.send_replace(keys);
    }

    /// Stops in bounded time. Attempts go on: the next start gives each a full lease.
    pub async fn stop(self) {
        self.serving.stop().await;
        if self.wakes.send(Wake::Stop).await.is_err() {
            tracing::error!("the dispatcher has ended before its time");
        }
        let mut tasks = self.tasks;
        tasks.shutdown().await;
        let dispatcher = self.dispatcher;
        // It ends when nobody can wake it any more, after its last commit.
        let ended = tokio::task::spawn_blocking(move || dispatcher.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the dispatcher did not end well");
        }
        info!("manager stopped");
    }
}

/// Reaches the object store, if there is one, and has it kept tidy.
async fn take_store(
    config: &Config,
    store: &mut Store,
    keys: &watch::Receiver<Keyring>,
    tasks: &mut JoinSet<()>,
    wakes: &mpsc::Sender<Wake>,
) -> Result<Option<(watch::Receiver<Standing>, Objects)>, ObjectsError> {
    let Some(location) = &config.objects.store else {
        return Ok(None);
    };
    let ours = objects::remember(store)?;
    let variables = config.objects.variables.0.clone();
    let mut reaching = Reaching::new(location.clone(), variables, ours);
    let standing = reaching.at_start().await?;
    if let Standing::Reached(_) = &standing {
        objects::settle(store, ours)?;
        info!(store = %location, "object store ready");
    }
    let (standing, seen) = watch::channel(standing);
    let (discards, queue) = Discards::new();
    let keeper = Keeper {
        reaching,
        ours,
        queue,
        owners: Owners::new(store.reader(), keys.clone(), config.rules.tenant.clone()),
        wakes: wakes.clone(),
    };
    tasks.spawn(keeper.keep(standing));
    let mark = StoreMark(ours.mark);
    Ok(Some((seen, Objects { mark, discards })))
}

/// Looks after the object store.
struct Keeper {
    reaching: Reaching,
    ours: Remembered,
    queue: mpsc::Receiver<Discard>,
    owners: Owners,
    wakes: mpsc::Sender<Wake>,
}

impl Keeper {
    /// Reaches the store if that has not been done, and removes from it what is to go.
    async fn keep(self, standing: watch::Sender<Standing>) {
        let at_once = match &*standing.borrow() {
            Standing::Reached(depot) => Some(depot.clone()),
            Standing::Away(_) => None,
        };
        let depot = match at_once {
            Some(depot) => depot,
            None => {
                let depot = self.reaching.reach(&standing).await;
                settle(&self.wakes, self.ours).await;
                info!(store = %depot.location(), "object store ready");
                standing.send_replace(Standing::Reached(depot.clone()));
                depot
            }
        };
        let removal = remove_discarded(depot.clone(), self.queue);
        tokio::join!(removal, sweep_hourly(depot, self.owners));
    }
}

/// Has the dispatcher remember that the store is ours: before that, nothing may lie there.
async fn settle(wakes: &mpsc::Sender<Wake>, ours: Remembered) {
    /// The manager's disk may be full for a while.
    const AGAIN: Duration = Duration::from_secs(10);
    loop {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Command::SettleStore(ours));
        if wakes.send(Wake::Command(command, reply)).await.is_err() {
            return;
        }
        if let Ok(Ok(_)) = answer.await {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn forward(
    mut incoming: mpsc::Receiver<propeller_wire::link::Incoming>,
    wakes: mpsc::Sender<Wake>,
) {
    while let Some(frame) = incoming.recv().await {
        if wakes.send(Wake::Link(frame)).await.is_err() {
            return;
        }
    }
}

/// Tells the dispatcher when the keys change.
async fn follow(mut keys: watch::Receiver<Keyring>, wakes: mpsc::Sender<Wake>) {
    while keys.changed().await.is_ok() {
        let keys = keys.borrow_and_update().clone();
        if wakes.send(Wake::Keys(keys)).await.is_err() {
            return;
        }
    }
}

async fn tick(wakes: mpsc::Sender<Wake>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if wakes.send(Wake::Tick).await.is_err() {
            return;
        }
    }
}
