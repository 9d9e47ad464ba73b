//! One connection to a broker, in whichever version: the joint between a link and two libraries.
//!
//! Every connection has a client of its own, so that what was meant for one connection is never
//! sent on the next, ahead of its subscriptions.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use rumqttc_v5::{NetworkOptions, QoS, TlsConfiguration, default_socket_connect};
use tokio::net::TcpStream;

use super::version::{Cause, Version};
use super::{Options, Scheme, TlsError, v5, v311};

/// Refusals that a person can do something about, in the same words for both versions.
pub(super) const BAD_PASSWORD: &str = "bad user name or password: check CLIENT_ID and CLIENT_KEY";
pub(super) const NOT_AUTHORIZED: &str = "not authorized: check CLIENT_ID and CLIENT_KEY";
pub(super) const BAD_CLIENT_ID: &str = "bad client id: check CLIENT_ID";

/// Makes connections to one broker.
pub(super) struct Dialer {
    options: Options,
    tls: Option<TlsConfiguration>,
    qos: QoS,
}

/// What a connection is made with. Both libraries take the same parts.
pub(super) struct Dial<'a> {
    pub(super) options: &'a Options,
    pub(super) tls: Option<TlsConfiguration>,
    pub(super) network: NetworkOptions,
    /// Told when TCP has succeeded.
    pub(super) reached: Reached,
}

/// Whether a TCP connection was made: a time-out does not say what it waited for.
#[derive(Clone, Default)]
pub(super) struct Reached(Arc<AtomicBool>);

/// What a connection says.
pub(super) enum Happening {
    /// The broker accepted the connection.
    Connected,
    /// The broker answered a subscription to some topics, and refused some of them.
    Subscribed {
        topics: usize,
        refusals: Vec<String>,
    },
    /// A message.
    Arrived { topic: Bytes, payload: Bytes },
    /// What needs no answer.
    Other,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) why: String,
}

/// The connection's writing end.
#[derive(Clone)]
pub(super) enum Client {
    V311(rumqttc_v4::AsyncClient, QoS),
    V5(rumqttc_v5::AsyncClient, QoS),
}

/// The connection itself; it goes on while it is polled.
pub(super) struct Connection {
    pub(super) client: Client,
    events: Events,
    reached: Reached,
    is_up: bool,
}

enum Events {
    V311(Box<rumqttc_v4::EventLoop>),
    V5(Box<rumqttc_v5::EventLoop>),
}

/// The connection of this client is no more.
#[derive(Debug, thiserror::Error)]
#[error("the connection is gone")]
pub(super) struct Gone;

impl Dialer {
    pub(super) fn new(options: &Options, qos: QoS) -> Result<Self, TlsError> {
        let tls = match options.address.scheme {
            Scheme::Plain => None,
            Scheme::Tls => Some(options.tls.configuration()?),
        };
        Ok(Self {
            options: options.clone(),
            tls,
            qos,
        })
    }

    /// A connection that begins when it is polled.
    pub(super) fn open(&self, version: Version) -> Connection {
        let mut network = NetworkOptions::new();
        // Without it every round trip waits for Nagle and a delayed acknowledgement: 40 ms.
        network.set_tcp_nodelay(true);
        let reached = Reached::default();
        let dial = Dial {
            options: &self.options,
            tls: self.tls.clone(),
            network,
            reached: reached.clone(),
        };
        let (client, events) = match version {
            Version::V311 => {
                let (client, events) = v311::open(dial);
                let events = Events::V311(Box::new(events));
                (Client::V311(client, self.qos), events)
            }
            Version::V5 => {
                let (client, events) = v5::open(dial);
                let events = Events::V5(Box::new(events));
                (Client::V5(client, self.qos), events)
            }
        };
        Connection {
            client,
            events,
            reached,
            is_up: false,
        }
    }
}

impl Connection {
    /// Waits for what happens next. After a failure the connection is not polled again.
    pub(super) async fn next(&mut self) -> Result<Happening, Failure> {
        let reached = &self.reached;
        let next = match &mut self.events {
            Events::V311(events) => match events.poll().await {
                Ok(event) => Ok(v311::happening(event)),
                Err(error) => Err(v311::failure(&error, reached)),
            },
            Events::V5(events) => match events.poll().await {
                Ok(event) => Ok(v5::happening(event)),
                Err(error) => Err(v5::failure(&error, reached)),
            },
        };
        self.is_up |= matches!(next, Ok(Happening::Connected));
        next.map_err(|failure| Failure {
            cause: if self.is_up {
                Cause::Lost
            } else {
                failure.cause
            },
            ..failure
        })
    }
}

impl Client {
    pub(super) async fn subscribe(&self, topic: String) -> Result<(), Gone> {
        match self {
            Self::V311(client, qos) => client.subscribe(topic, *qos).await.map_err(|_| Gone),
            Self::V5(client, qos) => client.subscribe(topic, *qos).await.map_err(|_| Gone),
        }
    }

    pub(super) async fn publish(&self, topic: String, payload: Bytes) -> Result<(), Gone> {
        match self {
            Self::V311(client, qos) => {
                let options = rumqttc_v4::PublishOptions::new(*qos);
                let sent = client.publish(topic, payload, options).await;
                sent.map_err(|_| Gone)
            }
            Self::V5(client, qos) => {
                let options = rumqttc_v5::PublishOptions::new(*qos);
                let sent = client.publish(topic, payload, options).await;
                sent.map_err(|_| Gone)
            }
        }
    }

    pub(super) async fn disconnect(&self) -> Result<(), Gone> {
        match self {
            Self::V311(client, _) => client.disconnect().await.map_err(|_| Gone),
            Self::V5(client, _) => client.disconnect().await.map_err(|_| Gone),
        }
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, why: impl ToString) -> Self {
        Self {
            cause,
            why: why.to_string(),
        }
    }
}

impl Reached {
    /// What a time-out means.
    pub(super) fn timed_out(&self) -> Cause {
        if self.0.load(Relaxed) {
            Cause::NoHandshake
        } else {
            Cause::Unreachable
        }
    }

    pub(super) async fn connect(
        self,
        host: String,
        network: NetworkOptions,
    ) -> io::Result<TcpStream> {
        let stream = default_socket_connect(host, network).await?;
        self.0.store(true, Relaxed);
        Ok(stream)
    }
}

/// What an error on the socket means. A peer that does not like our certificate says so in an
/// alert, which with TLS 1.3 arrives when MQTT already waits for its answer.
pub(super) fn of_socket(error: &io::Error) -> Cause {
    let is_tls = error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls {
        Cause::Unreachable
    } else {
        Cause::NoHandshake
    }
}
