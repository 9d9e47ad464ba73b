//! A hostile broker between a desk and a caller can cost them time and nothing else.
//!
//! By seed it drops, repeats, holds back, changes, moves and substitutes what they say and adds
//! its own; either end may restart. What holds all the while is in [`World`].
#![cfg(test)]

use std::collections::HashSet;

use fastrand::Rng;
use propeller_envelope::{KeyId, Keyring, WorkloadKey};
use propeller_model::PropletId;
use propeller_wire::frame::{Announce, Answer, Frame, Reject, SessionId};
use propeller_wire::message::{Beat, FromProplet, Heartbeat, ToProplet, Vitals};
use propeller_wire::session::{Pair, Subject};
use propeller_wire::{Caller, Channel, Desk, Heard, Received};

const STEPS: usize = 400;

type Post = (Channel, Vec<u8>);

struct World {
    rng: Rng,
    desk: Desk,
    caller: Caller,
    to_desk: Vec<Post>,
    to_caller: Vec<Post>,
    /// Everything that was ever said; the broker forgets nothing.
    captured: Vec<Post>,
    /// Messages by number: no two are the same, so a number is opened at most once.
    said: u64,
    sealed_by_desk: HashSet<u64>,
    sealed_by_caller: HashSet<u64>,
    /// Sender, session and counter of every sealed frame: no key meets a counter twice.
    counters: HashSet<(PropletId, SessionId, u64)>,
    opened: usize,
}

fn key() -> WorkloadKey {
    WorkloadKey::from_bytes([1; 32])
}

fn edge() -> PropletId {
    "edge-1".parse().unwrap()
}

fn desk() -> Desk {
    Desk::new("manager-1".parse().unwrap(), Keyring::new(key()))
}

fn caller() -> Caller {
    Caller::new(edge(), Keyring::new(key()))
}

fn nonce(rng: &mut Rng) -> [u8; 32] {
    let mut nonce = [0; 32];
    rng.fill(&mut nonce);
    nonce
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            desk: desk(),
            caller: caller(),
            to_desk: Vec::new(),
            to_caller: Vec::new(),
            captured: Vec::new(),
            said: 0,
            sealed_by_desk: HashSet::new(),
            sealed_by_caller: HashSet::new(),
            counters: HashSet::new(),
            opened: 0,
        }
    }

    fn heartbeat(&mut self) -> FromProplet {
        self.said += 1;
        self.sealed_by_caller.insert(self.said);
        FromProplet::Heartbeat(Heartbeat {
            number: self.said,
            holds: vec![],
            vitals: Vitals::default(),
        })
    }

    fn sealed(&mut self, frame: &[u8]) {
        let Ok(Frame::Sealed(sealed)) = Frame::read(frame) else {
            panic!("sealed")
        };
        let place = (sealed.sender, sealed.session, sealed.counter);
        assert!(self.counters.insert(place.clone()), "{place:?} twice");
    }

    fn caller_sends(&mut self, post: Option<Post>) {
        if let Some(post) = post {
            self.sealed(&post.1);
            self.captured.push(post.clone());
            self.to_desk.push(post);
        }
    }

    fn caller_announces(&mut self) {
        let nonce = nonce(&mut self.rng);
        let post = (Channel::Create, self.caller.announce(nonce));
        self.captured.push(post.clone());
        self.to_desk.push(post);
    }

    fn caller_says(&mut self) {
        let message = self.heartbeat();
        let post = self.caller.seal(&message);
        self.caller_sends(post);
    }

    fn desk_says(&mut self) {
        self.said += 1;
        self.sealed_by_desk.insert(self.said);
        let message = ToProplet::Beat(Beat {
            number: self.said,
            void: vec![],
        });
        if let Some(letter) = self.desk.seal(&edge(), &message) {
            self.sealed(&letter.frame);
            self.captured
                .push((letter.channel.clone(), letter.frame.clone()));
            self.to_caller.push((letter.channel, letter.frame));
        }
    }

    fn desk_receives(&mut self, (channel, frame): &Post) {
        let nonce = nonce(&mut self.rng);
        match self.desk.receive(channel, frame, nonce) {
            Received::Announced {
                proplet, answer, ..
            } if proplet == edge() => {
                let post = (Channel::StartTo(edge()), answer);
                self.captured.push(post.clone());
                self.to_caller.push(post);
            }
            Received::Said {
                message: FromProplet::Heartbeat(Heartbeat { number, .. }),
                ..
            } => {
                assert!(
                    self.sealed_by_caller.remove(&number),
                    "{number} was not said, or twice"
                );
                self.opened += 1;
                self.desk_says();
            }
            Received::Rejected { .. } => assert!(!self.desk.is_connected(&edge())),
            Received::Announced { .. } | Received::Dropped(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn caller_receives(&mut self, (channel, frame): &Post) {
        match self.caller.receive(channel, frame) {
            Heard::Offered => {
                let message = self.heartbeat();
                let post = self.caller.seal_hello(&message);
                self.caller_sends(post);
            }
            Heard::Said(ToProplet::Beat(Beat { number, .. })) => {
                assert!(
                    self.sealed_by_desk.remove(&number),
                    "{number} was not said, or twice"
                );
                self.opened += 1;
            }
            Heard::Solicited => self.caller_announces(),
            Heard::Unopenable(reject) => self.to_desk.push((Channel::Create, reject.write())),
            Heard::Dropped(_) | Heard::OtherKey => {}
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..100) {
            0..5 => self.caller_announces(),
            5..20 => self.caller_says(),
            20..35 => self.desk_says(),
            35 => self.desk = desk(),
            36 => self.caller = caller(),
            37..45 => {
                let forged = self.forged();
                self.deliver(&forged);
            }
            45..55 => self.substitute(),
            _ => self.carry(),
        }
    }

    /// Takes any frame that is under way and does something to it.
    fn carry(&mut self) {
        let queue = if self.rng.bool() {
            &mut self.to_desk
        } else {
            &mut self.to_caller
        };
        if queue.is_empty() {
            return;
        }
        let mut post = queue.swap_remove(self.rng.usize(0..queue.len()));
        match self.rng.u8(0..10) {
            0 => {}
            1 => {
                let bit = self.rng.usize(0..post.1.len() * 8);
                post.1[bit / 8] ^= 1 << (bit % 8);
                self.deliver(&post);
            }
            2 => {
                self.deliver(&post);
                self.deliver(&post);
            }
            3 => {
                post.0 = self.any_channel();
                self.deliver(&post);
            }
            _ => self.deliver(&post),
        }
    }

    /// Delivers something that was said at another time.
    fn substitute(&mut self) {
        if let Some(post) = self.rng.choice(&self.captured).cloned() {
            self.deliver(&post);
        }
    }

    fn deliver(&mut self, post: &Post) {
        match post.0 {
            Channel::Create | Channel::Alive | Channel::Results => self.desk_receives(post),
            _ => self.caller_receives(post),
        }
    }

    fn any_channel(&mut self) -> Channel {
        let channels = [
            Channel::Create,
            Channel::Alive,
            Channel::Results,
            Channel::Start,
            Channel::StartTo(edge()),
            Channel::Stop,
            Channel::StopTo(edge()),
        ];
        self.rng.choice(channels).unwrap()
    }

    /// What a broker can make up from what it has seen, without the key.
    fn forged(&mut self) -> Post {
        let seen = self
            .rng
            .choice(&self.captured)
            .map_or_else(Vec::new, |post| post.1.clone());
        let nonce = nonce(&mut self.rng);
        let key_id = if self.rng.bool() {
            key().id()
        } else {
            KeyId([9; 8])
        };
        let frame = match (self.rng.u8(0..5), Frame::read(&seen)) {
            (0, _) => Announce {
                proplet: edge(),
                key_id,
                nonce,
            }
            .write(),
            (1, Ok(Frame::Sealed(sealed))) => Reject {
                proplet: edge(),
                session: sealed.session,
                counter: sealed.counter,
            }
            .write(),
            (2, Ok(Frame::Announce(announce))) => {
                let pair = Pair {
                    subject: Subject::Tasks,
                    manager: "manager-1".parse().unwrap(),
                    proplet: edge(),
                    proplet_nonce: announce.nonce,
                    manager_nonce: nonce,
                };
                Answer::authentic(&WorkloadKey::from_bytes([9; 32]), &pair).write()
            }
            (3, _) => self.desk.solicit(),
            _ => seen[..self.rng.usize(0..=seen.len())].to_vec(),
        };
        (self.any_channel(), frame)
    }

    /// The hostility ends: everything arrives, in order and once.
    fn peace(&mut self) {
        self.to_desk.clear();
        self.to_caller.clear();
        self.caller_announces();
        self.settle();
        assert!(self.desk.is_connected(&edge()) && self.caller.is_connected());
        let before = self.opened;
        self.caller_says();
        self.settle();
        // The heartbeat and the desk's reply to it.
        assert_eq!(self.opened, before + 2);
    }

    fn settle(&mut self) {
        while !self.to_desk.is_empty() || !self.to_caller.is_empty() {
            for post in std::mem::take(&mut self.to_desk) {
                self.deliver(&post);
            }
            for post in std::mem::take(&mut self.to_caller) {
                self.deliver(&post);
            }
        }
    }
}

#[test]
fn a_hostile_broker_costs_time_and_nothing_else() {
    let mut opened = 0;
    for seed in 0..500 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        opened += world.opened;
        world.peace();
    }
    assert!(
        opened > 10_000,
        "only {opened} messages got through: the test tests nothing"
    );
}
