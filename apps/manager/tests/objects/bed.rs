//! A manager with an object store in a folder, a scripted proplet, and a client of few words.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use propeller_depot::{Depot, Name, Part};
use propeller_envelope::{Context, Keyring, WorkloadKey, open, seal};
use propeller_manager::config::Variables;
use propeller_manager::{Config, Manager, StartError};
use propeller_model::{AttemptId, ExitKind};
use propeller_settings::{Settings, Sources};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::memory::{Faults, Hub};
use propeller_wire::message::{
    About, FromProplet, Heartbeat, Hello, Input, Output, Refusal, Refused, Report, StartImage,
    StoreMark, StoredObject, ToProplet, Usage, Vitals,
};
use propeller_wire::{Caller, Channel, Heard};
use serde_bytes::ByteBuf;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::reply::{Reply, reply};
use crate::seal::{object, opened};

/// The key of all objects here.
pub(crate) const KEY: [u8; 32] = [7; 32];
const ME: &str = "scripted";
/// What is sent with every request.
pub(crate) const TOKEN: &str = "a token for tests";
/// Why a proplet cannot read the store.
pub(crate) const AWAY: &str = "the store is away";
const WORKLOAD_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What a proplet was given: the key of its objects, and its standard input out of the store.
type Seen = Vec<([u8; 32], Option<Vec<u8>>)>;

/// What the proplet does.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// Ends each attempt with this output, in the store.
    Store(Vec<u8>),
    /// Says of no store that it is reached, and ends each attempt.
    ReachNothing,
    /// Refuses each attempt, in these words.
    Refuse(Refusal, &'static str),
    /// Refuses the first attempt because the store does not answer, and ends others with this output
    /// in it.
    Recover(Vec<u8>),
}

/// See the module.
pub(crate) struct Bed {
    folder: TempDir,
    hub: Hub,
    manager: Manager,
    proplets: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

impl Bed {
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self::start_with_folder(folder, settings).await
    }

    /// The same manager, started once more.
    pub(crate) async fn restart(self) -> Self {
        self.manager.stop().await;
        Self::start_with_folder(self.folder, &[]).await
    }

    async fn start_with_folder(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let store = folder.path().join("store");
        let store = store.to_str().unwrap().to_owned();
        let settings = [settings, &[("object_store", &store)]].concat();
        Self::start(folder, &settings, Vec::new()).await.unwrap()
    }

    pub(crate) async fn without_store() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start(folder, &[], Vec::new()).await.unwrap()
    }

    /// With a store that is elsewhere, and these variables.
    pub(crate) async fn with_store(
        store: &str,
        variables: Vec<(String, String)>,
    ) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().unwrap();
        Self::start(folder, &[("object_store", store)], variables).await
    }

    async fn start(
        folder: TempDir,
        settings: &[(&str, &str)],
        variables: Vec<(String, String)>,
    ) -> Result<Self, StartError> {
        // Whichever test is the first; registries are asked nothing here.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.install_default().ok();
        let data = folder.path().join("data");
        let mut sources = Sources::default();
        let own = [
            ("data_dir", data.to_str().unwrap()),
            ("http_port", "0"),
            ("workload_key", WORKLOAD_KEY),
        ];
        for (name, value) in own.iter().chain(settings) {
            sources
                .flags
                .insert((*name).to_owned(), (*value).to_owned());
        }
        let settings = Settings::load(propeller_manager::config::SCHEMA, "manager", &sources);
        let mut config = Config::from_settings(settings).unwrap();
        config.objects.variables = Variables(variables);
        let hub = Hub::new(0, Faults::default());
        let (link, carry) = hub.connect(Listen::AsManager);
        Ok(Self {
            folder,
            hub,
            manager: Manager::start_on(config, link, carry).await?,
            proplets: JoinSet::new(),
            seen: Arc::default(),
        })
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) async fn depot(&self) -> Depot {
        let location = self.store().to_str().unwrap().parse().unwrap();
        let variables: [(String, String); 0] = [];
        Depot::open(&location, variables).await.unwrap()
    }

    /// Puts a file into the folder of a task, as somebody has left it in 2001.
    pub(crate) fn leave(&self, task: &str, file: &str) {
        let folder = self.store().join(task);
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join(file)).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(long_ago).unwrap();
    }

    /// Names of the objects of a task.
    pub(crate) fn objects(&self, task: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.store().join(task)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn link(&mut self) -> Link {
        let (link, carry) = self.hub.connect(Listen::AsProplet(ME.parse().unwrap()));
        self.proplets.spawn(carry);
        link
    }

    pub(crate) fn proplet(&mut self, link: Link, deed: Deed) {
        let (store, seen) = (self.store(), Arc::clone(&self.seen));
        self.proplets.spawn(async move {
            let location = store.to_str().unwrap().parse().unwrap();
            let variables: [(String, String); 0] = [];
            let depot = Depot::open(&location, variables).await.unwrap();
            script(link, depot, deed, seen).await;
        });
    }

    pub(crate) async fn create(&self, task: &Value) -> String {
        let created = self.ask_json("POST", "/tasks", task).await;
        assert_eq!(created.status, 201, "{}", created.text());
        created.json()["id"].as_str().unwrap().to_owned()
    }

    /// Runs a task to its end.
    pub(crate) async fn run(&self, id: &str) -> Value {
        let started = self
            .ask("POST", &format!("/tasks/{id}/start"), "", b"")
            .await;
        assert_eq!(started.status, 200, "{}", started.text());
        let ended = self.get(&format!("/tasks/{id}?wait=20"), "").await;
        ended.json()
    }

    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come about within five seconds");
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> Reply {
        self.ask("GET", path, headers, b"").await
    }

    pub(crate) async fn put(&self, path: &str, bytes: &[u8]) -> Reply {
        let kind = "Content-Type: application/octet-stream\r\n";
        self.ask("PUT", path, kind, bytes).await
    }

    pub(crate) async fn put_json(&self, path: &str, json: &Value) -> Reply {
        self.ask_json("PUT", path, json).await
    }

    pub(crate) async fn ask_json(&self, method: &str, path: &str, json: &Value) -> Reply {
        let kind = "Content-Type: application/json\r\n";
        self.ask(method, path, kind, json.to_string().as_bytes())
            .await
    }

    /// Sends a body in chunks, so many MiB of it, and only then looks for an answer.
    pub(crate) async fn send(&self, path: &str, token: &str, mib: usize) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(self.manager.address()).await?;
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let chunk = [b"100000\r\n", &vec![0; 1 << 20][..], b"\r\n"].concat();
        for _ in 0..mib {
            stream.write_all(&chunk).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Ok(reply(&bytes))
    }

    /// One request over a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.manager.address()).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A request that is refused early is not read to its end.
        stream.write_all(body).await.ok();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok();
        reply(&bytes)
    }
}

/// A proplet that runs nothing.
async fn script(mut link: Link, depot: Depot, deed: Deed, seen: Arc<Mutex<Seen>>) {
    let keys = Keyring::new(WorkloadKey::from_hex(WORKLOAD_KEY).unwrap());
    let mut caller: Caller = Caller::new(ME.parse().unwrap(), keys.clone());
    let outgoing = link.outgoing.clone();
    let send = async |(channel, bytes): (Channel, Vec<u8>)| {
        let bytes = bytes.into();
        outgoing.send(Outgoing { channel, bytes }).await.unwrap();
    };
    let mut beats = tokio::time::interval(Duration::from_millis(100));
    loop {
        let incoming = tokio::select! {
            Some(incoming) = link.incoming.recv() => incoming,
            _ = beats.tick() => {
                let beat = FromProplet::Heartbeat(Heartbeat {
                    number: 0,
                    holds: Vec::new(),
                    vitals: Vitals::default(),
                });
                if let Some(frame) = caller.seal(&beat) {
                    send(frame).await;
                }
                continue;
            }
            else => return,
        };
        let Incoming::Frame { channel, bytes } = incoming else {
            if matches!(incoming, Incoming::Up) {
                send((Channel::Create, caller.announce([7; 32]))).await;
            }
            continue;
        };
        match caller.receive(&channel, &bytes) {
            Heard::Offered => {
                let hello = FromProplet::Hello(Hello {
                    about: About::default(),
                    holds: Vec::new(),
                    slots: 1,
                });
                send(caller.seal_hello(&hello).unwrap()).await;
            }
            Heard::Said(ToProplet::Welcome(_)) if !matches!(deed, Deed::ReachNothing) => {
                let mark = StoreMark(*depot.mark().await.unwrap().as_bytes());
                send(caller.seal(&FromProplet::Reaches(mark)).unwrap()).await;
            }
            Heard::Said(ToProplet::StartImage(start)) => {
                let said = attempt(start, &keys, &depot, &deed, &seen).await;
                send(caller.seal(&said).unwrap()).await;
            }
            _ => {}
        }
    }
}

async fn attempt(
    start: StartImage,
    keys: &Keyring,
    depot: &Depot,
    deed: &Deed,
    seen: &Mutex<Seen>,
) -> FromProplet {
    let (attempt, tenant) = (start.attempt, start.tenant.as_str());
    let task = *attempt.task.0.as_bytes();
    let input = open(keys, &Context::Input { tenant, task }, &start.input).unwrap();
    let objects = Input::from_bytes(&input).unwrap().objects;
    let mut output = Output {
        exit_code: Some(0),
        ..Output::default()
    };
    let refused = |reason, why: &str| {
        FromProplet::Refused(Refused {
            attempt,
            reason,
            text: why.to_owned(),
        })
    };
    match deed {
        Deed::Refuse(reason, why) => return refused(*reason, why),
        Deed::Recover(_) if attempt.number == 1 => return refused(Refusal::Store, AWAY),
        Deed::ReachNothing => {}
        Deed::Store(printed) | Deed::Recover(printed) => {
            let Some(objects) = objects else {
                return refused(Refusal::NoInput, "there is no key for objects");
            };
            let stdin = match objects.stdin {
                Some(object) => Some(fetch(depot, attempt, object).await),
                None => None,
            };
            seen.lock().unwrap().push((objects.key.0, stdin));
            output.stdout_object = Some(store(depot, attempt, printed).await);
        }
    }
    let context = Context::Result {
        tenant,
        task,
        attempt: attempt.number,
        proplet: ME,
    };
    FromProplet::Finished(Report {
        attempt,
        success: true,
        output: ByteBuf::from(seal(keys, &context, &output.to_bytes()).unwrap()),
        usage: Usage::default(),
        exit: ExitKind::Exited,
    })
}

async fn fetch(depot: &Depot, attempt: AttemptId, object: StoredObject) -> Vec<u8> {
    let name = Name {
        task: attempt.task.0,
        part: Part::Stdin(object.name),
    };
    let reader = depot.reader(name).await.unwrap().unwrap();
    let plain = tokio::task::spawn_blocking(move || opened(reader, KEY));
    plain.await.unwrap()
}

async fn store(depot: &Depot, attempt: AttemptId, printed: &[u8]) -> StoredObject {
    let name = Name {
        task: attempt.task.0,
        part: Part::Stdout(attempt.number),
    };
    let (bytes, digest) = object(printed, KEY);
    let mut writer = depot.writer(name);
    writer.write(&bytes).await.unwrap();
    writer.finish().await.unwrap();
    StoredObject {
        name: u64::from(attempt.number),
        digest,
        plain_len: printed.len() as u64,
    }
}
