//! A [`Link`] over an MQTT 5 broker.
//!
//! Subscriptions are made anew after every connection, and nothing queued is sent before the
//! broker has confirmed them: an answer to a frame must find its reader.

mod address;
mod tls;

use std::fmt;
use std::time::Duration;

use rumqttc::{
    AsyncClient, Event, EventLoop, IncomingPacketSizeLimit, MqttOptions, NetworkOptions, Packet,
    PublishOptions, QoS, SubscribeReasonCode, Transport,
};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::channel::Base;
use crate::link::{Carry, INCOMING_MAX, Incoming, Link, Listen, OUTGOING_MAX, Outgoing};

pub use address::{Address, AddressError, Scheme};
pub use tls::{TlsError, TlsFiles};

/// Publishes that wait inside the client: enough to fill one write, few enough to lose.
const REQUESTS_MAX: usize = 256;
/// Unacknowledged publishes. Debian's mosquitto 2.0.11 queues no more than this per client at
/// once by default, and a broker that is asked for more only holds them longer.
const INFLIGHT_MAX: u16 = 100;
/// First pause after a failed connection; it doubles up to [`RECONNECT_MAX`].
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// How to reach a broker.
#[derive(Clone)]
pub struct Options {
    /// The broker.
    pub address: Address,
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
    let mqtt = mqtt_options(options).map_err(ConnectError::Tls)?;
    let (client, events) = AsyncClient::builder(mqtt).capacity(REQUESTS_MAX).build();
    let (outgoing, from_end) = mpsc::channel(OUTGOING_MAX);
    let (to_end, incoming) = mpsc::channel(INCOMING_MAX);
    let (phase, phases) = watch::channel(Phase::Offline);
    let subscriptions = listen.channels().len();
    let sender = Sender {
        client,
        base: options.base.clone(),
        listen,
        qos,
        from_end,
        phases,
    };
    let receiver = Receiver {
        events,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offline,
    /// Which connection this is: the sender may be busy while one ends and the next begins.
    Connected(u64),
    Subscribed,
    Closed,
}

struct Sender {
    client: AsyncClient,
    base: Base,
    listen: Listen,
    qos: QoS,
    from_end: mpsc::Receiver<Outgoing>,
    phases: watch::Receiver<Phase>,
}

impl Sender {
    async fn run(mut self) {
        let mut subscribed_in = 0;
        loop {
            let phase = *self.phases.borrow_and_update();
            match phase {
                Phase::Closed => break,
                Phase::Connected(connection) if connection != subscribed_in => {
                    subscribed_in = connection;
                    self.subscribe().await;
                    continue;
                }
                Phase::Offline | Phase::Connected(_) | Phase::Subscribed => {}
            }
            tokio::select! {
                biased;
                changed = self.phases.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                frame = self.from_end.recv(), if phase == Phase::Subscribed => {
                    let Some(frame) = frame else { break };
                    self.publish(frame).await;
                }
            }
        }
        while let Ok(frame) = self.from_end.try_recv() {
            self.publish(frame).await;
        }
        if let Err(error) = self.client.disconnect().await {
            debug!(error = %error, "the connection was gone before its goodbye");
        }
    }

    async fn subscribe(&self) {
        for channel in self.listen.channels() {
            let topic = self.base.topic(&channel);
            if let Err(error) = self.client.subscribe(topic, self.qos).await {
                warn!(error = %error, "cannot subscribe");
            }
        }
    }

    async fn publish(&self, frame: Outgoing) {
        let topic = self.base.topic(&frame.channel);
        let options = PublishOptions::new(self.qos);
        if let Err(error) = self.client.publish(topic, frame.bytes, options).await {
            warn!(error = %error, "cannot publish");
        }
    }
}

struct Receiver {
    events: EventLoop,
    base: Base,
    broker: String,
    to_end: mpsc::Sender<Incoming>,
    phase: watch::Sender<Phase>,
    /// How many confirmations make a complete subscription.
    subscriptions: usize,
}

impl Receiver {
    async fn run(mut self) {
        let mut pause = RECONNECT_MIN;
        let mut confirmed = 0;
        let mut connection = 0;
        let to_end = self.to_end.clone();
        loop {
            let event = tokio::select! {
                event = self.events.poll() => event,
                () = to_end.closed() => return self.close().await,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    info!(broker = %self.broker, "connected to broker");
                    pause = RECONNECT_MIN;
                    confirmed = 0;
                    connection += 1;
                    self.phase.send_replace(Phase::Connected(connection));
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    confirmed += self.confirmed(&ack);
                    self.subscribed(confirmed).await;
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => self.arrived(publish).await,
                Ok(_) => {}
                Err(_) if to_end.is_closed() => return,
                Err(error) => {
                    self.lost(&error).await;
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = to_end.closed() => return self.close().await,
                    }
                    pause = (pause * 2).min(RECONNECT_MAX);
                }
            }
        }
    }

    /// Lets the sender finish, for a moment: frames are hints, also the last ones.
    async fn close(mut self) {
        const GOODBYE_MAX: Duration = Duration::from_secs(1);
        self.phase.send_replace(Phase::Closed);
        let finish = async { while self.events.poll().await.is_ok() {} };
        if tokio::time::timeout(GOODBYE_MAX, finish).await.is_err() {
            debug!(broker = %self.broker, "left the broker without its goodbye");
        }
    }

    async fn lost(&self, error: &rumqttc::ConnectionError) {
        warn!(broker = %self.broker, error = %error, "no connection to broker, trying again");
        let before = self.phase.send_replace(Phase::Offline);
        if before == Phase::Subscribed {
            self.tell(Incoming::Down).await;
        }
    }

    /// How many subscriptions this acknowledgement confirms.
    fn confirmed(&self, ack: &rumqttc::SubAck) -> usize {
        for code in &ack.return_codes {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                warn!(broker = %self.broker, code = ?code, "broker refused a subscription");
            }
        }
        ack.return_codes.len()
    }

    async fn subscribed(&mut self, confirmed: usize) {
        let is_waiting = matches!(*self.phase.borrow(), Phase::Connected(_));
        if is_waiting && confirmed >= self.subscriptions {
            self.phase.send_replace(Phase::Subscribed);
            self.tell(Incoming::Up).await;
        }
    }

    async fn arrived(&self, publish: rumqttc::Publish) {
        let channel = std::str::from_utf8(&publish.topic)
            .ok()
            .and_then(|topic| self.base.channel(topic));
        if let Some(channel) = channel {
            let frame = Incoming::Frame {
                channel,
                bytes: publish.payload,
            };
            self.tell(frame).await;
        }
    }

    /// A full queue stops reading from the socket: that is the back-pressure.
    async fn tell(&self, incoming: Incoming) {
        if self.to_end.send(incoming).await.is_err() {
            debug!(broker = %self.broker, "nobody listens any more");
        }
    }
}

fn mqtt_options(options: &Options) -> Result<MqttOptions, TlsError> {
    let target = (options.address.host.as_str(), options.address.port);
    let mut mqtt = MqttOptions::new(options.client_id.clone(), target);
    if options.address.scheme == Scheme::Tls {
        mqtt.set_transport(Transport::Tls(options.tls.configuration()?));
    }
    if let Some((user, password)) = &options.credentials {
        mqtt.set_credentials(user.clone(), password.clone().into_bytes());
    }
    let seconds = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
    mqtt.set_keep_alive(seconds);
    let mut network = NetworkOptions::new();
    // Without it every round trip waits for Nagle and a delayed acknowledgement: 40 ms.
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    mqtt.set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
    // Last, because every other connect property resets it to 10 KiB.
    mqtt.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(options.packet_len_max));
    Ok(mqtt)
}
