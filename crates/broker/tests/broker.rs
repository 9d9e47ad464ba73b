//! What the broker carries, what it refuses, and that it leaves nothing behind.
#![cfg(test)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use propeller_broker::{Broker, Options, StartError, start};
use rumqttc_v5::{
    AsyncClient, ConnectionError, Event, EventLoop, IncomingPacketSizeLimit, MqttOptions, Packet,
    PubAckReason, PublishOptions, QoS, SubscribeReasonCode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Everything here takes milliseconds; this much is only for a machine that is busy elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);

fn options(listen: SocketAddr) -> Options {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
    Options::new(listen)
}

async fn broker() -> Broker {
    start(options(([127, 0, 0, 1], 0).into())).await.unwrap()
}

/// A broker on a port that nobody else takes when it is free: systems choose ports from 32,768 on
/// for whoever connects or does not care.
async fn broker_on_a_quiet_port() -> Broker {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(22_000);
    loop {
        let address = ([127, 0, 0, 1], NEXT_PORT.fetch_add(1, Relaxed)).into();
        match start(options(address)).await {
            Ok(broker) => return broker,
            Err(StartError::PortInUse { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

struct Client {
    client: AsyncClient,
    events: EventLoop,
}

impl Client {
    async fn connect(broker: &Broker, id: &str) -> Self {
        let address = broker.address();
        let mut mqtt = MqttOptions::new(id, (address.ip().to_string(), address.port()));
        mqtt.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Unlimited);
        let (client, events) = AsyncClient::builder(mqtt).capacity(10).build();
        let mut client = Self { client, events };
        client
            .until(|p| matches!(p, Packet::ConnAck(_)).then_some(()))
            .await;
        client
    }

    async fn until<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.unwrap()
                    && let Some(found) = wanted(&packet)
                {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap()
    }

    async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .unwrap();
        self.until(|p| match p {
            Packet::SubAck(ack) => Some(ack.return_codes[0]),
            _ => None,
        })
        .await
    }

    async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> PubAckReason {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(topic, payload, options).await.unwrap();
        self.until(|p| match p {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    async fn message(&mut self) -> Vec<u8> {
        self.until(|p| match p {
            Packet::Publish(publish) => Some(publish.payload.to_vec()),
            _ => None,
        })
        .await
    }

    async fn end(mut self) -> ConnectionError {
        let search = async {
            loop {
                if let Err(error) = self.events.poll().await {
                    return error;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap()
    }
}

#[tokio::test]
async fn two_clients_exchange_messages() {
    let broker = broker().await;
    let mut ann = Client::connect(&broker, "ann").await;
    let mut ben = Client::connect(&broker, "ben").await;
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    assert_eq!(ann.subscribe("m/d/c/ch/to/ann").await, granted);
    assert_eq!(ben.subscribe("m/+/c/ch/#").await, granted);
    let large = vec![7; 5_000_000];
    assert_eq!(
        ann.publish("m/d/c/ch/to/ben", large.clone()).await,
        PubAckReason::Success
    );
    assert_eq!(ben.message().await, large);
    ben.publish("m/d/c/ch/to/ann", b"thanks".to_vec()).await;
    assert_eq!(ann.message().await, b"thanks");
    broker.stop().await;
    assert!(
        !Path::new("mqtt_storage").exists(),
        "the broker wrote to the disk"
    );
}

#[tokio::test]
async fn a_filter_or_topic_that_may_leave_m_is_refused() {
    let broker = broker().await;
    let mut client = Client::connect(&broker, "eve").await;
    for filter in ["#", "+/x", "+/#", "$SYS/#", "secret/x"] {
        let code = client.subscribe(filter).await;
        assert_eq!(code, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    assert_eq!(
        client.publish("secret/x", b"x".to_vec()).await,
        PubAckReason::NotAuthorized
    );
    let long = format!("m/{}", "x".repeat(300));
    assert_eq!(
        client.publish(&long, b"x".to_vec()).await,
        PubAckReason::NotAuthorized
    );
    assert_eq!(
        client.publish("m/x", b"x".to_vec()).await,
        PubAckReason::Success
    );
    broker.stop().await;
}

/// CONNECT of MQTT 5 with a clean start and the client id `raw`.
const CONNECT: &[u8] = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03raw";
/// The head of a PUBLISH of QoS 0 that says it is 100,000,000 bytes long.
const HUGE_PUBLISH: &[u8] = b"\x30\x80\xc2\xd7\x2f\x00\x03m/x\x00";

#[tokio::test]
async fn whoever_sends_an_oversized_packet_is_disconnected_alone() {
    let broker = broker().await;
    let mut ann = Client::connect(&broker, "ann").await;
    ann.subscribe("m/x").await;
    let mut raw = TcpStream::connect(broker.address()).await.unwrap();
    raw.write_all(CONNECT).await.unwrap();
    let mut head = [0; 2];
    raw.read_exact(&mut head).await.unwrap();
    assert_eq!(head[0], 0x20, "CONNACK");
    raw.write_all(HUGE_PUBLISH).await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, raw.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection goes on");
    let mut ben = Client::connect(&broker, "ben").await;
    ben.publish("m/x", b"still here".to_vec()).await;
    assert_eq!(ann.message().await, b"still here");
    broker.stop().await;
}

#[tokio::test]
async fn stopping_disconnects_clients_and_frees_the_port() {
    let broker = broker_on_a_quiet_port().await;
    let address = broker.address();
    let client = Client::connect(&broker, "ann").await;
    broker.stop().await;
    client.end().await;
    let again = start(options(address)).await.unwrap();
    assert_eq!(again.address(), address);
    again.stop().await;
}

#[tokio::test]
async fn dropping_is_stopping() {
    let broker = broker_on_a_quiet_port().await;
    let address = broker.address();
    let client = Client::connect(&broker, "ann").await;
    drop(broker);
    client.end().await;
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    start(options(address)).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    let error = start(options(address)).await.unwrap_err();
    assert!(matches!(error, StartError::PortInUse { .. }), "{error:?}");
    let expected = format!("{address} is in use: stop what listens there, or choose another port");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_address_of_somebody_else_is_refused() {
    // TEST-NET-1 of RFC 5737 belongs to no machine.
    let error = start(options("192.0.2.1:0".parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot listen on 192.0.2.1:0");
}
