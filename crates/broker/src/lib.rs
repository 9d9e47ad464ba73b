//! The embedded MQTT broker, started in-process.
//!
//! It routes frames between clients and remembers nothing: sessions end with their connection,
//! there are no retained messages, no `$SYS` topics, no files, and one plain TCP listener on the
//! one address it is given. Anybody who reaches that address may talk, which is why it belongs on
//! loopback; what is said is sealed by whoever says it. A queue that is full drops messages, also
//! acknowledged ones: reliability is the business of the two ends.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use propeller_broker::{Options, start};
//!
//! let broker = start(Options::new(([127, 0, 0, 1], 0).into())).await?;
//! println!("mqtt://{}", broker.address());
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```

mod config;
mod gate;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use mqtt5::MqttError;
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use rustls::crypto::CryptoProvider;
use tokio::task::JoinSet;
use tracing::{error, warn};

pub use config::{
    CLIENTS_MAX, Options, PACKET_LEN_MAX, PACKET_LEN_MIN, QUEUED_BYTES_MAX, QUEUED_MESSAGES_MAX,
};
pub use gate::TOPIC_LEN_MAX;

/// A running broker. Dropping it stops it too, without waiting for the end.
pub struct Broker {
    address: SocketAddr,
    shutdown: BrokerShutdownHandle,
    /// One task; the tasks that it starts end when it does.
    tasks: JoinSet<Result<(), MqttError>>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A program that uses TLS names its provider first; the broker would panic without one.
    #[error("no TLS provider is installed: install rustls' aws-lc-rs provider first in `main`")]
    NoTlsProvider,
    /// An option out of its bounds.
    #[error("the broker's {name} must be between {min} and {max}, not {given}")]
    OutOfBounds {
        /// Which.
        name: &'static str,
        /// The value.
        given: usize,
        /// Smallest value.
        min: usize,
        /// Largest value.
        max: usize,
    },
    /// Somebody else listens there.
    #[error("{address} is in use: stop what listens there, or choose another port")]
    PortInUse {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The address is not ours, or not for us.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// What the broker's implementation says.
    #[error("the broker did not start")]
    Implementation(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts a broker. It accepts connections when this returns.
///
/// # Errors
/// See [`StartError`].
pub async fn start(options: Options) -> Result<Broker, StartError> {
    if CryptoProvider::get_default().is_none() {
        return Err(StartError::NoTlsProvider);
    }
    let config = config::of(&options)?;
    let broker = Box::pin(MqttBroker::with_config(config))
        .await
        .map_err(|cause| not_listening(options.listen, cause))?;
    let mut broker = broker.with_auth_provider(Arc::new(gate::Gate));
    let address = broker.local_addr().ok_or_else(|| {
        StartError::Implementation("the listener does not know its address".into())
    })?;
    let shutdown = broker.shutdown_handle();
    let mut ready = broker.ready_receiver();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Box::pin(broker.run()).await });
    if ready.wait_for(|is_ready| *is_ready).await.is_err() {
        return Err(StartError::Implementation(ended(&mut tasks).await));
    }
    Ok(Broker {
        address,
        shutdown,
        tasks,
    })
}

impl Broker {
    /// Where it listens, with the port that was chosen if port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Disconnects everybody and frees the port. Waits at most 5 s for connections to end.
    pub async fn stop(mut self) {
        self.shutdown.shutdown();
        while let Some(end) = self.tasks.join_next().await {
            match end {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => warn!(error = %cause, "the broker ended with an error"),
                Err(cause) => error!(error = %cause, "the broker ended early"),
            }
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Says why there is no listener. The implementation has only words for it, so the system is
/// asked again.
fn not_listening(address: SocketAddr, cause: MqttError) -> StartError {
    match TcpListener::bind(address) {
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
            StartError::PortInUse { address, cause }
        }
        Err(cause) => StartError::Listen { address, cause },
        Ok(_) => StartError::Implementation(Box::new(cause)),
    }
}

/// Why the broker's task ended before it was ready.
async fn ended(
    tasks: &mut JoinSet<Result<(), MqttError>>,
) -> Box<dyn std::error::Error + Send + Sync> {
    match tasks.join_next().await {
        Some(Ok(Err(cause))) => Box::new(cause),
        Some(Err(cause)) => Box::new(cause),
        Some(Ok(Ok(()))) | None => "it ended before it was ready".into(),
    }
}
