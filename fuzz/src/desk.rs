//! A desk and a caller with a running session, and a stranger who says anything to one of them.
//!
//! An input is a list of frames: one byte that chooses the topic, two for the length, the bytes.
//! Whatever they are, they are never taken for a message, and the session goes on.

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_wire::message::{Beat, FromProplet, Heartbeat, ToProplet, Vitals};
use propeller_wire::{Caller, Channel, Desk, Heard, Received};

struct Pair {
    desk: Desk,
    caller: Caller,
    /// Counts nonces, which must be fresh, and messages.
    count: u64,
}

pub(crate) fn desk(data: &[u8]) {
    let mut pair = Pair::connected();
    for (channel, frame) in frames(data) {
        let nonce = pair.nonce();
        match pair.desk.receive(&channel, frame, nonce) {
            Received::Announced { answer, .. } => {
                let heard = pair.caller.receive(&to_edge(), &answer);
                assert!(matches!(heard, Heard::Dropped(_)), "{heard:?}");
            }
            Received::Dropped(_) => {}
            other => panic!("{other:?}"),
        }
    }
    pair.talks();
}

pub(crate) fn caller(data: &[u8]) {
    let mut pair = Pair::connected();
    for (channel, frame) in frames(data) {
        match pair.caller.receive(&channel, frame) {
            Heard::Unopenable(reject) => {
                let nonce = pair.nonce();
                let received = pair.desk.receive(&Channel::Create, &reject.write(), nonce);
                assert!(matches!(received, Received::Dropped(_)), "{received:?}");
            }
            Heard::Dropped(_) | Heard::Solicited | Heard::OtherKey => {}
            other => panic!("{other:?}"),
        }
    }
    pair.talks();
}

impl Pair {
    fn connected() -> Self {
        let keys = || Keyring::new(WorkloadKey::from_bytes([1; 32]));
        let desk = Desk::new("manager-1".parse().expect("a name"), keys());
        let caller = Caller::new("edge-1".parse().expect("a name"), keys());
        let mut pair = Self {
            desk,
            caller,
            count: 0,
        };
        let announce = pair.caller.announce([0xff; 32]);
        let nonce = pair.nonce();
        let received = pair.desk.receive(&Channel::Create, &announce, nonce);
        let Received::Announced { answer, .. } = received else {
            panic!("{received:?}")
        };
        let heard = pair.caller.receive(&to_edge(), &answer);
        assert!(matches!(heard, Heard::Offered), "{heard:?}");
        let hello = pair.caller.seal_hello(&heartbeat(0));
        pair.desk_hears(hello, 0);
        pair.talks();
        pair
    }

    fn nonce(&mut self) -> [u8; 32] {
        self.count += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.count.to_be_bytes());
        nonce
    }

    /// Each hears from the other in the session they have.
    fn talks(&mut self) {
        self.count += 1;
        let number = self.count;
        let beat = ToProplet::Beat(Beat {
            number,
            void: vec![],
        });
        let edge = "edge-1".parse().expect("a name");
        let letter = self.desk.seal(&edge, &beat).expect("there is a session");
        match self.caller.receive(&letter.channel, &letter.frame) {
            Heard::Said(message) => assert_eq!(message, beat),
            other => panic!("{other:?}"),
        }
        let said = self.caller.seal(&heartbeat(number));
        self.desk_hears(said, number);
    }

    fn desk_hears(&mut self, said: Option<(Channel, Vec<u8>)>, number: u64) {
        let (channel, frame) = said.expect("there is a session");
        let nonce = self.nonce();
        match self.desk.receive(&channel, &frame, nonce) {
            Received::Said { message, .. } => assert_eq!(message, heartbeat(number)),
            other => panic!("{other:?}"),
        }
    }
}

fn heartbeat(number: u64) -> FromProplet {
    FromProplet::Heartbeat(Heartbeat {
        number,
        holds: vec![],
        vitals: Vitals::default(),
    })
}

fn to_edge() -> Channel {
    Channel::StartTo("edge-1".parse().expect("a name"))
}

fn frames(mut data: &[u8]) -> impl Iterator<Item = (Channel, &[u8])> {
    std::iter::from_fn(move || {
        let ([topic, high, low], rest) = data.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (frame, rest) = rest.split_at(len.min(rest.len()));
        data = rest;
        let edge = "edge-1".parse().expect("a name");
        let channel = match topic % 7 {
            1 => Channel::Create,
            2 => Channel::Alive,
            3 => Channel::Results,
            4 => Channel::Start,
            5 => Channel::StartTo(edge),
            6 => Channel::Stop,
            _ => Channel::StopTo(edge),
        };
        Some((channel, frame))
    })
}
