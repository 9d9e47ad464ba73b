//! Proplets with another key, or none that anybody knows.

use propeller_model::PropletId;
use propeller_wire::frame::{Announce, Reject, SessionId};
use propeller_wire::{Channel, Heard, KeyMatch, Letter, Received};

use crate::actors::{
    announced, beat, caller, connect, desk, desk_drops, key, managers, name, proplets, ring,
    they_talk, to_edge,
};

#[test]
fn a_stranger_says_that_it_cannot_open_what_it_is_sent() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[9]));
    let announce = caller.announce(proplets(1));
    let (matches, answer) = announced(&mut desk, &announce, managers(1));
    assert_eq!(matches, KeyMatch::Other);
    assert!(matches!(
        caller.receive(&to_edge(), &answer),
        Heard::OtherKey
    ));
    let letter = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    let Heard::Unopenable(reject) = caller.receive(&letter.channel, &letter.frame) else {
        panic!("it has no key for that");
    };
    match desk.receive(&Channel::Create, &reject.write(), managers(2)) {
        Received::Rejected {
            proplet,
            session,
            counter,
        } => {
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
        Reject {
            proplet: name("edge-1"),
            session: letter.session,
            counter: letter.counter,
        }
        .write()
    };
    let unknown = Reject {
        proplet: name("edge-2"),
        session: SessionId([0; 8]),
        counter: 0,
    };
    desk_drops(&mut desk, &Channel::Create, &unknown.write());
    let announce = caller.announce(proplets(1));
    announced(&mut desk, &announce, managers(1));
    let offered = desk.seal(&name("edge-1"), &beat(1)).unwrap();
    desk_drops(&mut desk, &Channel::Create, &reject(&offered));
    let seen = connect(&mut desk, &mut caller, 2);
    desk_drops(&mut desk, &Channel::Create, &reject(&seen.welcome));
    let forged = Announce {
        proplet: name("edge-1"),
        key_id: key(9).id(),
        nonce: proplets(3),
    };
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
fn a_session_lasts_as_long_as_its_key_is_in_both_rings() {
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    for (of_desk, of_caller) in [
        (&[1, 2][..], &[1][..]),
        (&[1, 2], &[2, 1]),
        (&[2, 1], &[2, 1]),
    ] {
        assert_eq!(desk.rekey(ring(of_desk)), []);
        caller.rekey(ring(of_caller));
        they_talk(&mut desk, &mut caller);
    }
    assert_eq!(desk.rekey(ring(&[2])), [name("edge-1")]);
    assert!(!desk.is_connected(&name("edge-1")));
    caller.rekey(ring(&[2]));
    assert!(!caller.is_connected());
    let (matches, _) = announced(&mut desk, &caller.announce(proplets(9)), managers(9));
    assert_eq!(matches, KeyMatch::Ours);
    connect(&mut desk, &mut caller, 2);
}

#[test]
fn two_thousand_strangers_are_forgotten_and_nobody_who_is_connected() {
    const REMEMBERED: usize = 1024;
    let (mut desk, mut caller) = (desk(&[1]), caller(&[1]));
    connect(&mut desk, &mut caller, 1);
    let strangers: Vec<PropletId> = (0..2000).map(|n| name(&format!("stranger-{n}"))).collect();
    for stranger in &strangers {
        let proplet = stranger.clone();
        let announce = Announce {
            proplet,
            key_id: key(9).id(),
            nonce: proplets(2),
        }
        .write();
        let received = desk.receive(&Channel::Create, &announce, managers(2));
        assert!(matches!(received, Received::Announced { .. }));
    }
    let mut remembered = strangers
        .iter()
        .map(|stranger| desk.seal(stranger, &beat(0)).is_some());
    assert!(
        remembered.by_ref().take(2000 - REMEMBERED).all(|is| !is),
        "the quietest first"
    );
    assert_eq!(remembered.filter(|is| *is).count(), REMEMBERED);
    they_talk(&mut desk, &mut caller);
}
