//! Which version a link speaks, seen from the broker: each test is one, byte by byte.

use propeller_wire::link::{Incoming, Listen};
use propeller_wire::mqtt::Versions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{AUTO, End, PATIENCE, V311, edge};

/// Protocol levels, as CONNECT has them.
const LEVEL_311: u8 = 4;
const LEVEL_5: u8 = 5;

const SUBSCRIBE: u8 = 0x82;
const ACCEPTED_311: &[u8] = &[0x20, 2, 0, 0];
const WRONG_VERSION_311: &[u8] = &[0x20, 2, 0, 1];
const NOT_AUTHORIZED_311: &[u8] = &[0x20, 2, 0, 5];
const WRONG_VERSION_5: &[u8] = &[0x20, 3, 0, 0x84, 0];
const BAD_PASSWORD_5: &[u8] = &[0x20, 3, 0, 0x86, 0];

/// A broker that does what the test says.
struct Puppet(TcpListener);

struct Guest(TcpStream);

impl Puppet {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn proplet(&self, versions: Versions) -> End {
        End::at(
            self.0.local_addr().unwrap(),
            versions,
            Listen::AsProplet(edge()),
        )
    }

    /// The next connection, if its CONNECT is of this level.
    async fn expect(&self, level: u8) -> Guest {
        let accepted = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        let (stream, _) = accepted.expect("nobody comes").unwrap();
        let mut guest = Guest(stream);
        let (kind, body) = guest.packet().await;
        assert_eq!((kind, &body[..6]), (0x10, &b"\0\x04MQTT"[..]));
        assert_eq!(body[6], level);
        guest
    }

    /// Answers the CONNECT of this level and hangs up.
    async fn turn_away(&self, level: u8, answer: &[u8]) {
        self.expect(level).await.say(answer).await;
    }
}

impl Guest {
    /// The first byte and what the header announces.
    async fn packet(&mut self) -> (u8, Vec<u8>) {
        let kind = self.0.read_u8().await.unwrap();
        let length = self.0.read_u8().await.unwrap();
        assert!(length < 128, "a longer packet than any that is sent here");
        let mut body = vec![0; usize::from(length)];
        self.0.read_exact(&mut body).await.unwrap();
        (kind, body)
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Answers the six subscriptions of a proplet.
    async fn subscribe(&mut self, code: u8) {
        for _ in 0..6 {
            let (kind, body) = self.packet().await;
            assert_eq!(kind, SUBSCRIBE);
            self.say(&[0x90, 3, body[0], body[1], code]).await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_does_not_understand_mqtt_5_is_spoken_to_in_3_1_1_from_then_on() {
    let hangs_up: &[u8] = &[];
    for answer in [
        hangs_up,
        WRONG_VERSION_311,
        WRONG_VERSION_5,
        NOT_AUTHORIZED_311,
    ] {
        let puppet = Puppet::new().await;
        let mut proplet = puppet.proplet(AUTO);
        puppet.turn_away(LEVEL_5, answer).await;
        for _ in 0..2 {
            let mut guest = puppet.expect(LEVEL_311).await;
            guest.say(ACCEPTED_311).await;
            guest.subscribe(1).await;
            proplet.is(Incoming::Up).await;
            drop(guest);
            proplet.is(Incoming::Down).await;
        }
    }
}

#[tokio::test]
async fn versions_take_turns_until_one_is_understood() {
    let puppet = Puppet::new().await;
    let _proplet = puppet.proplet(AUTO);
    for level in [LEVEL_5, LEVEL_311, LEVEL_5, LEVEL_311] {
        puppet.turn_away(level, &[]).await;
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_version() {
    let puppet = Puppet::new().await;
    let _proplet = puppet.proplet(AUTO);
    for _ in 0..3 {
        puppet.turn_away(LEVEL_5, BAD_PASSWORD_5).await;
    }
    puppet.turn_away(LEVEL_5, &[]).await;
    for _ in 0..3 {
        puppet.turn_away(LEVEL_311, NOT_AUTHORIZED_311).await;
    }
}

#[tokio::test]
async fn a_version_that_was_set_is_the_only_one_tried() {
    let puppet = Puppet::new().await;
    let _proplet = puppet.proplet(V311);
    for answer in [&[][..], WRONG_VERSION_311, WRONG_VERSION_5] {
        puppet.turn_away(LEVEL_311, answer).await;
    }
}

#[tokio::test]
async fn a_refused_subscription_in_3_1_1_does_not_hold_the_others_up() {
    let puppet = Puppet::new().await;
    let mut proplet = puppet.proplet(V311);
    let mut guest = puppet.expect(LEVEL_311).await;
    guest.say(ACCEPTED_311).await;
    guest.subscribe(0x80).await;
    proplet.is(Incoming::Up).await;
}
