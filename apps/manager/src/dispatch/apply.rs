//! Applies one input to the store and to memory.

use std::time::Duration;

use propeller_model::task::Retry;
use propeller_model::{ExitKind, PropletId};
use propeller_scheduler::Link;
use propeller_wire::frame::{SessionId, looks_like_frame};
use propeller_wire::message::FromProplet;
use propeller_wire::{Channel, KeyMatch, Received, upstream};
use rusqlite::Connection;
use tracing::{debug, info};

use super::settle::Setback;
use super::{Command, Effect, Mind, Moment, Reply};
use crate::store::task::task_find;
use crate::store::{Blobs, StoreError, Swept};
use crate::verifier::Judged;

/// Something that happened, opened and parsed.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a batch holds a few hundred for a moment"
)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Somebody wants something.
    Command(Box<Command>),
    /// A proplet said something in its session.
    Said(PropletId, FromProplet),
    /// Evidence has been judged.
    Judged(Box<Judged>),
    /// A proplet announced itself; it gets this answer.
    Announced(PropletId, KeyMatch, Vec<u8>),
    /// A proplet with another key could not open a frame.
    Rejected(PropletId, SessionId, u64),
    /// An upstream proplet is there.
    PlainCreate(PropletId, Box<upstream::Metadata>),
    /// An upstream proplet lives, or has left.
    PlainAlive(PropletId, bool),
    /// An upstream proplet has a result.
    PlainResults(Box<upstream::Results>),
}

impl Input {
    /// What it is, in a word, for the log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Command(_) => "command",
            Self::Said(..) => "message",
            Self::Judged(_) => "verdict",
            Self::Announced(..) => "announcement",
            Self::Rejected(..) => "rejection",
            Self::PlainCreate(..) | Self::PlainAlive(..) | Self::PlainResults(..) => {
                "plain message"
            }
        }
    }
}

impl Mind {
    /// What a frame says, if it says anything to us.
    pub(super) fn read(&mut self, channel: &Channel, bytes: &[u8]) -> Option<Input> {
        if !looks_like_frame(bytes) {
            return self.read_plain(channel, bytes);
        }
        let mut nonce = [0; 32];
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            self.metrics.dropped("no randomness");
            return None;
        }
        match self.desk.receive(channel, bytes, nonce) {
            Received::Said {
                proplet,
                message: FromProplet::Printed(printed),
            } => {
                self.logs.printed(&proplet, printed);
                None
            }
            Received::Said { proplet, message } => Some(Input::Said(proplet, message)),
            Received::Announced {
                proplet,
                key,
                answer,
            } => Some(Input::Announced(proplet, key, answer)),
            Received::Rejected {
                proplet,
                session,
                counter,
            } => Some(Input::Rejected(proplet, session, counter)),
            Received::Dropped(why) => {
                debug!(why, "frame dropped");
                self.metrics.dropped(why);
                None
            }
            _ => None,
        }
    }

    /// Applies one input. The answer is for whoever asked, once the batch is committed.
    pub(super) fn apply(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        input: &Input,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Reply>, StoreError> {
        match input {
            Input::Tick => self.tick(db, moment, effects)?,
            Input::Command(command) => {
                return self.command(db, command, moment, effects).map(Some);
            }
            Input::Said(proplet, message) => {
                self.said(db, blobs, proplet, message, moment, effects)?;
            }
            Input::Judged(judged) => self.judged(db, blobs, judged, moment, effects)?,
            Input::Announced(proplet, key, answer) => {
                self.announced(proplet, *key, moment);
                let channel = Channel::StartTo(proplet.clone());
                effects.push(Effect::Publish(channel, answer.clone()));
            }
            Input::Rejected(proplet, session, counter) => {
                self.rejected(db, proplet, *session, *counter, moment, effects)?;
            }
            Input::PlainCreate(proplet, metadata) => {
                self.plain_create(db, proplet, metadata, moment, effects)?;
            }
            Input::PlainAlive(proplet, alive) => self.plain_alive(proplet, *alive, moment),
            Input::PlainResults(results) => {
                self.plain_results(db, blobs, results, moment, effects)?;
            }
        }
        Ok(None)
    }

    /// Leases that ran out, signs of life to write down, tasks to forget.
    fn tick(
        &mut self,
        db: &Connection,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        /// How often what is cheap to lose is written down and what is old is removed.
        const SWEEP: Duration = Duration::from_secs(10);
        for attempt in self.leases.over(moment.now) {
            let setback = Setback {
                why: "no sign of life within the lease".to_owned(),
                exit: ExitKind::Lost,
                retry: Retry::MayHelp,
                exclude: false,
                store_away: false,
            };
            self.undone(db, attempt, &setback, moment, effects)?;
        }
        effects.push(Effect::LookAtLogs);
        self.metrics.gauge(self.waiting, self.leases.len());
        if moment.now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = moment.now;
            self.waiters.tidy();
            self.fleet.save(db)?;
            let kept = i64::try_from(self.rules.retention.as_millis()).unwrap_or(i64::MAX);
            let swept = Swept::sweep(db, moment.ms.saturating_sub(kept))?;
            if swept.is_partial() {
                // More is waiting: the next tick goes on.
                self.swept = moment.now.checked_sub(SWEEP).unwrap_or(moment.now);
            }
            if !swept.tasks.is_empty() {
                info!(
                    tasks = swept.tasks.len(),
                    "removed tasks past their retention"
                );
            }
            effects.push(Effect::Remove(swept));
        }
        Ok(())
    }

    fn announced(&mut self, proplet: &PropletId, key: KeyMatch, moment: Moment) {
        if key == KeyMatch::Ours {
            return;
        }
        let window = self.rules.lease;
        let lives = self.fleet.find(proplet).is_some_and(|member| {
            member.link == Some(Link::Sealed) && member.is_alive(moment.now, window)
        });
        if lives {
            // The running session stays in force until a frame in the new one is opened, or until
            // nothing has been heard in it for a lease.
            return;
        }
        self.desk.end(proplet);
        if let Some(member) = self.fleet.member(proplet) {
            if member.link != Some(Link::KeyMismatch) {
                info!(proplet = %proplet, "a proplet announced itself with another workload key");
            }
            member.link = Some(Link::KeyMismatch);
            member.beat(moment);
        }
    }

    fn rejected(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        session: SessionId,
        counter: u64,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let attempt = self
            .fleet
            .find_mut(proplet)
            .filter(|member| member.link == Some(Link::KeyMismatch))
            .and_then(|member| member.take_letter(session, counter));
        match attempt {
            Some(attempt) => {
                let pinned = task_find(db, attempt.task)?.is_some_and(|t| t.pinned.is_some());
                let others = self.fleet.has_sealed(moment.now, self.rules.lease);
                let setback = Setback {
                    why: "Failed to decrypt workload: cipher: message authentication failed \
                          (the proplet uses another workload key)"
                        .to_owned(),
                    exit: ExitKind::Refused,
                    retry: if others && !pinned {
                        Retry::IsFree
                    } else {
                        Retry::IsPointless
                    },
                    exclude: true,
                    store_away: false,
                };
                self.undone(db, attempt, &setback, moment, effects)
            }
            None => {
                self.metrics
                    .dropped("reject of a frame that carried no attempt");
                Ok(())
            }
        }
    }

    pub(super) fn is_plain(&self, proplet: &PropletId) -> bool {
        let member = self.fleet.find(proplet);
        member.is_some_and(|member| member.link == Some(Link::Plain))
    }
}
