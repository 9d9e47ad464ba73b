//! The handshake, told as stories between a desk, a caller and whoever sits in between.
#![cfg(test)]

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::{AttemptId, PropletId, TaskId};
use propeller_wire::frame::{Announce, Frame, Nonce, Reject, solicit};
use propeller_wire::message::{Beat, FromProplet, Heartbeat, ToProplet, Vitals};
use propeller_wire::{Caller, Channel, Desk, Heard, KeyMatch, Letter, Received};
use uuid::Uuid;

fn name(text: &str) -> PropletId {
    text.parse().unwrap()
}

fn key(seed: u8) -> WorkloadKey {
    WorkloadKey::from_bytes([seed; 32])
}

/// A ring that seals with the first of these keys and opens with all.
fn ring(seeds: &[u8]) -> Keyring {
    let opening = seeds[1..].iter().map(|seed| key(*seed));
    Keyring::with_opening(key(seeds[0]), opening).unwrap()
}

fn desk(seeds: &[u8]) -> Desk {
    Desk::new(name("manager-1"), ring(seeds))
}

fn caller(seeds: &[u8]) -> Caller {
    Caller::new(name("edge-1"), ring(seeds))
}

/// A proplet's fresh nonce and a manager's; both are told apart by their number.
fn proplets(number: u8) -> Nonce {
    [number; 32]
}

fn managers(number: u8) -> Nonce {
    [100 + number; 32]
}

fn heartbeat(number: u64) -> FromProplet {
    FromProplet::Heartbeat(Heartbeat { number, holds: vec![], vitals: Vitals::default() })
}

fn beat(number: u64) -> ToProplet {
    ToProplet::Beat(Beat { number, void: vec![] })
}

fn to_edge() -> Channel {
    Channel::StartTo(name("edge-1"))
}

/// What a broker saw of one handshake.
struct Handshake {
    announce: Vec<u8>,
    answer: Vec<u8>,
    hello: (Channel, Vec<u8>),
    welcome: Letter,
}

#[track_caller]
fn announced(desk: &mut Desk, frame: &[u8], nonce: Nonce) -> (KeyMatch, Vec<u8>) {
    match desk.receive(&Channel::Create, frame, nonce) {
        Received::Announced { proplet, key, answer } => {
            assert_eq!(proplet, name("edge-1"));
            (key, answer)
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn connect(desk: &mut Desk, caller: &mut Caller, number: u8) -> Handshake {
    let announce = caller.announce(proplets(number));
    let (_, answer) = announced(desk, &announce, managers(number));
    assert!(matches!(caller.receive(&to_edge(), &answer), Heard::Offered));
    let hello = caller.seal_hello(&heartbeat(0)).unwrap();
    desk_hears(desk, &hello, 0);
    let welcome = desk.seal(&name("edge-1"), &beat(0)).unwrap();
    caller_hears(caller, &welcome, 0);
    assert!(desk.is_connected(&name("edge-1")) && caller.is_connected());
    Handshake { announce, answer, hello, welcome }
}

#[track_caller]
fn desk_hears(desk: &mut Desk, (channel, frame): &(Channel, Vec<u8>), number: u64) {
    match desk.receive(channel, frame, managers(99)) {
        Received::Said { message, .. } => assert_eq!(message, heartbeat(number)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn caller_hears(caller: &mut Caller, letter: &Letter, number: u64) {
    match caller.receive(&letter.channel, &letter.frame) {
        Heard::Said(message) => assert_eq!(message, beat(number)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn desk_drops(desk: &mut Desk, channel: &Channel, frame: &[u8]) {
    let received = desk.receive(channel, frame, managers(98));
    assert!(matches!(received, Received::Dropped(_)), "{received:?}");
}

#[track_caller]
fn caller_drops(caller: &mut Caller, channel: &Channel, frame: &[u8]) {
    let heard = caller.receive(channel, frame);
    assert!(matches!(heard, Heard::Dropped(_)), "{heard:?}");
}

/// Both still talk in the session they have.
#[track_caller]
fn they_talk(desk: &mut Desk, caller: &mut Caller) {
    desk_hears(desk, &caller.seal(&heartbeat(7)).unwrap(), 7);
    caller_hears(caller, &desk.seal(&name("edge-1"), &beat(8)).unwrap(), 8);
}

#[test]
fn a_proplet_announces_itself_is_answered_says_hello_and_is_welcomed() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    assert!(matches!(caller.receive(&Channel::Start, &desk.solicit()), Heard::Solicited));
    assert!(caller.seal(&heartbeat(0)).is_none() && caller.seal_hello(&heartbeat(0)).is_none());
    assert!(desk.seal(&name("edge-1"), &beat(0)).is_none());
    let seen = connect(&mut desk, &mut caller, 1);
    assert_eq!((seen.hello.0, seen.welcome.channel, seen.welcome.counter), (Channel::Alive, to_edge(), 0));
    they_talk(&mut desk, &mut caller);
    let task = TaskId(Uuid::nil());
    let stop = desk.seal(&name("edge-1"), &ToProplet::Stop(AttemptId { task, number: 1 })).unwrap();
    assert_eq!(stop.channel, Channel::StopTo(name("edge-1")));
    assert!(matches!(caller.receive(&stop.channel, &stop.frame), Heard::Said(_)));
    desk.forget(&name("edge-1"));
    assert!(!desk.is_connected(&name("edge-1")));
}

#[test]
fn a_forged_announcement_leaves_the_running_session_in_force() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    for number in 2..12 {
        for key_id in [key(1).id(), key(9).id()] {
            let forged = Announce { proplet: name("edge-1"), key_id, nonce: proplets(number) };
            let (_, answer) = announced(&mut desk, &forged.write(), managers(number));
            caller_drops(&mut caller, &to_edge(), &answer);
            they_talk(&mut desk, &mut caller);
        }
    }
}

#[test]
fn a_repeated_announcement_gets_the_same_answer_and_restarts_nothing() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    let announce = caller.announce(proplets(1));
    let (_, answer) = announced(&mut desk, &announce, managers(1));
    assert_eq!(announced(&mut desk, &announce, managers(2)).1, answer);
    assert_eq!(caller.announce(proplets(1)), announce);
    let seen = connect(&mut desk, &mut caller, 1);
    assert_eq!(announced(&mut desk, &seen.announce, managers(3)).1, seen.answer);
    caller_drops(&mut caller, &to_edge(), &seen.answer);
    let next = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    assert_eq!((next.session, next.counter), (seen.welcome.session, 1));
    they_talk(&mut desk, &mut caller);
}

#[test]
fn a_new_announcement_replaces_the_session_and_old_frames_are_worth_nothing() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    let old = connect(&mut desk, &mut caller, 1);
    let unread = caller.seal(&heartbeat(5)).unwrap();
    let unheard = desk.seal(&name("edge-1"), &beat(5)).unwrap();
    let new = connect(&mut desk, &mut caller, 2);
    assert_ne!(old.welcome.session, new.welcome.session);
    for (channel, frame) in [&old.hello, &unread, &new.hello] {
        desk_drops(&mut desk, channel, frame);
    }
    for letter in [&old.welcome, &unheard, &new.welcome] {
        caller_drops(&mut caller, &letter.channel, &letter.frame);
    }
    caller_drops(&mut caller, &to_edge(), &old.answer);
    they_talk(&mut desk, &mut caller);
}

#[test]
fn an_answer_that_is_changed_or_forged_offers_nothing() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    let announce = caller.announce(proplets(1));
    let (_, answer) = announced(&mut desk, &announce, managers(1));
    for bit in 0..answer.len() * 8 {
        let mut forged = answer.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        caller_drops(&mut caller, &to_edge(), &forged);
    }
    let (_, stranger) = announced(&mut self::desk(&[9]), &announce, managers(1));
    caller_drops(&mut caller, &to_edge(), &stranger);
    assert!(caller.seal_hello(&heartbeat(0)).is_none());
    connect(&mut desk, &mut caller, 1);
}

#[test]
fn a_pair_of_nonces_makes_one_session_ever() {
    let mut caller = caller(&[1]);
    let announce = caller.announce(proplets(1));
    let mut answers = Vec::new();
    for instance in 1..=4 {
        let (_, answer) = announced(&mut desk(&[1]), &announce, managers(instance));
        assert!(matches!(caller.receive(&to_edge(), &answer), Heard::Offered));
        caller.seal_hello(&heartbeat(0)).unwrap();
        answers.push(answer);
    }
    let mut desk = desk(&[1]);
    let (_, fifth) = announced(&mut desk, &announce, managers(5));
    caller_drops(&mut caller, &to_edge(), &fifth);
    for answer in &answers {
        caller_drops(&mut caller, &to_edge(), answer);
    }
    connect(&mut desk, &mut caller, 6);
    for answer in answers.iter().chain([&fifth]) {
        caller_drops(&mut caller, &to_edge(), answer);
    }
    they_talk(&mut desk, &mut caller);
}

#[test]
fn a_session_that_replaced_others_does_not_bring_them_back() {
    let mut caller = caller(&[1]);
    let announce = caller.announce(proplets(1));
    let (mut before, mut after) = (desk(&[1]), desk(&[1]));
    let (_, first) = announced(&mut before, &announce, managers(1));
    assert!(matches!(caller.receive(&to_edge(), &first), Heard::Offered));
    caller.seal_hello(&heartbeat(1)).unwrap();
    let (_, second) = announced(&mut after, &announce, managers(2));
    assert!(matches!(caller.receive(&to_edge(), &second), Heard::Offered));
    desk_hears(&mut after, &caller.seal_hello(&heartbeat(2)).unwrap(), 2);
    caller_hears(&mut caller, &after.seal(&name("edge-1"), &beat(2)).unwrap(), 2);
    caller_drops(&mut caller, &to_edge(), &first);
    assert!(caller.seal_hello(&heartbeat(3)).is_none());
    they_talk(&mut after, &mut caller);
}

#[test]
fn a_stranger_says_that_it_cannot_open_what_it_is_sent() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[9]));
    let announce = caller.announce(proplets(1));
    let (matches, answer) = announced(&mut desk, &announce, managers(1));
    assert_eq!(matches, KeyMatch::Other);
    caller_drops(&mut caller, &to_edge(), &answer);
    let letter = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    let Heard::Unopenable(reject) = caller.receive(&letter.channel, &letter.frame) else {
        panic!("it has no key for that");
    };
    match desk.receive(&Channel::Create, &reject.write(), managers(2)) {
        Received::Rejected { proplet, session, counter } => {
            assert_eq!(proplet, name("edge-1"));
            assert_eq!((session, counter), (letter.session, letter.counter));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reject_is_believed_of_strangers_only() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    let reject = |letter: &Letter| {
        Reject { proplet: name("edge-1"), session: letter.session, counter: letter.counter }.write()
    };
    let unknown = Reject { proplet: name("edge-2"), session: propeller_wire::frame::SessionId([0; 8]), counter: 0 };
    desk_drops(&mut desk, &Channel::Create, &unknown.write());
    let announce = caller.announce(proplets(1));
    announced(&mut desk, &announce, managers(1));
    let offered = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    desk_drops(&mut desk, &Channel::Create, &reject(&offered));
    let seen = connect(&mut desk, &mut caller, 2);
    desk_drops(&mut desk, &Channel::Create, &reject(&seen.welcome));
    let forged = Announce { proplet: name("edge-1"), key_id: key(9).id(), nonce: proplets(3) };
    announced(&mut desk, &forged.write(), managers(3));
    desk_drops(&mut desk, &Channel::Create, &reject(&seen.welcome));
    they_talk(&mut desk, &mut caller);
}

#[test]
fn a_rotation_in_either_order_never_parts_them() {
    for (of_desk, of_caller, expected) in [
        (&[1][..], &[1][..], KeyMatch::Ours),
        (&[2, 1], &[1], KeyMatch::Ours),
        (&[2, 1], &[2, 1], KeyMatch::Ours),
        (&[2], &[2, 1], KeyMatch::Ours),
        (&[1], &[2, 1], KeyMatch::Other),
        (&[2], &[1, 2], KeyMatch::Other),
    ] {
        let (mut desk, mut caller) = (desk(of_desk), caller(of_caller));
        let (matches, _) = announced(&mut desk, &caller.announce(proplets(9)), managers(9));
        assert_eq!(matches, expected, "{of_desk:?} {of_caller:?}");
        connect(&mut desk, &mut caller, 1);
        they_talk(&mut desk, &mut caller);
    }
}

#[test]
fn two_thousand_strangers_are_forgotten_and_nobody_who_is_connected() {
    const REMEMBERED: usize = 1024;
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    let strangers: Vec<PropletId> = (0..2000).map(|n| name(&format!("stranger-{n}"))).collect();
    for stranger in &strangers {
        let proplet = stranger.clone();
        let announce = Announce { proplet, key_id: key(9).id(), nonce: proplets(2) }.write();
        let received = desk.receive(&Channel::Create, &announce, managers(2));
        assert!(matches!(received, Received::Announced { .. }));
    }
    let mut remembered = strangers.iter().map(|stranger| {
        desk.seal(stranger, &beat(0)).is_some()
    });
    assert!(remembered.by_ref().take(2000 - REMEMBERED).all(|is| !is), "the quietest first");
    assert_eq!(remembered.filter(|is| *is).count(), REMEMBERED);
    they_talk(&mut desk, &mut caller);
}

#[test]
fn a_frame_captured_on_one_topic_is_nothing_on_another() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    let (channel, frame) = caller.seal(&heartbeat(1)).unwrap();
    for other in [Channel::Create, Channel::Results, to_edge(), Channel::Stop] {
        desk_drops(&mut desk, &other, &frame);
    }
    desk_hears(&mut desk, &(channel, frame), 1);
    let letter = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    for other in [Channel::Start, Channel::Stop, Channel::StopTo(name("edge-1")), Channel::Alive] {
        caller_drops(&mut caller, &other, &letter.frame);
    }
    caller_hears(&mut caller, &letter, 1);
}

#[test]
fn neither_end_takes_what_is_meant_for_the_other() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    let seen = connect(&mut desk, &mut caller, 1);
    desk_drops(&mut desk, &Channel::Create, &seen.answer);
    desk_drops(&mut desk, &Channel::Create, &solicit(&name("manager-2")));
    desk_drops(&mut desk, &seen.welcome.channel, &seen.welcome.frame);
    desk_drops(&mut desk, &Channel::Create, b"{}");
    caller_drops(&mut caller, &to_edge(), &seen.announce);
    caller_drops(&mut caller, &seen.hello.0, &seen.hello.1);
    caller_drops(&mut caller, &to_edge(), b"");
    let Ok(Frame::Sealed(sealed)) = Frame::read(&seen.hello.1) else { panic!("sealed") };
    let reject = Reject { proplet: name("edge-1"), session: sealed.session, counter: 0 };
    caller_drops(&mut caller, &to_edge(), &reject.write());
    let mut neighbour = Caller::new(name("edge-2"), ring(&[1]));
    neighbour.announce(proplets(1));
    caller_drops(&mut neighbour, &to_edge(), &seen.answer);
    they_talk(&mut desk, &mut caller);
}
