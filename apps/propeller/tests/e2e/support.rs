//! A small world for each test: broker, manager, proplets, all on free ports and in a folder of
//! its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use propeller::stack::{Part, Scratch};
use propeller_api::{Task, TaskRequest, TaskState};
use propeller_broker::Broker;
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_sdk::{Client, ClientOptions, Page};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn setup() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
}

pub(crate) fn guest(name: &str) -> Vec<u8> {
    std::fs::read(guest_path(name)).unwrap()
}

pub(crate) fn guest_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/guests")
        .join(name)
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A guest that never ends.
pub(crate) fn endless() -> Vec<u8> {
    wat(r#"(module (func (export "main") (loop (br 0))))"#)
}

/// Notes a test that cannot run here, for the last line of `cargo xtask test`.
pub(crate) fn skipped(reason: &str) {
    use std::io::Write;
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

pub(crate) fn client(url: &str) -> Client {
    Client::new(ClientOptions {
        base_url: url.to_owned(),
        token: None,
        ca_cert: None,
        insecure_skip_verify: false,
        timeout: PATIENCE,
    })
    .unwrap()
}

/// Broker and key that a test builds its world on.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) key: WorkloadKey,
    pub(crate) broker: Option<Broker>,
    pub(crate) address: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        setup();
        let broker = propeller::stack::broker().await.unwrap();
        Self {
            scratch: Scratch::new().unwrap(),
            key: WorkloadKey::generate().unwrap(),
            address: broker.address(),
            broker: Some(broker),
        }
    }

    /// A world on a broker that somebody else runs.
    pub(crate) fn on(address: SocketAddr) -> Self {
        setup();
        Self {
            scratch: Scratch::new().unwrap(),
            key: WorkloadKey::generate().unwrap(),
            address,
            broker: None,
        }
    }

    pub(crate) fn part(&self, folder: &str) -> Part {
        Part::new(self.address, &self.scratch.path(folder))
            .key(&self.key)
            .program(env!("CARGO_BIN_EXE_propeller"))
    }

    /// A manager with short leases, so that tests of loss are short.
    pub(crate) async fn manager(&self) -> Manager {
        self.manager_part().manager().await.unwrap()
    }

    pub(crate) fn manager_part(&self) -> Part {
        self.part("manager")
            .with("lease", "1500ms")
            .with("retry_backoff", "50ms")
    }

    pub(crate) fn proplet(&self, id: &str) -> Proplet {
        self.part(id)
            .with("liveliness_interval", "300ms")
            .proplet(id)
            .unwrap()
    }
}

/// A request that runs `wasm`.
pub(crate) fn request(name: &str, wasm: &[u8]) -> TaskRequest {
    TaskRequest {
        name: Some(name.to_owned()),
        file: Some(BASE64.encode(wasm)),
        ..TaskRequest::default()
    }
}

pub(crate) async fn ready(client: &Client, proplets: usize) {
    until("proplets connect", async || {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let list = client.proplet_list(page, None).await.unwrap();
        let linked = list
            .proplets
            .iter()
            .filter(|p| p.alive && p.link != "not heard from");
        linked.count() >= proplets
    })
    .await;
}

/// Submits, starts and waits.
pub(crate) async fn run(client: &Client, request: &TaskRequest) -> Task {
    let id = client.task_create(request, true).await.unwrap().id.clone();
    wait(client, &id).await
}

pub(crate) async fn wait(client: &Client, id: &str) -> Task {
    client
        .task_wait(id, Some(PATIENCE))
        .await
        .unwrap()
        .into_value()
}

pub(crate) fn state(task: &Task) -> &'static str {
    TaskState::from_number(task.state).unwrap().word()
}

/// Waits until something is so. Looks often, and gives up in bounded time.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a task is with a proplet, and says which.
pub(crate) async fn under_way(client: &Client, id: &str) -> String {
    let mut proplet = String::new();
    until("the task is under way", async || {
        let task = client.task_view(id).await.unwrap();
        if task.state == TaskState::Running as u8 {
            proplet.clone_from(&task.proplet_id);
        }
        task.state == TaskState::Running as u8
    })
    .await;
    proplet
}
