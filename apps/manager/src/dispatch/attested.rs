//! Tasks that only a trusted execution environment (TEE) may open, and proplets that are in one.

use propeller_attest::binding::{AttemptBinding, SessionBinding};
use propeller_model::task::Retry;
use propeller_model::{ExitKind, PropletId};
use propeller_wire::message::{AttestedReport, Proof, TeeClaim, ToProplet};
use rusqlite::Connection;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::fleet::TeeStanding;
use super::settle::Setback;
use super::{Effect, Mind, Moment};
use crate::judge::Standing;
use crate::store::attempt::attempt_session;
use crate::store::task::{Task, task_find, task_protection_set};
use crate::store::waiting::{task_waiting_attested, task_waits_attested};
use crate::store::{Blobs, StoreError};

/// Tasks that are given up in one transaction, because nobody can run them.
const GIVEN_UP_MAX: usize = 64;

/// Longest place of a key, or of several, that is kept.
const KEY_LEN_MAX: usize = 4096;

/// What is shown as the reason.
const NOBODY: &str = "no proplet that is connected is in a TEE, which this task needs because it is \
                      encrypted: start a proplet inside one, and see `propeller attest detect` there";

impl Mind {
    /// A proplet has shown evidence of its TEE.
    pub(super) fn tee_claimed(&mut self, proplet: &PropletId, claim: &TeeClaim, moment: Moment) {
        let Some(session) = self.desk.binding(proplet) else {
            return;
        };
        let bound = SessionBinding {
            proplet: proplet.as_str(),
            session,
        };
        let judged = self.rules.judge.judge(
            &claim.kind,
            &claim.evidence,
            &bound.report_data(),
            moment.ms,
        );
        let Some(member) = self.fleet.find_mut(proplet) else {
            return;
        };
        let Some(tee) = &mut member.tee else {
            return;
        };
        match judged {
            Ok(standing) if standing.tee == tee.kind => {
                info!(target: "security", %proplet, tee = %standing.tee, checked = standing.checked, "evidence of a proplet holds");
                tee.checked_ms = standing.checked.then_some(moment.ms);
                tee.refused = None;
            }
            Ok(_) => {
                tee.refused = Some("it is of another kind than the proplet said".to_owned());
            }
            Err(why) => {
                warn!(target: "security", %proplet, why = %why, "evidence of a proplet is refused");
                tee.refused = Some(why);
            }
        }
    }

    /// An attempt has ended that was made in a TEE: it counts if its proof holds.
    pub(super) fn finished_attested(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        proplet: &PropletId,
        attested: &AttestedReport,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let AttestedReport { report, proof } = attested;
        let attempt = report.attempt;
        let task = match self.leases.holder(attempt) == Some(proplet) {
            true => task_find(db, attempt.task)?,
            false => None,
        };
        let Some(task) = task else {
            // Nobody waits for it: as with any report.
            return self.finished(db, blobs, proplet, report, None, moment, effects);
        };
        match self.proven(db, proplet, &task, attested, moment.ms)? {
            Ok((standing, json)) => {
                task_protection_set(db, attempt.task, &standing.label())?;
                let proof = json.to_string();
                self.finished(db, blobs, proplet, report, Some(&proof), moment, effects)
            }
            Err(why) => {
                warn!(target: "security", %proplet, task = %attempt.task, kind = %proof.kind.escape_debug(), why = %why, "the proof of an attempt is refused");
                effects.push(Effect::Say(proplet.clone(), ToProplet::Settled(attempt)));
                let setback = Setback {
                    why: format!("its result is not taken: the evidence for it is refused: {why}"),
                    exit: ExitKind::Refused,
                    retry: Retry::MayHelp,
                    exclude: true,
                };
                self.undone(db, attempt, &setback, moment, effects)
            }
        }
    }

    /// What a proof comes to; in words, why it does not hold.
    fn proven(
        &self,
        db: &Connection,
        proplet: &PropletId,
        task: &Task,
        attested: &AttestedReport,
        now_ms: i64,
    ) -> Result<Result<(Standing, Value), String>, StoreError> {
        let AttestedReport { report, proof } = attested;
        let refused = |why: &str| Ok(Err(why.to_owned()));
        let Some(image) = task.image.as_ref().filter(|image| image.key.is_some()) else {
            return refused("the task is not encrypted");
        };
        if image.digest() != Some(proof.image) {
            return refused("it is about another image");
        }
        // Whoever plays the manager to a proplet elsewhere gets evidence for that session.
        if attempt_session(db, report.attempt)? != Some(proof.session) {
            return refused("it is about another session than the one in which this was given");
        }
        let said = self
            .fleet
            .find(proplet)
            .and_then(|member| member.tee.as_ref());
        if said.map(|tee| tee.kind.name()) != Some(proof.kind.as_str()) {
            return refused("it is of another kind of TEE than the proplet said");
        }
        if proof.key.len() > KEY_LEN_MAX {
            return refused("the key's place is too long to be one");
        }
        let bound = AttemptBinding {
            attempt: report.attempt,
            image: proof.image,
            session: proof.session,
        };
        let judge = &self.rules.judge;
        let judged = judge.judge(&proof.kind, &proof.evidence, &bound.report_data(), now_ms);
        Ok(judged.map(|standing| (standing, shown(proof, standing))))
    }

    /// Gives up tasks that wait for a TEE while nobody who may have them is in one.
    ///
    /// Whoever was connected before a restart may come back: for a lease, that is waited for.
    pub(super) fn give_up_without_tee(
        &mut self,
        db: &Connection,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let (now, term) = (moment.now, self.rules.lease);
        let starting = now.saturating_duration_since(self.begun) < term;
        let expected = starting && self.fleet.is_missing_some(now, term);
        if expected || !self.fleet.has_sealed(now, term) || !task_waits_attested(db)? {
            return Ok(());
        }
        // Who is away may come back, and in a TEE.
        let outside = self.fleet.outside(now, term);
        let outside: Vec<&PropletId> = outside.iter().collect();
        let nobody = !self.fleet.has_tee(now, term);
        for id in task_waiting_attested(db, &outside, nobody, GIVEN_UP_MAX)? {
            self.abandon_because(db, id, NOBODY, moment, effects)?;
        }
        Ok(())
    }
}

/// What is kept of a proof, and shown.
fn shown(proof: &Proof, standing: Standing) -> Value {
    let steps = proof.steps;
    json!({
        "tee": standing.tee.name(),
        "checked": standing.checked,
        "key": proof.key,
        "image": proof.image.to_string(),
        "session": data_encoding::HEXLOWER.encode(&proof.session),
        "evidence_digest": propeller_oci::sha256(&proof.evidence).to_string(),
        // It was parsed a moment ago.
        "evidence": serde_json::from_slice::<Value>(&proof.evidence).unwrap_or_default(),
        "steps": {
            "evidence_us": steps.evidence_us,
            "token_us": steps.token_us,
            "key_us": steps.key_us,
            "image_us": steps.image_us,
            "decrypt_us": steps.decrypt_us,
        },
    })
}

impl TeeStanding {
    /// What people are told about a proplet.
    pub fn label(&self) -> String {
        let kind = self.kind.label();
        match (&self.refused, self.checked_ms) {
            (Some(_), _) => format!("{kind}: evidence refused"),
            (None, Some(_)) => kind.to_owned(),
            (None, None) => format!("{kind}: not checked"),
        }
    }
}
