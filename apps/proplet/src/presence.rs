//! How a proplet makes itself known to a manager: it announces itself, is answered, and says hello.

use std::time::{Duration, Instant};

use propeller_wire::Channel;
use propeller_wire::message::{FromProplet, Hello, HelloInTee, TeeClaim};
use tracing::error;

use crate::worker::Worker;

/// First pause between announcements; it doubles up to the heartbeat's interval.
pub(crate) const ANNOUNCE_MIN: Duration = Duration::from_millis(500);

/// How old the evidence gets that a manager has; nobody says that it has arrived.
pub(crate) const PROVE_EVERY: Duration = Duration::from_secs(60);

impl Worker {
    /// Anybody can ask who is there; only so often is it answered.
    pub(crate) fn solicited(&mut self) {
        const ANSWER_EVERY: Duration = Duration::from_millis(200);
        let recent = self.announced.is_some_and(|at| at.elapsed() < ANSWER_EVERY);
        if recent {
            self.announce_at
                .get_or_insert_with(|| Instant::now() + ANSWER_EVERY);
        } else {
            self.announce();
        }
    }

    /// Announces with a fresh nonce, and again after a while if nobody answers.
    pub(crate) fn announce(&mut self) {
        let mut nonce = [0; 32];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            error!("the system has no randomness: cannot announce");
            return;
        }
        let frame = self.caller.announce(nonce);
        self.send(Channel::Create, frame);
        self.announced = Some(Instant::now());
        self.announce_at = Some(Instant::now() + self.announce_pause);
        self.announce_pause = (self.announce_pause * 2).min(self.heartbeat);
    }

    /// The session is confirmed: no more announcements until it fails. Whoever is in a TEE shows
    /// evidence of it, which takes hardware a while.
    pub(crate) fn connected(&mut self) {
        self.announce_at = None;
        self.announce_pause = ANNOUNCE_MIN;
        self.prove();
        self.say_reach();
    }

    /// Says which store is reached, if any is.
    pub(crate) fn say_reach(&mut self) {
        let mark = self.bench.store.as_ref().and_then(|store| store.mark());
        if let Some(mark) = mark {
            self.say(&FromProplet::Reaches(mark));
        }
    }

    /// Makes evidence for the session, to be shown when it is made.
    pub(crate) fn prove(&mut self) {
        self.proved = Instant::now();
        let Some((attesting, session)) = self.bench.attesting.clone().zip(self.caller.binding())
        else {
            return;
        };
        let proplet = self.bench.proplet.clone();
        self.proving.abort_all();
        self.proving.spawn(async move {
            let claim = attesting.claim(proplet.as_str(), session).await;
            (session, claim)
        });
    }

    /// Shows evidence, if it is of the session that is still in force.
    pub(crate) fn proven(&mut self, session: [u8; 32], claim: Result<TeeClaim, String>) {
        match claim {
            Ok(claim) if self.caller.binding() == Some(session) => {
                self.say(&FromProplet::Tee(claim));
            }
            Ok(_) => {}
            Err(why) => error!(target: "security", "cannot show that this is a TEE: {why}"),
        }
    }

    pub(crate) fn hello(&mut self) {
        let hello = Hello {
            about: self.about.clone(),
            holds: self.holds(),
            slots: self.slots,
        };
        let hello = match &self.bench.attesting {
            None => FromProplet::Hello(hello),
            Some(attesting) => FromProplet::HelloInTee(Box::new(HelloInTee {
                hello,
                kind: attesting.kind().to_owned(),
            })),
        };
        if let Some((channel, frame)) = self.caller.seal_hello(&hello) {
            self.send(channel, frame);
        }
    }
}
