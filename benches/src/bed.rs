//! What is measured: broker, manager and proplets, with a disk directory of their own.

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64;
use propeller::stack::{Part, Scratch};
use propeller_api::TaskRequest;
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_sdk::{Client, ClientOptions, Page, PropletStatus};

use crate::brokers::{Kind, Running};
use crate::error::BenchError;
use crate::http::Connection;

/// The proplet in this process.
pub(crate) const PROPLET: &str = "bench";
/// The one without encryption, where there is one.
pub(crate) const PLAIN: &str = "plain";
/// Everything is on loopback: a request that takes longer will not be answered.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Everything stops within a few seconds, or it hangs.
const STOP_MAX: Duration = Duration::from_secs(15);

/// Broker, manager and at most one proplet of each kind.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) client: Client,
    broker: Running,
    manager: Manager,
    proplets: Vec<Proplet>,
    key: WorkloadKey,
    scratch: Scratch,
}

impl Bed {
    /// Starts everything, and waits until the proplet is there.
    pub(crate) async fn start(kind: Kind) -> Result<Self, BenchError> {
        let mut bed = Self::without_proplet(kind).await?;
        let part = bed.part("proplet");
        bed.proplets.push(part.proplet(PROPLET)?);
        bed.wait_for_proplets(1).await?;
        Ok(bed)
    }

    /// As [`Self::start`], with a proplet in plain compatibility mode beside the other.
    pub(crate) async fn with_plain(kind: Kind) -> Result<Self, BenchError> {
        let mut bed = Self::manager(kind, "true").await?;
        let sealed = bed.part("proplet").proplet(PROPLET)?;
        bed.proplets.push(sealed);
        let plain = bed.part("plain").with("plaintext", "true");
        bed.proplets.push(plain.proplet(PLAIN)?);
        bed.wait_for_proplets(2).await?;
        Ok(bed)
    }

    /// Starts the broker and the manager alone.
    pub(crate) async fn without_proplet(kind: Kind) -> Result<Self, BenchError> {
        Self::manager(kind, "false").await
    }

    /// As [`Self::without_proplet`], for proplets in plain compatibility mode as well.
    pub(crate) async fn for_plain(kind: Kind) -> Result<Self, BenchError> {
        Self::manager(kind, "true").await
    }

    async fn manager(kind: Kind, allow_plain: &str) -> Result<Self, BenchError> {
        let scratch = Scratch::new().map_err(BenchError::io("make a temporary directory"))?;
        let key = WorkloadKey::generate()?;
        let broker = Running::start(kind, &scratch).await?;
        let manager = part(broker.address(), &scratch, "manager", &key)
            .with("allow_plaintext_proplets", allow_plain);
        let manager = manager.manager().await?;
        let client = Client::new(ClientOptions {
            base_url: manager.url().to_owned(),
            token: None,
            ca_cert: None,
            insecure_skip_verify: false,
            timeout: REQUEST_MAX,
        })?;
        Ok(Self {
            client,
            broker,
            manager,
            proplets: Vec::new(),
            key,
            scratch,
        })
    }

    /// Waits until so many proplets are there. The caller decides how long.
    pub(crate) async fn wait_for_proplets(&self, count: usize) -> Result<(), BenchError> {
        const LOOK: Duration = Duration::from_millis(2);
        const FIRST: Page = Page {
            offset: 0,
            limit: 10,
        };
        loop {
            let active = Some(PropletStatus::Active);
            let page = self.client.proplet_list(FIRST, active).await?;
            if page.proplets.len() >= count {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Gives the manager a module, in a task that nobody starts. Returns its digest.
    pub(crate) async fn upload(&self, name: &str, wasm: &[u8]) -> Result<String, BenchError> {
        let request = TaskRequest {
            name: Some(name.to_owned()),
            file: Some(BASE64.encode(wasm)),
            ..TaskRequest::default()
        };
        let task = self.client.task_create(&request, false).await?;
        Ok(task.into_value().module)
    }

    /// A new connection to the manager.
    pub(crate) async fn connect(&self) -> Result<Connection, BenchError> {
        Connection::open(self.manager.address())
            .await
            .map_err(BenchError::io("connect to the manager"))
    }

    pub(crate) fn broker_address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// The broker's process, if it has one of its own.
    pub(crate) fn broker_pid(&self) -> u32 {
        self.broker.pid().unwrap_or_else(std::process::id)
    }

    pub(crate) fn key(&self) -> &WorkloadKey {
        &self.key
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Stops everything; what does not stop in time is left to the end of this process.
    pub(crate) async fn stop(self) {
        let Self {
            client: _,
            broker,
            manager,
            proplets,
            key: _,
            scratch: _,
        } = self;
        let stopped = async {
            for proplet in proplets {
                proplet.stop().await;
            }
            manager.stop().await;
            broker.stop().await;
        };
        if tokio::time::timeout(STOP_MAX, stopped).await.is_err() {
            eprintln!("something did not stop within {STOP_MAX:?}");
        }
    }

    fn part(&self, name: &str) -> Part {
        part(self.broker.address(), &self.scratch, name, &self.key)
    }
}

fn part(broker: SocketAddr, scratch: &Scratch, name: &str, key: &WorkloadKey) -> Part {
    Part::new(broker, &scratch.path(name))
        .key(key)
        .with("log_level", "off")
}
