//! The broker itself: what it holds, and what holds for as long as nobody reads it anew.

mod administer;
mod handshake;
mod release;
mod standing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use jiff::Timestamp;
use propeller_attest::verify::Anchors;
use serde_json::Value;

pub(crate) use administer::{Existing, Explain, Since};
pub use standing::ReloadError;
pub(crate) use standing::{Files, Standing};

use crate::audit::{Audit, AuditError, Entry, Event};
use crate::clock::Clock;
use crate::config::Config;
use crate::limits::{self, Limits};
use crate::metrics::Metrics;
use crate::policy::{Counts, Release};
use crate::refusal::Refusal;
use crate::sealed::Folder;
use crate::service::StartError;
use crate::sessions::Sessions;
use crate::tokens::Issuer;
use crate::vault::Vault;

/// A broker without its sockets. Its methods block: they read and write files, and check signatures.
#[derive(Debug)]
pub(crate) struct Broker {
    clock: Clock,
    files: Files,
    standing: RwLock<Arc<Standing>>,
    sessions: Mutex<Sessions>,
    counts: Mutex<Counts>,
    peers: Mutex<Limits<std::net::IpAddr>>,
    tokens: Mutex<Limits<String>>,
    issuer: Issuer,
    vault: Vault,
    audit: Audit,
    pub(crate) metrics: Metrics,
}

impl Broker {
    /// Opens a data directory that is ours, and reads what the operator says.
    pub(crate) fn open(
        config: &Config,
        clock: Clock,
        anchors: Anchors,
    ) -> Result<Self, StartError> {
        let files = Files::of(config, anchors);
        let standing = files.read()?;
        let folder = Folder::open(config.data_dir.clone(), config.keys.clone())
            .map_err(|error| StartError::Vault(error.into()))?;
        let issuer = Issuer::open(&folder, config.token_life)?;
        let (vault, renewed) = Vault::open(&config.data_dir, &config.keys)?;
        let metrics = Metrics::default();
        let mut counts = Counts::default();
        let (audit, found) = Audit::open(&config.data_dir, config.audit_file_bytes_max, |line| {
            // What was released is known from the log, so that a restart gives nobody more.
            if let Some(release) = counted(line) {
                counts.record(release);
            }
        })?;
        let mut why = format!(
            "{} rules, {} roles, {} resources, {renewed} of them sealed anew",
            standing.policy.len(),
            standing.admins.len(),
            vault.len(),
        );
        if found.torn > 0 {
            let torn = found.torn;
            why = format!(
                "{why}; {torn} bytes of a line that was not whole were cut off the audit log"
            );
        }
        if let Some(broken) = &found.broken {
            tracing::error!(target: "security", %broken, "the audit log was changed");
            metrics.audit_broken();
            why = format!("{why}; the audit log was changed: {broken}");
        }
        if standing.policy.is_empty() {
            tracing::warn!("no rules (KEYBROKER_POLICY): nothing is released");
        }
        let started = Entry::new(Event::Started).because(why);
        audit.record(&started, clock.now())?;
        Ok(Self {
            clock,
            files,
            standing: RwLock::new(Arc::new(standing)),
            sessions: Mutex::default(),
            counts: Mutex::new(counts),
            peers: Mutex::new(Limits::new(config.rates.per_peer)),
            tokens: Mutex::new(Limits::new(config.rates.per_token)),
            issuer,
            vault,
            audit,
            metrics,
        })
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Everything that is counted, in Prometheus' text format.
    pub(crate) fn metrics_text(&self) -> String {
        let sessions = lock(&self.sessions).len();
        self.metrics.text(sessions, self.vault.len())
    }

    /// Takes one request from what an address may ask.
    pub(crate) fn admit(&self, peer: std::net::IpAddr) -> Result<(), Refusal> {
        let caller = limits::peer(peer);
        let taken = lock(&self.peers).take(caller, Instant::now());
        taken.map_err(|wait| {
            let entry = Entry::by(Event::Limited, peer).because("its address");
            self.note(&entry);
            Refusal::TooOften(wait)
        })
    }

    fn standing(&self) -> Arc<Standing> {
        let standing = self.standing.read();
        Arc::clone(&standing.unwrap_or_else(PoisonError::into_inner))
    }

    /// Records what must not happen unrecorded.
    fn record(&self, entry: &Entry) -> Result<(), AuditError> {
        self.metrics.event(entry.event.name());
        self.audit
            .record(entry, self.clock.now())
            .inspect_err(|error| {
                let cause = crate::evidence::chain(error);
                tracing::error!(target: "security", cause, "something was not recorded");
            })
    }

    /// Records what has happened anyway, such as a refusal.
    fn note(&self, entry: &Entry) {
        // It is in the log of errors that this failed, and a refusal stays one.
        let _recorded = self.record(entry);
    }
}

/// Whoever panicked with one of these had changed it whole, or not at all.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A release under a rule that counts, from a line of the log.
fn counted(line: &Value) -> Option<Release> {
    let text = |name: &str| line[name].as_str().map(ToOwned::to_owned);
    (line["counted"] == Value::Bool(true)).then_some(())?;
    Some(Release {
        at: line["time"].as_str()?.parse::<Timestamp>().ok()?,
        rule: text("rule")?,
        resource: text("resource")?,
        workload: text("workload")?,
    })
}
