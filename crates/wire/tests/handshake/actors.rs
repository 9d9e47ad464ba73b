//! A desk, a caller and what they say: the vocabulary of the stories.

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::PropletId;
use propeller_wire::frame::Nonce;
use propeller_wire::message::{Beat, FromProplet, Heartbeat, ToProplet, Vitals};
use propeller_wire::{Caller, Channel, Desk, Heard, KeyMatch, Letter, Received};

pub(crate) fn name(text: &str) -> PropletId {
    text.parse().unwrap()
}

pub(crate) fn key(seed: u8) -> WorkloadKey {
    WorkloadKey::from_bytes([seed; 32])
}

/// A ring that seals with the first of these keys and opens with all.
pub(crate) fn ring(seeds: &[u8]) -> Keyring {
    let opening = seeds[1..].iter().map(|seed| key(*seed));
    Keyring::with_opening(key(seeds[0]), opening).unwrap()
}

pub(crate) fn desk(seeds: &[u8]) -> Desk {
    Desk::new(name("manager-1"), ring(seeds))
}

pub(crate) fn caller(seeds: &[u8]) -> Caller {
    Caller::new(name("edge-1"), ring(seeds))
}

/// A proplet's fresh nonce and a manager's; both are told apart by their number.
pub(crate) fn proplets(number: u8) -> Nonce {
    [number; 32]
}

pub(crate) fn managers(number: u8) -> Nonce {
    [100 + number; 32]
}

pub(crate) fn heartbeat(number: u64) -> FromProplet {
    FromProplet::Heartbeat(Heartbeat {
        number,
        holds: vec![],
        vitals: Vitals::default(),
    })
}

pub(crate) fn beat(number: u64) -> ToProplet {
    ToProplet::Beat(Beat {
        number,
        void: vec![],
    })
}

pub(crate) fn to_edge() -> Channel {
    Channel::StartTo(name("edge-1"))
}

/// What a broker saw of one handshake.
pub(crate) struct Handshake {
    pub(crate) announce: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) hello: (Channel, Vec<u8>),
    pub(crate) welcome: Letter,
}

#[track_caller]
pub(crate) fn announced(desk: &mut Desk, frame: &[u8], nonce: Nonce) -> (KeyMatch, Vec<u8>) {
    match desk.receive(&Channel::Create, frame, nonce) {
        Received::Announced {
            proplet,
            key,
            answer,
        } => {
            assert_eq!(proplet, name("edge-1"));
            (key, answer)
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn connect(desk: &mut Desk, caller: &mut Caller, number: u8) -> Handshake {
    let announce = caller.announce(proplets(number));
    let (_, answer) = announced(desk, &announce, managers(number));
    assert!(matches!(
        caller.receive(&to_edge(), &answer),
        Heard::Offered
    ));
    let hello = caller.seal_hello(&heartbeat(0)).unwrap();
    desk_hears(desk, &hello, 0);
    let welcome = desk.seal(&name("edge-1"), &beat(0)).unwrap();
    caller_hears(caller, &welcome, 0);
    assert!(desk.is_connected(&name("edge-1")) && caller.is_connected());
    Handshake {
        announce,
        answer,
        hello,
        welcome,
    }
}

#[track_caller]
pub(crate) fn desk_hears(desk: &mut Desk, (channel, frame): &(Channel, Vec<u8>), number: u64) {
    match desk.receive(channel, frame, managers(99)) {
        Received::Said { message, .. } => assert_eq!(message, heartbeat(number)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn caller_hears(caller: &mut Caller, letter: &Letter, number: u64) {
    match caller.receive(&letter.channel, &letter.frame) {
        Heard::Said(message) => assert_eq!(message, beat(number)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn desk_drops(desk: &mut Desk, channel: &Channel, frame: &[u8]) {
    let received = desk.receive(channel, frame, managers(98));
    assert!(matches!(received, Received::Dropped(_)), "{received:?}");
}

#[track_caller]
pub(crate) fn caller_drops(caller: &mut Caller, channel: &Channel, frame: &[u8]) {
    let heard = caller.receive(channel, frame);
    assert!(matches!(heard, Heard::Dropped(_)), "{heard:?}");
}

/// Both still talk in the session they have.
#[track_caller]
pub(crate) fn they_talk(desk: &mut Desk, caller: &mut Caller) {
    desk_hears(desk, &caller.seal(&heartbeat(7)).unwrap(), 7);
    caller_hears(caller, &desk.seal(&name("edge-1"), &beat(8)).unwrap(), 8);
}
