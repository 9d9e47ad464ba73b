//! Broker, manager and proplets in one process, on loopback and with free ports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use propeller_broker::{Broker, Options};
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_proxy::Proxy;
use propeller_settings::{Settings, SettingsError, Sources};

/// Why a stack does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The broker.
    #[error("cannot start the broker")]
    Broker(#[from] propeller_broker::StartError),
    /// The manager.
    #[error("cannot start the manager")]
    Manager(#[from] propeller_manager::StartError),
    /// A proplet.
    #[error("cannot start a proplet")]
    Proplet(#[from] propeller_proplet::StartError),
    /// A proxy.
    #[error("cannot start a proxy")]
    Proxy(#[from] propeller_proxy::StartError),
    /// Settings that do not fit.
    #[error("the settings are wrong")]
    Settings(#[from] SettingsError),
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Starts the embedded broker on loopback, on a free port.
///
/// # Errors
/// See [`StackError`].
pub async fn broker() -> Result<Broker, StackError> {
    let options = Options::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    Ok(propeller_broker::start(options).await?)
}

/// What a part of a stack is started with. Nothing comes from the environment.
#[derive(Clone)]
pub struct Part {
    flags: BTreeMap<String, String>,
    program: Option<PathBuf>,
}

impl fmt::Debug for Part {
    /// Without the values: one of them is the workload key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.flags.keys()).finish()
    }
}

impl Part {
    /// A part that finds the broker at `broker` and keeps what it keeps in `data_dir`.
    #[must_use]
    pub fn new(broker: SocketAddr, data_dir: &Path) -> Self {
        let flags = BTreeMap::from([
            ("mqtt_address".to_owned(), format!("tcp://{broker}")),
            ("data_dir".to_owned(), data_dir.display().to_string()),
        ]);
        Self {
            flags,
            program: None,
        }
    }

    /// With `program` in place of the running one where a proplet starts processes: see
    /// [`Config::program`](propeller_proplet::Config::program).
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.flags.insert(name.to_owned(), value.into());
        self
    }

    /// With this workload key.
    #[must_use]
    pub fn key(self, key: &WorkloadKey) -> Self {
        let hex = key.to_hex();
        self.with("workload_key", hex.as_str())
    }

    /// Starts a manager on a free port.
    ///
    /// # Errors
    /// See [`StackError`].
    pub async fn manager(self) -> Result<Manager, StackError> {
        Ok(Manager::start(self.manager_config()?).await?)
    }

    /// The configuration of a manager on a free port.
    ///
    /// # Errors
    /// Settings that do not fit.
    pub fn manager_config(self) -> Result<propeller_manager::Config, SettingsError> {
        let sources = self.with("http_port", "0").sources();
        let settings = Settings::load(propeller_manager::config::SCHEMA, "manager", &sources);
        propeller_manager::Config::from_settings(settings)
    }

    /// Starts a proplet with this id.
    ///
    /// # Errors
    /// See [`StackError`].
    pub fn proplet(self, id: &str) -> Result<Proplet, StackError> {
        Ok(Proplet::start(self.proplet_config(id)?)?)
    }

    /// The configuration of a proplet with this id.
    ///
    /// # Errors
    /// Settings that do not fit.
    pub fn proplet_config(self, id: &str) -> Result<propeller_proplet::Config, SettingsError> {
        let program = self.program.clone();
        let sources = self.with("id", id).sources();
        let settings = Settings::load(propeller_proplet::config::SCHEMA, "proplet", &sources);
        let mut config = propeller_proplet::Config::from_settings(settings)?;
        config.program = program.unwrap_or(config.program);
        Ok(config)
    }

    /// Starts a proxy.
    ///
    /// # Errors
    /// See [`StackError`].
    pub async fn proxy(self) -> Result<Proxy, StackError> {
        Ok(Proxy::start(self.proxy_config()?).await?)
    }

    /// The configuration of a proxy; it has no `/health` unless it is told where.
    ///
    /// # Errors
    /// Settings that do not fit.
    pub fn proxy_config(mut self) -> Result<propeller_proxy::Config, SettingsError> {
        let port = self.flags.entry("http_port".to_owned());
        port.or_insert_with(|| "0".to_owned());
        let settings = Settings::load(propeller_proxy::config::SCHEMA, "proxy", &self.sources());
        propeller_proxy::Config::from_settings(settings)
    }

    fn sources(self) -> Sources {
        Sources {
            flags: self.flags,
            ..Sources::default()
        }
    }
}

/// A directory that goes when it is dropped. Only its owner can look inside.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new directory among the system's temporary files.
    ///
    /// # Errors
    /// The disk.
    pub fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("propeller-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// A path inside.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left holds only envelopes; the system clears its temporary files.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
