//! What proplets say in their sessions.

use std::time::Duration;

use propeller_attest::Tee;
use propeller_model::task::{Event, Retry};
use propeller_model::{AttemptId, ExitKind, PropletId};
use propeller_scheduler::{Link, Needs};
use propeller_wire::message::{
    Beat, Fetch, FromProplet, Heartbeat, Hello, PIECE_LEN, PIECES_IN_FLIGHT_MAX, Piece, Refusal,
    Refused, ToProplet, Welcome,
};
use rusqlite::Connection;
use serde_bytes::ByteBuf;
use tracing::info;

use super::fleet::TeeStanding;
use super::settle::Setback;
use super::{Effect, Mind, Moment};
use crate::judge::kind;
use crate::store::module::module_find;
use crate::store::task::{task_find, task_state_set};
use crate::store::{Blobs, StoreError};

/// For how long a proplet gets nothing that needs the object store after the store has not answered.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Mind {
    pub(super) fn said(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        proplet: &PropletId,
        message: &FromProplet,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        if let Some(member) = self.fleet.find_mut(proplet) {
            member.hear(moment);
        }
        match message {
            FromProplet::Hello(hello) => self.hello(db, proplet, hello, None, moment, effects),
            FromProplet::HelloInTee(said) => {
                let tee = kind(&said.kind).ok();
                self.hello(db, proplet, &said.hello, tee, moment, effects)
            }
            FromProplet::Tee(claim) => {
                self.tee_claimed(proplet, claim, moment, effects);
                Ok(())
            }
            FromProplet::Heartbeat(beat) => {
                self.heartbeat(proplet, beat, moment, effects);
                Ok(())
            }
            FromProplet::Started(attempt) => self.started(db, proplet, *attempt, moment, effects),
            FromProplet::Refused(refused) => self.refused(db, proplet, refused, moment, effects),
            FromProplet::Finished(report) => {
                self.finished(db, blobs, proplet, report, None, moment, effects)
            }
            FromProplet::FinishedAttested(report) => {
                self.finished_attested(db, blobs, proplet, report, moment, effects)
            }
            FromProplet::Fetch(fetch) => Self::fetch(db, blobs, proplet, *fetch, effects),
            FromProplet::Goodbye => self.goodbye(db, proplet, moment, effects),
            FromProplet::Reaches(store) => {
                let ours = self.objects.as_ref().map(|objects| objects.mark);
                if let Some(member) = self.fleet.find_mut(proplet) {
                    member.reach(*store, ours, moment);
                }
                Ok(())
            }
            // It was passed on where it was opened.
            FromProplet::Printed(_) => Ok(()),
        }
    }

    /// A session begins. What the proplet was given and does not hold will not be done.
    fn hello(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        hello: &Hello,
        tee: Option<Tee>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Some(member) = self.fleet.member(proplet) else {
            self.metrics.dropped("too many proplets");
            return Ok(());
        };
        info!(proplet = %proplet, slots = hello.slots, holds = hello.holds.len(), "proplet connected");
        member.about = hello.about.clone();
        member.slots = hello.slots;
        member.link = Some(Link::Sealed);
        member.begin(moment);
        member.tee = tee.map(TeeStanding::said);
        member.ever_sealed = true;
        member.delivered.clear();
        member.letters.clear();
        member.beat(moment);
        member.save(db)?;
        let lease_ms = u32::try_from(self.rules.lease.as_millis()).unwrap_or(u32::MAX);
        let welcome = ToProplet::Welcome(Welcome { lease_ms });
        effects.push(Effect::Say(proplet.clone(), welcome));
        for attempt in self.leases.of(proplet) {
            if !hello.holds.contains(&attempt) {
                let setback = Setback {
                    why: "the proplet was restarted or never got it".to_owned(),
                    exit: ExitKind::Lost,
                    retry: Retry::MayHelp,
                    exclude: false,
                    store_away: false,
                };
                self.undone(db, attempt, &setback, moment, effects)?;
            }
        }
        let void = self.renew(proplet, &hello.holds, moment);
        effects.extend(
            void.into_iter()
                .map(|attempt| Effect::Say(proplet.clone(), ToProplet::Stop(attempt))),
        );
        Ok(())
    }

    fn heartbeat(
        &mut self,
        proplet: &PropletId,
        beat: &Heartbeat,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(member) = self.fleet.find_mut(proplet) {
            member.beat(moment);
            member.measure(moment, beat.vitals);
        }
        let void = self.renew(proplet, &beat.holds, moment);
        let answer = ToProplet::Beat(Beat {
            number: beat.number,
            void,
        });
        effects.push(Effect::Say(proplet.clone(), answer));
    }

    /// Renews what is named; returns what no longer counts.
    fn renew(
        &mut self,
        proplet: &PropletId,
        holds: &[AttemptId],
        moment: Moment,
    ) -> Vec<AttemptId> {
        let term = self.rules.lease;
        holds
            .iter()
            .copied()
            .filter(|attempt| !self.leases.renew(*attempt, proplet, moment.now, term))
            .collect()
    }

    fn started(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        attempt: AttemptId,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        if self.leases.holder(attempt) != Some(proplet) {
            return Ok(());
        }
        let event = Event::Started {
            number: attempt.number,
        };
        let Some(task) = task_find(db, attempt.task)? else {
            return Ok(());
        };
        if let Ok((state, _)) = task.state.on(event, &self.rules.retry) {
            task_state_set(db, attempt.task, &state, moment.ms, 0)?;
            effects.push(Effect::Leg(attempt, proplet.clone(), task.trace, "running"));
        }
        Ok(())
    }

    fn refused(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        refused: &Refused,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let attempt = refused.attempt;
        effects.push(Effect::Say(proplet.clone(), ToProplet::Settled(attempt)));
        if self.leases.holder(attempt) != Some(proplet) {
            self.metrics.stale_reports.inc();
            return Ok(());
        }
        let (retry, exclude) = match refused.reason {
            Refusal::Busy | Refusal::OutboxFull => {
                // Its word goes before our count, for as long as a heartbeat may take to tell more.
                if let Some(member) = self.fleet.find_mut(proplet) {
                    member.full_until = Some(moment.now + self.rules.lease / 3);
                }
                (Retry::IsFree, false)
            }
            Refusal::Store => {
                // What needs no store it does as before.
                if let Some(member) = self.fleet.find_mut(proplet) {
                    member.storeless_until = Some(moment.now + STORE_PAUSE);
                }
                (Retry::IsFree, false)
            }
            Refusal::LeaseLost => (Retry::MayHelp, false),
            // Another proplet may be luckier, or find what this one does not; so may this one, later.
            Refusal::Leaving
            | Refusal::NoModule
            | Refusal::NoInput
            | Refusal::NoOutput
            | Refusal::NoPlace => (Retry::MayHelp, true),
            Refusal::Unopenable => (Retry::IsPointless, true),
            Refusal::AboveCeiling => (self.allowed_elsewhere(db, attempt, moment)?, true),
            Refusal::NoTee | Refusal::NoKey => {
                (self.elsewhere(db, proplet, attempt, moment)?, true)
            }
        };
        let setback = Setback {
            why: refused.text.clone(),
            exit: match refused.reason {
                Refusal::LeaseLost => ExitKind::Lost,
                _ => ExitKind::Refused,
            },
            retry,
            exclude,
            store_away: refused.reason == Refusal::Store,
        };
        self.undone(db, attempt, &setback, moment, effects)
    }

    /// Whether another attempt may help a task for which this proplet does not allow what it asks:
    /// another proplet may allow more, if there is one and the task may go there. This one says the
    /// same again.
    fn allowed_elsewhere(
        &self,
        db: &Connection,
        attempt: AttemptId,
        moment: Moment,
    ) -> Result<Retry, StoreError> {
        let others = self.fleet.alive(moment.now, self.rules.lease) > 1;
        let task = task_find(db, attempt.task)?;
        let may = task.is_some_and(|task| task.pinned.is_none());
        Ok(if others && may {
            Retry::MayHelp
        } else {
            Retry::IsPointless
        })
    }

    /// Whether somebody else may do what this proplet gets no key for: who may ask which broker, and
    /// what that gives to whom, they alone know. Each of them is asked once, at no cost to the task,
    /// and a pinned task asks nobody else.
    fn elsewhere(
        &self,
        db: &Connection,
        proplet: &PropletId,
        attempt: AttemptId,
        moment: Moment,
    ) -> Result<Retry, StoreError> {
        let Some(task) = task_find(db, attempt.task)? else {
            return Ok(Retry::IsPointless);
        };
        if task.pinned.is_some() {
            return Ok(Retry::IsPointless);
        }
        let mut tried: Vec<&PropletId> = task.excluded.iter().collect();
        tried.push(proplet);
        let needs = Needs {
            tee: true,
            store: task.stored,
        };
        let (now, term) = (moment.now, self.rules.lease);
        let only_checked = self.rules.judge.has_policy();
        let mut able = self.fleet.candidates(now, term, &self.leases, only_checked);
        able.retain(|candidate| candidate.suits(needs));
        Ok(self.fleet.besides(&tried, &able, now, term))
    }

    /// Sends the pieces of a module that a proplet asks for, from where they stand.
    fn fetch(
        db: &Connection,
        blobs: &Blobs,
        proplet: &PropletId,
        fetch: Fetch,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let say = |message| Effect::Say(proplet.clone(), message);
        let Some(module) = module_find(db, fetch.digest)? else {
            effects.push(say(ToProplet::NoModule(fetch.digest)));
            return Ok(());
        };
        let count = module.sealed_len.div_ceil(PIECE_LEN as u64);
        let first = u64::from(fetch.first);
        let wanted = u64::from(fetch.count.min(PIECES_IN_FLIGHT_MAX));
        for index in first..first.saturating_add(wanted).min(count) {
            let bytes = blobs.read_range(&module.sealed, index * PIECE_LEN as u64, PIECE_LEN)?;
            let piece = Piece {
                digest: fetch.digest,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                count: u32::try_from(count).unwrap_or(u32::MAX),
                bytes: ByteBuf::from(bytes),
            };
            effects.push(say(ToProplet::Piece(piece)));
        }
        Ok(())
    }

    /// A proplet leaves in peace: its attempts go on elsewhere at once.
    fn goodbye(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        info!(proplet = %proplet, "proplet says goodbye");
        for attempt in self.leases.of(proplet) {
            if self.is_judged(proplet, attempt, effects) {
                // It is done, and counts if its proof holds.
                continue;
            }
            let setback = Setback {
                why: "the proplet was shut down".to_owned(),
                exit: ExitKind::Lost,
                retry: Retry::IsFree,
                exclude: false,
                store_away: false,
            };
            self.undone(db, attempt, &setback, moment, effects)?;
        }
        if let Some(member) = self.fleet.find_mut(proplet) {
            member.leave();
            member.save(db)?;
        }
        self.desk.end(proplet);
        Ok(())
    }
}
