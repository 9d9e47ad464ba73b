//! A broker of ours, in a folder of its own and with a clock that stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use propeller_attest::rcar::KbsAddress;
use propeller_attest::rcar::admin::Admin;
use propeller_attest::verify::Anchors;
use propeller_envelope::{Keyring, WorkloadKey};
use propeller_keybroker::config::Rates;
use propeller_keybroker::{Clock, Config, KeyBroker, StartError};
use serde_json::Value;
use tempfile::TempDir;

use super::keys::Keys;

/// Releases to everybody what is below `propeller-test/allowed`.
pub(crate) const OPEN: &str = "
    [[allow]]
    name = 'tests'
    resources = ['propeller-test/allowed/*']
    tee = ['sample']
";
const EVERYTHING: &str = "['write', 'delete', 'list', 'explain', 'audit', 'policy']";

pub(crate) struct Bed {
    pub(crate) config: Config,
    pub(crate) admin: Keys,
    /// Whose role `scoped` is for `tenant-a/*`.
    pub(crate) scoped: Keys,
    pub(crate) http: reqwest::Client,
    now: Arc<AtomicI64>,
    anchors: Anchors,
    broker: Option<KeyBroker>,
    folder: TempDir,
}

impl Bed {
    /// With rules.
    pub(crate) async fn new(policy: &str) -> Self {
        let mut bed = Self::closed(policy);
        bed.start().await.unwrap();
        bed
    }

    /// One that has not been started.
    pub(crate) fn closed(policy: &str) -> Self {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let folder = tempfile::tempdir().unwrap();
        let (admin, scoped) = (Keys::new(), Keys::new());
        let roles = format!(
            "{}{}",
            role("admin", &admin, "['*']"),
            role("scoped", &scoped, "['tenant-a/*']"),
        );
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let config = Config {
            log_level: String::new(),
            data_dir: folder.path().join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            keys: Keyring::new(WorkloadKey::generate().unwrap()),
            policy: file("policy.toml", policy),
            admins: file("admins.toml", &roles),
            collateral: None,
            token_life: Duration::from_secs(300),
            rates: Rates {
                per_peer: 1_000_000,
                per_token: 1_000_000,
            },
            audit_file_bytes_max: 64 * 1024,
        };
        Self {
            config,
            admin,
            scoped,
            http: reqwest::Client::new(),
            now: Arc::new(AtomicI64::new(1_790_000_000)),
            anchors: Anchors::vendors(),
            broker: None,
            folder,
        }
    }

    pub(crate) fn believing(self, anchors: Anchors) -> Self {
        Self { anchors, ..self }
    }

    pub(crate) async fn start(&mut self) -> Result<(), StartError> {
        let now = Arc::clone(&self.now);
        let clock = Clock::of(move || jiff::Timestamp::from_second(now.load(SeqCst)).unwrap());
        let (config, anchors) = (self.config.clone(), self.anchors.clone());
        self.broker = Some(KeyBroker::start_on(config, clock, anchors).await?);
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        self.broker.take().unwrap().stop().await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await.unwrap();
    }

    pub(crate) fn broker(&self) -> &KeyBroker {
        self.broker.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.broker().url())
    }

    pub(crate) fn address(&self) -> KbsAddress {
        KbsAddress::parse(self.broker().url(), false, "").unwrap()
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(SeqCst)
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, SeqCst);
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a resource, by way of the client that ships with us.
    pub(crate) async fn put(&self, path: &str, secret: &[u8]) {
        let admin = Admin::new(self.address(), &[], self.admin.admin_key(), "admin").unwrap();
        let now = u64::try_from(self.now()).unwrap();
        admin
            .put_resource(&path.parse().unwrap(), secret, now)
            .await
            .unwrap();
    }

    /// Asks an endpoint of the broker's own, as `admin`.
    pub(crate) async fn ask(&self, endpoint: &str, body: Option<&Value>) -> (u16, Value) {
        let token = self.admin.token("admin");
        self.ask_as(&token, endpoint, body).await
    }

    pub(crate) async fn ask_as(
        &self,
        token: &str,
        endpoint: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let url = self.url(&format!("/keybroker/v1/{endpoint}"));
        let request = match body {
            None => self.http.get(url),
            Some(body) => self.http.post(url).json(body),
        };
        let response = request.bearer_auth(token).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// All lines of the log whose event is one of `events`.
    pub(crate) async fn logged(&self, events: &[&str]) -> Vec<Value> {
        let (status, found) = self.ask("audit?since=0", None).await;
        assert_eq!(status, 200, "{found}");
        let lines = found["lines"].as_array().unwrap();
        let is_one = |line: &&Value| events.contains(&line["event"].as_str().unwrap());
        lines.iter().filter(is_one).cloned().collect()
    }
}

fn role(name: &str, keys: &Keys, resources: &str) -> String {
    let pem = keys.public_pem();
    format!(
        "[[role]]\nname = '{name}'\npublic_key = '''{pem}'''\nresources = {resources}\nmay = {EVERYTHING}\n"
    )
}
