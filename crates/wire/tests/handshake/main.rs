//! The handshake, told as stories between a desk, a caller and whoever sits in between.
#![cfg(test)]

mod actors;
mod strangers;

use actors::{
    announced, beat, caller, caller_drops, caller_hears, connect, desk, desk_drops, desk_hears,
    heartbeat, key, managers, name, proplets, ring, they_talk, to_edge,
};
use propeller_model::{AttemptId, TaskId};
use propeller_wire::frame::{Announce, Frame, Reject, solicit};
use propeller_wire::message::ToProplet;
use propeller_wire::{Caller, Channel, Heard};
use uuid::Uuid;

#[test]
fn a_proplet_announces_itself_is_answered_says_hello_and_is_welcomed() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    assert!(matches!(
        caller.receive(&Channel::Start, &desk.solicit()),
        Heard::Solicited
    ));
    assert!(caller.seal(&heartbeat(0)).is_none() && caller.seal_hello(&heartbeat(0)).is_none());
    assert!(desk.seal(&name("edge-1"), &beat(0)).is_none());
    let seen = connect(&mut desk, &mut caller, 1);
    assert_eq!(
        (seen.hello.0, seen.welcome.channel, seen.welcome.counter),
        (Channel::Alive, to_edge(), 0)
    );
    they_talk(&mut desk, &mut caller);
    let task = TaskId(Uuid::nil());
    let stop = desk
        .seal(
            &name("edge-1"),
            &ToProplet::Stop(AttemptId { task, number: 1 }),
        )
        .unwrap();
    assert_eq!(stop.channel, Channel::StopTo(name("edge-1")));
    assert!(matches!(
        caller.receive(&stop.channel, &stop.frame),
        Heard::Said(_)
    ));
    desk.forget(&name("edge-1"));
    assert!(!desk.is_connected(&name("edge-1")));
}

#[test]
fn a_forged_announcement_leaves_the_running_session_in_force() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    for number in 2..12 {
        for key_id in [key(1).id(), key(9).id()] {
            let forged = Announce {
                proplet: name("edge-1"),
                key_id,
                nonce: proplets(number),
            };
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
    assert_eq!(
        announced(&mut desk, &seen.announce, managers(3)).1,
        seen.answer
    );
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
        let heard = caller.receive(&to_edge(), &forged);
        assert!(
            matches!(heard, Heard::Dropped(_) | Heard::OtherKey),
            "{heard:?}"
        );
    }
    let (_, stranger) = announced(&mut self::desk(&[9]), &announce, managers(1));
    assert!(matches!(
        caller.receive(&to_edge(), &stranger),
        Heard::OtherKey
    ));
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
        assert!(matches!(
            caller.receive(&to_edge(), &answer),
            Heard::Offered
        ));
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
    assert!(matches!(
        caller.receive(&to_edge(), &second),
        Heard::Offered
    ));
    desk_hears(&mut after, &caller.seal_hello(&heartbeat(2)).unwrap(), 2);
    caller_hears(
        &mut caller,
        &after.seal(&name("edge-1"), &beat(2)).unwrap(),
        2,
    );
    caller_drops(&mut caller, &to_edge(), &first);
    assert!(caller.seal_hello(&heartbeat(3)).is_none());
    they_talk(&mut after, &mut caller);
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
    for other in [
        Channel::Start,
        Channel::Stop,
        Channel::StopTo(name("edge-1")),
        Channel::Alive,
    ] {
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
    let Ok(Frame::Sealed(sealed)) = Frame::read(&seen.hello.1) else {
        panic!("sealed")
    };
    let reject = Reject {
        proplet: name("edge-1"),
        session: sealed.session,
        counter: 0,
    };
    caller_drops(&mut caller, &to_edge(), &reject.write());
    let mut neighbour = Caller::new(name("edge-2"), ring(&[1]));
    neighbour.announce(proplets(1));
    caller_drops(&mut neighbour, &to_edge(), &seen.answer);
    they_talk(&mut desk, &mut caller);
}
