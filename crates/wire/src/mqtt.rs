//! A [`Link`] over an MQTT broker, in version 5 or 3.1.1.
//!
//! Subscriptions are made anew after every connection, and nothing queued is sent before the
//! broker has confirmed them: an answer to a frame must find its reader.

mod address;
mod client;
mod tls;
mod v311;
mod v5;
mod version;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rumqttc_v5::QoS;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::channel::Base;
use crate::link::{Carry, INCOMING_MAX, Incoming, Link, Listen, OUTGOING_MAX, Outgoing};

pub use address::{Address, AddressError, Scheme};
pub use tls::{TlsError, TlsFiles};
pub use version::{Version, Versions, VersionsError};

use client::{Client, Connection, Dialer, Failure, Happening};
use version::{Cause, Negotiation, Next};

/// How to reach a broker.
#[derive(Clone)]
pub struct Options {
    /// The broker.
    pub address: Address,
    /// What the broker may speak.
    pub versions: Versions,
    /// Domain and channel.
    pub base: Base,
    /// The MQTT client id; one connection at a time may use it.
    pub client_id: String,
    /// User name and password, if the broker wants them.
    pub credentials: Option<(String, String)>,
    /// Certificates, for a broker behind TLS.
    pub tls: TlsFiles,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Interval of MQTT's own pings.
    pub keep_alive: Duration,
    /// Largest packet to accept, in bytes.
    pub packet_len_max: u32,
    /// How much may wait to be sent.
    pub queues: Queues,
}

/// How many frames may wait on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// In the link.
    pub link: usize,
    /// In the client: enough to fill one write, few enough to lose.
    pub client: usize,
    /// Not acknowledged by the broker. Debian's mosquitto 2.0.11 queues no more than 100 per client
    /// at once by default, and a broker that is asked for more only holds them longer.
    pub unacknowledged: u16,
}

impl Queues {
    /// For frames of half a megabyte, which take memory for as long as they wait. Two megabytes that
    /// are not acknowledged are 100 MB/s across a round trip of 20 ms.
    pub const BULK: Self = Self {
        link: 2,
        client: 2,
        unacknowledged: 4,
    };
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            link: OUTGOING_MAX,
            client: 256,
            unacknowledged: 100,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("base", &self.base)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Why a connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// See [`TlsError`].
    #[error("cannot set up TLS to the broker")]
    Tls(#[source] TlsError),
    /// Not 0, 1 or 2.
    #[error("MQTT quality of service is 0, 1 or 2, not {0}")]
    Qos(u8),
}

/// Opens a link. The returned future carries its frames until the link is dropped.
///
/// # Errors
/// Fails only on wrong options. An unreachable broker is tried again and again.
pub fn connect(options: &Options, listen: Listen) -> Result<(Link, Carry), ConnectError> {
    let qos = match options.qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        other => return Err(ConnectError::Qos(other)),
    };
    let dialer = Dialer::new(options, qos).map_err(ConnectError::Tls)?;
    let (outgoing, from_end) = mpsc::channel(options.queues.link);
    let (to_end, incoming) = mpsc::channel(INCOMING_MAX);
    let (phase, phases) = watch::channel(Phase::Offline);
    let subscriptions = listen.channels().len();
    let sender = Sender {
        base: options.base.clone(),
        listen,
        from_end,
        phases,
    };
    let receiver = Receiver {
        dialer,
        negotiation: Negotiation::new(options.versions),
        connections: 0,
        base: options.base.clone(),
        broker: options.address.to_string(),
        to_end,
        phase,
        subscriptions,
    };
    let carry = Box::pin(async move {
        tokio::join!(sender.run(), receiver.run());
    });
    Ok((Link { outgoing, incoming }, carry))
}

/// How far the connection is.
#[derive(Clone)]
enum Phase {
    Offline,
    /// Which connection this is: the sender may be busy while one ends and the next begins.
    Connected(u64, Client),
    Subscribed,
    Closed,
}

struct Sender {
    base: Base,
    listen: Listen,
    from_end: mpsc::Receiver<Outgoing>,
    phases: watch::Receiver<Phase>,
}

impl Sender {
    async fn run(mut self) {
        let mut subscribed_in = 0;
        let mut client = None;
        loop {
            let phase = self.phases.borrow_and_update().clone();
            match &phase {
                Phase::Closed => break,
                Phase::Offline => client = None,
                Phase::Connected(connection, its_client) if *connection != subscribed_in => {
                    subscribed_in = *connection;
                    self.subscribe(its_client).await;
                    client = Some(its_client.clone());
                    continue;
                }
                Phase::Connected(..) | Phase::Subscribed => {}
            }
            tokio::select! {
                biased;
                changed = self.phases.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                frame = self.from_end.recv(), if matches!(phase, Phase::Subscribed) => {
                    let Some(frame) = frame else { break };
                    if let Some(client) = &client {
                        self.publish(client, frame).await;
                    }
                }
            }
        }
        if let Some(client) = client {
            self.leave(&client).await;
        }
    }

    async fn subscribe(&self, client: &Client) {
        for channel in self.listen.channels() {
            if let Err(error) = client.subscribe(self.base.topic(&channel)).await {
                debug!(error = %error, "cannot subscribe");
                return;
            }
        }
    }

    /// Whether there still is a connection to send on.
    async fn publish(&self, client: &Client, frame: Outgoing) -> bool {
        let topic = self.base.topic(&frame.channel);
        let sent = client.publish(topic, frame.bytes).await;
        if let Err(error) = &sent {
            debug!(error = %error, "cannot publish");
        }
        sent.is_ok()
    }

    /// Sends what is left, and a goodbye.
    async fn leave(&mut self, client: &Client) {
        while let Ok(frame) = self.from_end.try_recv() {
            if !self.publish(client, frame).await {
                return;
            }
        }
        if let Err(error) = client.disconnect().await {
            debug!(error = %error, "the connection was gone before its goodbye");
        }
    }
}

struct Receiver {
    dialer: Dialer,
    negotiation: Negotiation,
    /// How many there have been.
    connections: u64,
    base: Base,
    broker: String,
    to_end: mpsc::Sender<Incoming>,
    phase: watch::Sender<Phase>,
    /// How many confirmations make a complete subscription.
    subscriptions: usize,
}

impl Receiver {
    async fn run(mut self) {
        let to_end = self.to_end.clone();
        loop {
            let mut connection = self.dialer.open(self.negotiation.version());
            let failure = tokio::select! {
                failure = self.carry(&mut connection) => failure,
                () = to_end.closed() => return self.close(connection).await,
            };
            drop(connection);
            if to_end.is_closed() {
                return;
            }
            let next = self.failed(&failure).await;
            tokio::select! {
                () = tokio::time::sleep(next.pause) => {}
                () = to_end.closed() => return,
            }
        }
    }

    /// Carries frames until the connection ends.
    async fn carry(&mut self, connection: &mut Connection) -> Failure {
        let mut confirmed = 0;
        loop {
            match connection.next().await {
                Ok(Happening::Connected) => self.connected(&connection.client),
                Ok(Happening::Subscribed { topics, refusals }) => {
                    for code in refusals {
                        warn!(broker = %self.broker, code = %code, "broker refused a subscription");
                    }
                    confirmed += topics;
                    self.subscribed(confirmed).await;
                }
                Ok(Happening::Arrived { topic, payload }) => self.arrived(&topic, payload).await,
                Ok(Happening::Other) => {}
                Err(failure) => return failure,
            }
        }
    }

    /// Lets the sender finish, for a moment: frames are hints, also the last ones.
    async fn close(self, mut connection: Connection) {
        const GOODBYE_MAX: Duration = Duration::from_secs(1);
        let before = self.phase.send_replace(Phase::Closed);
        if matches!(before, Phase::Offline) {
            return;
        }
        let finish = async { while connection.next().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE_MAX, finish).await.is_err() {
            debug!(broker = %self.broker, "left the broker without its goodbye");
        }
    }

    fn connected(&mut self, client: &Client) {
        let mqtt = self.negotiation.version();
        info!(broker = %self.broker, mqtt = %mqtt, "connected to broker");
        self.negotiation.agreed();
        self.connections += 1;
        let phase = Phase::Connected(self.connections, client.clone());
        self.phase.send_replace(phase);
    }

    async fn failed(&mut self, failure: &Failure) -> Next {
        let mqtt = self.negotiation.version();
        let next = self.negotiation.failed(failure.cause);
        let (broker, why) = (&self.broker, &failure.why);
        match failure.cause {
            Cause::Unreachable | Cause::Lost => {
                warn!(broker = %broker, error = %why, "no connection to broker, trying again");
            }
            Cause::NoHandshake => {
                let next = next.version;
                warn!(broker = %broker, mqtt = %mqtt, error = %why, next = %next, "no MQTT handshake with broker, trying again");
            }
            Cause::Refused => {
                warn!(broker = %broker, mqtt = %mqtt, error = %why, "broker refuses the connection, trying again");
            }
        }
        let before = self.phase.send_replace(Phase::Offline);
        if matches!(before, Phase::Subscribed) {
            self.tell(Incoming::Down).await;
        }
        next
    }

    async fn subscribed(&mut self, confirmed: usize) {
        let is_waiting = matches!(*self.phase.borrow(), Phase::Connected(..));
        if is_waiting && confirmed >= self.subscriptions {
            self.phase.send_replace(Phase::Subscribed);
            self.tell(Incoming::Up).await;
        }
    }

    async fn arrived(&self, topic: &[u8], bytes: Bytes) {
        let channel = std::str::from_utf8(topic)
            .ok()
            .and_then(|topic| self.base.channel(topic));
        if let Some(channel) = channel {
            self.tell(Incoming::Frame { channel, bytes }).await;
        }
    }

    /// A full queue stops reading from the socket: that is the back-pressure.
    async fn tell(&self, incoming: Incoming) {
        if self.to_end.send(incoming).await.is_err() {
            debug!(broker = %self.broker, "nobody listens any more");
        }
    }
}
