//! A key broker, put together: data directory, files of its operator, sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use propeller_attest::verify::Anchors;
use propeller_settings::{DirectoryLock, LockError};
use tracing::info;

use crate::audit::{AuditError, Entry, Event};
use crate::broker::Broker;
pub use crate::broker::ReloadError;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Api, Bound, ServeError, Serving};
use crate::tokens::TokenKeyError;
use crate::vault::VaultError;

/// Why a key broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another one has the data directory.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Policy, roles or collateral.
    #[error(transparent)]
    Standing(#[from] ReloadError),
    /// Resources.
    #[error("cannot open the resources")]
    Vault(#[from] VaultError),
    /// The key of tokens.
    #[error("cannot open the key of tokens")]
    TokenKey(#[from] TokenKeyError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The sockets.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A running key broker.
#[derive(Debug)]
pub struct KeyBroker {
    address: SocketAddr,
    url: String,
    broker: Arc<Broker>,
    serving: Serving,
    _lock: DirectoryLock,
}

impl KeyBroker {
    /// Starts a key broker. It answers requests when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, Clock::system(), Anchors::vendors()).await
    }

    /// Starts a key broker that goes by another clock, and believes others than Intel and AMD.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_on(
        config: Config,
        clock: Clock,
        anchors: Anchors,
    ) -> Result<Self, StartError> {
        let lock = DirectoryLock::take(&config.data_dir, "key broker")?;
        let bound = Bound::bind(config.listen, config.tls.as_ref()).await?;
        let broker = Arc::new(Broker::open(&config, clock, anchors)?);
        let (address, url) = (bound.address(), bound.url());
        info!(url = %url, data_dir = %config.data_dir.display(), "key broker ready");
        let router = Api::new(Arc::clone(&broker)).router();
        Ok(Self {
            address,
            url,
            broker,
            serving: bound.serve(router),
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to reach it by.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads policy, roles and collateral again. Keys are read at the start alone.
    ///
    /// # Errors
    /// See [`ReloadError`]: then everything is as it was.
    pub fn reload(&self) -> Result<(), ReloadError> {
        self.broker.reload(Entry::new(Event::Reloaded)).map(|_| ())
    }

    /// Stops in bounded time.
    pub async fn stop(self) {
        self.serving.stop().await;
        info!("key broker stopped");
    }
}
