//! A link over real brokers: frames flow both ways, and again after the broker was away.
#![cfg(test)]

mod brokers;
mod versions;

use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use brokers::{Broker, EMBEDDED, Kind};
use bytes::Bytes;
use propeller_model::PropletId;
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::mqtt::{self, Address, Options, Queues, Scheme, TlsFiles, Version, Versions};
use propeller_wire::{Base, Channel};
use tokio::task::JoinSet;

/// Everything here takes milliseconds; this much is only for a machine that is busy elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);

fn edge() -> PropletId {
    "edge-1".parse().unwrap()
}

fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
}

/// MQTT 5 with all brokers here but one.
const AUTO: Versions = Versions::Auto;
const V311: Versions = Versions::Only(Version::V311);

struct End {
    link: Link,
    tasks: JoinSet<()>,
}

impl End {
    fn new(broker: &Broker, versions: Versions, listen: Listen) -> Self {
        Self::at(broker.address, versions, listen)
    }

    fn at(broker: SocketAddr, versions: Versions, listen: Listen) -> Self {
        let options = Options {
            address: Address {
                scheme: Scheme::Plain,
                host: broker.ip().to_string(),
                port: broker.port(),
            },
            versions,
            base: Base::new("d", "ch").unwrap(),
            client_id: match &listen {
                Listen::AsManager => "manager-1".to_owned(),
                Listen::AsProplet(proplet) => proplet.to_string(),
                Listen::AsProxy => "proxy-1".to_owned(),
            },
            credentials: None,
            tls: TlsFiles::default(),
            qos: 1,
            keep_alive: Duration::from_secs(30),
            packet_len_max: 12 * 1024 * 1024,
            queues: Queues::default(),
        };
        let (link, carry) = mqtt::connect(&options, listen).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(carry);
        Self { link, tasks }
    }

    fn send(&self, channel: Channel, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.link
            .outgoing
            .try_send(Outgoing { channel, bytes })
            .unwrap();
    }

    async fn next(&mut self) -> Incoming {
        let next = tokio::time::timeout(PATIENCE, self.link.incoming.recv()).await;
        next.expect("nothing happens").expect("the link is there")
    }

    /// Waits for the connection to be up or down; frames in between do not count.
    async fn is(&mut self, state: Incoming) {
        while self.next().await != state {}
    }

    async fn hears(&mut self, channel: &Channel, bytes: &[u8]) {
        match self.next().await {
            Incoming::Frame {
                channel: on,
                bytes: heard,
            } => {
                assert_eq!(on, *channel);
                assert!(
                    heard == bytes,
                    "{} bytes and not {}",
                    heard.len(),
                    bytes.len()
                );
            }
            other => panic!("{other:?}"),
        }
    }

    /// Drops the link and waits for the end of what carried its frames.
    async fn leave(mut self) {
        drop(self.link);
        let end = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await;
        end.expect("it goes on without its link").unwrap().unwrap();
    }
}

/// A broker of this kind with a manager and a proplet that are up, unless the machine has none.
async fn setting(kind: Kind, versions: Versions) -> Option<(Broker, End, End)> {
    install_provider();
    let broker = Broker::start(kind).await?;
    let mut manager = End::new(&broker, versions, Listen::AsManager);
    let mut proplet = End::new(&broker, versions, Listen::AsProplet(edge()));
    manager.is(Incoming::Up).await;
    proplet.is(Incoming::Up).await;
    Some((broker, manager, proplet))
}

async fn they_talk(manager: &mut End, proplet: &mut End) {
    let neighbour = Channel::StartTo("edge-2".parse().unwrap());
    manager.send(neighbour, &b"not for you"[..]);
    for channel in [
        Channel::Start,
        Channel::StartTo(edge()),
        Channel::StopTo(edge()),
    ] {
        manager.send(channel.clone(), &b"from the manager"[..]);
        proplet.hears(&channel, b"from the manager").await;
    }
    for channel in [Channel::Create, Channel::Alive, Channel::Results] {
        proplet.send(channel.clone(), &b"from the proplet"[..]);
        manager.hears(&channel, b"from the proplet").await;
    }
}

async fn frames_flow(kind: Kind, versions: Versions) {
    let Some((_broker, mut manager, mut proplet)) = setting(kind, versions).await else {
        return;
    };
    they_talk(&mut manager, &mut proplet).await;
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    proplet.send(Channel::Results, large.clone());
    manager.hears(&Channel::Results, &large).await;
    for number in 0..1000_u32 {
        manager.send(Channel::StartTo(edge()), number.to_be_bytes().to_vec());
    }
    for number in 0..1000_u32 {
        proplet
            .hears(&Channel::StartTo(edge()), &number.to_be_bytes())
            .await;
    }
    manager.leave().await;
    proplet.leave().await;
}

async fn a_broker_comes_back(kind: Kind, versions: Versions) {
    let Some((mut broker, mut manager, mut proplet)) = setting(kind, versions).await else {
        return;
    };
    for _ in 0..3 {
        let grave = broker.kill().await;
        manager.is(Incoming::Down).await;
        proplet.is(Incoming::Down).await;
        broker = grave.revive().await;
        manager.is(Incoming::Up).await;
        proplet.is(Incoming::Up).await;
        they_talk(&mut manager, &mut proplet).await;
    }
}

/// More is under way than the client holds when the broker goes.
async fn a_broker_comes_back_under_load(kind: Kind, versions: Versions) {
    const LOAD: usize = 4000;
    let Some((broker, mut manager, proplet)) = setting(kind, versions).await else {
        return;
    };
    for _ in 0..LOAD {
        proplet.send(Channel::Results, vec![7; 10_000]);
    }
    let grave = broker.kill().await;
    manager.is(Incoming::Down).await;
    let broker = grave.revive().await;
    manager.is(Incoming::Up).await;
    let heard = said_until_heard(&proplet, &mut manager, b"the last");
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.expect("nothing of what is said is heard");
    drop(broker);
}

/// A frame is a hint: it may go down with the old connection, or find the broker's queue full of
/// the load. So it is said again, as whatever sends one here does.
async fn said_until_heard(proplet: &End, manager: &mut End, words: &'static [u8]) {
    let channel = Channel::Alive;
    let bytes = Bytes::from_static(words);
    let frame = Incoming::Frame {
        channel: channel.clone(),
        bytes: bytes.clone(),
    };
    let mut again = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            heard = manager.next() => if heard == frame { return },
            _ = again.tick() => {
                let (channel, bytes) = (channel.clone(), bytes.clone());
                // A link that is full of the load takes it later.
                proplet.link.outgoing.try_send(Outgoing { channel, bytes }).ok();
            }
        }
    }
}

async fn a_link_that_is_dropped_ends(kind: Kind, versions: Versions) {
    let Some((broker, manager, proplet)) = setting(kind, versions).await else {
        return;
    };
    manager.leave().await;
    let grave = broker.kill().await;
    proplet.leave().await;
    let broker = grave.revive().await;
    End::new(&broker, versions, Listen::AsManager).leave().await;
}

async fn a_frame_is_too_large(versions: Versions) {
    let small_packets = Kind::Embedded {
        packet_len_max: 100_000,
    };
    let Some((_broker, mut manager, mut proplet)) = setting(small_packets, versions).await else {
        return;
    };
    proplet.send(Channel::Results, vec![7; 200_000]);
    proplet.send(Channel::Results, &b"small"[..]);
    loop {
        tokio::select! {
            heard = manager.next() => {
                let bytes = Bytes::from_static(b"small");
                assert_eq!(heard, Incoming::Frame { channel: Channel::Results, bytes });
                break;
            }
            told = proplet.next() => {
                if told == Incoming::Up {
                    proplet.send(Channel::Results, &b"small"[..]);
                }
            }
        }
    }
}

#[tokio::test]
async fn frames_flow_over_our_broker() {
    frames_flow(EMBEDDED, AUTO).await;
}

#[tokio::test]
async fn frames_flow_over_mosquitto() {
    frames_flow(Kind::Mosquitto, AUTO).await;
}

#[tokio::test]
async fn frames_flow_over_our_broker_by_3_1_1() {
    frames_flow(EMBEDDED, V311).await;
}

#[tokio::test]
async fn frames_flow_over_mosquitto_by_3_1_1() {
    frames_flow(Kind::Mosquitto, V311).await;
}

#[tokio::test]
async fn frames_flow_over_a_broker_that_knows_only_3_1_1() {
    frames_flow(Kind::Amqtt, AUTO).await;
}

#[tokio::test]
async fn frames_flow_again_after_our_broker_was_away() {
    a_broker_comes_back(EMBEDDED, AUTO).await;
}

#[tokio::test]
async fn frames_flow_again_after_mosquitto_was_away() {
    a_broker_comes_back(Kind::Mosquitto, AUTO).await;
}

#[tokio::test]
async fn frames_flow_again_after_our_broker_was_away_by_3_1_1() {
    a_broker_comes_back(EMBEDDED, V311).await;
}

#[tokio::test]
async fn frames_flow_again_after_mosquitto_was_away_by_3_1_1() {
    a_broker_comes_back(Kind::Mosquitto, V311).await;
}

#[tokio::test]
async fn frames_flow_again_after_a_broker_that_knows_only_3_1_1_was_away() {
    a_broker_comes_back(Kind::Amqtt, AUTO).await;
}

#[tokio::test]
async fn a_busy_link_survives_the_death_of_our_broker() {
    a_broker_comes_back_under_load(EMBEDDED, AUTO).await;
}

#[tokio::test]
async fn a_busy_link_survives_the_death_of_mosquitto() {
    a_broker_comes_back_under_load(Kind::Mosquitto, AUTO).await;
}

#[tokio::test]
async fn a_busy_link_survives_the_death_of_our_broker_by_3_1_1() {
    a_broker_comes_back_under_load(EMBEDDED, V311).await;
}

#[tokio::test]
async fn a_busy_link_survives_the_death_of_mosquitto_by_3_1_1() {
    a_broker_comes_back_under_load(Kind::Mosquitto, V311).await;
}

#[tokio::test]
async fn a_busy_link_survives_the_death_of_a_broker_that_knows_only_3_1_1() {
    a_broker_comes_back_under_load(Kind::Amqtt, AUTO).await;
}

#[tokio::test]
async fn a_dropped_link_leaves_our_broker() {
    a_link_that_is_dropped_ends(EMBEDDED, AUTO).await;
}

#[tokio::test]
async fn a_dropped_link_leaves_mosquitto() {
    a_link_that_is_dropped_ends(Kind::Mosquitto, AUTO).await;
}

#[tokio::test]
async fn a_dropped_link_leaves_our_broker_by_3_1_1() {
    a_link_that_is_dropped_ends(EMBEDDED, V311).await;
}

#[tokio::test]
async fn a_dropped_link_leaves_mosquitto_by_3_1_1() {
    a_link_that_is_dropped_ends(Kind::Mosquitto, V311).await;
}

#[tokio::test]
async fn a_dropped_link_leaves_a_broker_that_knows_only_3_1_1() {
    a_link_that_is_dropped_ends(Kind::Amqtt, AUTO).await;
}

#[tokio::test]
async fn a_frame_that_the_broker_does_not_take_costs_nothing_but_itself() {
    a_frame_is_too_large(AUTO).await;
}

#[tokio::test]
async fn a_frame_that_the_broker_does_not_take_by_3_1_1_costs_nothing_but_itself() {
    a_frame_is_too_large(V311).await;
}
