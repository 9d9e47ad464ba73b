//! A key broker whose clock a test puts forward, and whose keys it rotates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use propeller_attest::rcar::KbsAddress;
use propeller_attest::rcar::admin::{Admin, AdminKey};
use propeller_attest::verify::Anchors;
use propeller_envelope::WorkloadKey;
use propeller_keybroker::{Clock, KeyBroker};

use crate::images::keys;

/// A key broker, and who may write to it.
pub(crate) struct Keeper {
    pub(crate) broker: KeyBroker,
    admin: Admin,
    folder: PathBuf,
    policy: String,
    /// What it seals with at rest.
    key: String,
    /// By how many seconds its clock is ahead of this machine's.
    ahead: Arc<AtomicU64>,
}

impl Keeper {
    pub(crate) async fn start(folder: &Path, policy: &str) -> Self {
        Self::start_with(folder, policy, "").await
    }

    /// In a folder where there may have been one that sealed with `old`.
    async fn start_with(folder: &Path, policy: &str, old: &str) -> Self {
        let (private, public) = keys(folder, "admin");
        let roles = format!(
            "[[role]]\nname = 'admin'\npublic_key = '{}'\nresources = ['*']\nmay = ['write', 'delete']\n",
            public.display()
        );
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key = WorkloadKey::generate().unwrap().to_hex().to_string();
        let flags = [
            ("data_dir", folder.join("keybroker").display().to_string()),
            ("http_port", "0".to_owned()),
            ("key", key.clone()),
            ("keys_open", old.to_owned()),
            ("policy", file("policy.toml", policy)),
            ("admins", file("admins.toml", &roles)),
        ];
        let mut sources = propeller_settings::Sources::default();
        for (name, value) in flags.into_iter().filter(|(_, value)| !value.is_empty()) {
            sources.flags.insert(name.to_owned(), value);
        }
        let schema = propeller_keybroker::config::SCHEMA;
        let settings = propeller_settings::Settings::load(schema, schema.section, &sources);
        let config = propeller_keybroker::Config::from_settings(settings).unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&ahead);
        let clock = Clock::of(move || (UNIX_EPOCH + time(&shown)).try_into().unwrap());
        let broker = KeyBroker::start_on(config, clock, Anchors::vendors());
        let broker = broker.await.unwrap();
        let address = KbsAddress::parse(broker.url(), false, "").unwrap();
        let admin_key = AdminKey::from_pem(&std::fs::read(private).unwrap()).unwrap();
        Self {
            broker,
            admin: Admin::new(address, &[], admin_key, "admin").unwrap(),
            folder: folder.to_owned(),
            policy: policy.to_owned(),
            key,
            ahead,
        }
    }

    pub(crate) async fn keep(&self, path: &str, secret: &[u8]) {
        let path = path.parse().unwrap();
        self.admin
            .put_resource(&path, secret, time(&self.ahead).as_secs())
            .await
            .unwrap();
    }

    /// Puts its clock forward.
    pub(crate) fn later(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), SeqCst);
    }

    /// Ends it, and starts it again with another key for what is at rest, and with another one that
    /// it signs tokens with.
    pub(crate) async fn rotated(self) -> Self {
        self.broker.stop().await;
        std::fs::remove_file(self.folder.join("keybroker/token.key")).unwrap();
        Self::start_with(&self.folder, &self.policy, &self.key).await
    }

    /// What it has recorded of those who are attested, and why, in order.
    pub(crate) fn recorded(&self) -> Vec<(String, String)> {
        let log = std::fs::read_to_string(self.folder.join("keybroker/audit.jsonl")).unwrap();
        let lines = log.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("event"), text("why"))
        });
        let others = ["started", "admin"];
        lines
            .filter(|(event, _)| !others.contains(&event.as_str()))
            .collect()
    }
}

/// The time of a clock that is so many seconds ahead, since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "brokers and administrators have a clock"
)]
fn time(ahead: &AtomicU64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now + Duration::from_secs(ahead.load(SeqCst))
}
