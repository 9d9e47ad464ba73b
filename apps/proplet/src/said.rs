//! What the manager says in the session, and what of it goes on to a proxy.

use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_model::{AttemptId, Lease, Trace};
use propeller_wire::message::{
    Fetch, FromProplet, Refusal, Start, StartAttested, StartImage, ToProplet, Welcome,
};
use tracing::{debug, info};

use crate::attested::OUTSIDE;
use crate::courier::{Courier, Order};
use crate::fetch::Progress;
use crate::worker::Worker;

/// What is said of a module where signatures are required, and it came in no image.
const UNSIGNED: &str = "nobody can have signed this module, because it came without an image, and \
                        this proplet runs what is signed (PROPLET_REQUIRE_SIGNATURE): push it with \
                        `propeller push FILE IMAGE --sign KEY`, and name that image (--image)";

impl Worker {
    pub(crate) fn said(&mut self, message: ToProplet) {
        match message {
            ToProplet::Welcome(welcome) => self.welcome(welcome),
            ToProplet::Start(start) => self.start(start),
            ToProplet::StartImage(start) => self.start_image(start),
            ToProplet::StartAttested(start) => self.start_attested(*start),
            ToProplet::Stop(attempt) => self.stop(attempt),
            ToProplet::Beat(beat) => {
                self.beat_answered = self.beat_answered.max(beat.number);
                if beat.number == self.beats {
                    // From when it was sent: the manager cannot have renewed anything earlier.
                    self.lifeline = Some(Lease::grant(self.beat_sent, self.lease));
                }
                for attempt in beat.void {
                    self.stop(attempt);
                }
            }
            ToProplet::Settled(attempt) => self.outbox.acknowledge(attempt),
            ToProplet::Piece(piece) => {
                let progress = self.fetches.take(piece, Instant::now());
                self.progress(progress);
            }
            ToProplet::Watch(watch) => self.watches.take(&watch, Instant::now()),
            ToProplet::NoModule(digest) => {
                for start in self.fetches.give_up(digest) {
                    let text = "the manager does not have the module any more";
                    self.refuse(start.attempt, Refusal::NoModule, text);
                }
            }
        }
    }

    /// The session is on: what is not acknowledged is reported in it.
    fn welcome(&mut self, welcome: Welcome) {
        info!(lease_ms = welcome.lease_ms, "connected to manager");
        let now = Instant::now();
        self.lease = Duration::from_millis(u64::from(welcome.lease_ms));
        self.lifeline = Some(Lease::grant(now, self.lease));
        self.beats = 0;
        self.beat_answered = 0;
        self.beat_sent = now;
        self.connected();
        self.outbox.forget_sent();
        self.report();
    }

    fn start(&mut self, start: Start) {
        if !self.takes(start.attempt, &start.app_name, &start.trace) {
            return;
        }
        if self.bench.images.wants_signatures() {
            // Whoever sent it may have a policy of its own, or none.
            return self.refuse(start.attempt, Refusal::AboveCeiling, UNSIGNED);
        }
        let mut start = start;
        let digest = start.module.digest;
        if let Some(sealed) = start.module.sealed.take() {
            let bytes = sealed.len();
            let sealed = Bytes::from(sealed.into_vec());
            self.modules.insert(digest, sealed, bytes);
        }
        if let Some(sealed) = self.modules.get(digest) {
            return self.begin(start, sealed);
        }
        let attempt = start.attempt;
        match self.fetches.begin(start, Instant::now()) {
            Ok(Some(fetch)) => self.ask(fetch),
            Ok(None) => {}
            Err(_) => {
                let text = "too many modules are on their way, or the module is too large";
                self.refuse(attempt, Refusal::Busy, text);
            }
        }
    }

    fn start_image(&mut self, start: StartImage) {
        if self.takes(start.attempt, &start.app_name, &start.trace) {
            self.begin_image(start);
        }
    }

    fn start_attested(&mut self, start: StartAttested) {
        let StartImage {
            attempt,
            app_name,
            trace,
            ..
        } = &start.start;
        let attempt = *attempt;
        if !self.takes(attempt, app_name, trace) {
            return;
        }
        match (self.bench.attesting.clone(), self.caller.binding()) {
            (Some(attesting), Some(session)) => self.begin_attested(start, attesting, session),
            // Before anything is fetched.
            _ => self.refuse(attempt, Refusal::NoTee, OUTSIDE),
        }
    }

    /// Whether an attempt is to be made that a start is about: it is a new one, and there is room.
    fn takes(&mut self, attempt: AttemptId, app_name: &str, trace: &Trace) -> bool {
        if self.running.contains_key(&attempt) || self.fetches.attempts().any(|a| a == attempt) {
            debug!(id = %attempt.task, "start repeated");
            return false;
        }
        if self.outbox.holds(attempt) {
            self.report();
            return false;
        }
        info!(
            id = %attempt.task,
            attempt = attempt.number,
            app_name = %app_name,
            trace = %trace.id(),
            "Received start command"
        );
        if self.busy() >= self.slots as usize {
            self.refuse(attempt, Refusal::Busy, "all slots of the proplet are taken");
            return false;
        }
        if self.outbox.is_full() {
            let text = "too many reports of the proplet wait for an acknowledgement";
            self.refuse(attempt, Refusal::OutboxFull, text);
            return false;
        }
        true
    }

    /// Asks for pieces of a module.
    pub(crate) fn ask(&mut self, fetch: Fetch) {
        self.say(&FromProplet::Fetch(fetch));
    }

    /// What a piece of a module led to.
    pub(crate) fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::None => {}
            Progress::Ask(fetch) => self.ask(fetch),
            Progress::Whole(sealed, starts) => {
                if let Some(start) = starts.first() {
                    let bytes = sealed.len();
                    self.modules
                        .insert(start.module.digest, sealed.clone(), bytes);
                }
                for start in starts {
                    self.begin(start, sealed.clone());
                }
            }
        }
    }

    /// Somebody wants something of a proxy.
    pub(crate) fn order(&mut self, order: Order) {
        self.ask_proxy(|courier, now| courier.order(order, now));
    }

    /// Lets the courier decide, and sends what it wants to be sent.
    pub(crate) fn ask_proxy(&mut self, decide: impl FnOnce(&mut Courier, Instant)) {
        decide(&mut self.courier, Instant::now());
        for (channel, frame) in self.courier.letters() {
            self.send(channel, frame);
        }
    }
}
