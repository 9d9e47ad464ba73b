//! Tasks that only a trusted execution environment (TEE) may open, and proplets that are in one.

use propeller_attest::Tee;
use propeller_attest::binding::{AttemptBinding, SessionBinding};
use propeller_model::task::Retry;
use propeller_model::{AttemptId, ExitKind, PropletId};
use propeller_wire::message::{AttestedReport, EVIDENCE_LEN_MAX, Proof, TeeClaim, ToProplet};
use rusqlite::Connection;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::fleet::TeeStanding;
use super::settle::Setback;
use super::{Effect, Mind, Moment};
use crate::judge::Standing;
use crate::store::attempt::attempt_session;
use crate::store::task::{Task, task_find, task_protection_set};
use crate::store::{Blobs, StoreError};
use crate::verifier::{Case, Judged, Subject};

const TOO_LONG: &str = "it is longer than evidence may be";

/// Longest place of a key, or of several, that is kept.
const KEY_LEN_MAX: usize = 4096;

impl Mind {
    /// A proplet shows evidence of its TEE.
    pub(super) fn tee_claimed(
        &mut self,
        proplet: &PropletId,
        claim: &TeeClaim,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.desk.binding(proplet) else {
            return;
        };
        let member = self.fleet.find_mut(proplet);
        let Some(tee) = member.and_then(|member| member.tee.as_mut()) else {
            return;
        };
        if !tee.take(moment.ms) {
            return;
        }
        if claim.evidence.len() > EVIDENCE_LEN_MAX {
            self.stand(proplet, Err(TOO_LONG.to_owned()), moment);
            return;
        }
        let bound = SessionBinding {
            proplet: proplet.as_str(),
            session,
        };
        effects.push(Effect::Judge(Box::new(Case {
            proplet: proplet.clone(),
            subject: Subject::Session(session, Box::new(claim.clone())),
            report_data: bound.report_data(),
            came_ms: moment.ms,
        })));
    }

    /// Hands evidence to whoever judges it.
    pub(super) fn have_judged(&mut self, case: Case) {
        let (proplet, about) = (case.proplet.clone(), case.subject.word());
        if !self.verifier.submit(case) {
            // Of an attempt the proplet reports again: nobody told it that it is settled. It shows
            // evidence for its session a minute later.
            warn!(target: "security", %proplet, about, "evidence is not judged: there is too much of it");
            self.metrics.evidence(about, "not judged");
        }
    }

    /// Takes note that evidence has been judged, whatever comes of it.
    pub(super) fn note(&mut self, judged: &Judged) {
        self.verifier.done(judged);
        let outcome = judged.verdict.as_ref().map_or("refused", |_| "held");
        self.metrics.evidence(judged.subject.word(), outcome);
    }

    /// Whether a report of this attempt is being judged, or is about to be.
    pub(super) fn is_judged(
        &self,
        proplet: &PropletId,
        attempt: AttemptId,
        effects: &[Effect],
    ) -> bool {
        let about = |effect: &Effect| match effect {
            Effect::Judge(case) => case.is_about(proplet, attempt),
            _ => false,
        };
        self.verifier.judges(proplet, attempt) || effects.iter().any(about)
    }

    /// An attempt has ended that was made in a TEE: it counts if its proof holds, which takes longer
    /// to find out than a dispatcher has.
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
        let Some(task) = self.held(db, proplet, attempt)? else {
            // Nobody waits for it: as with any report.
            return self.finished(db, blobs, proplet, report, None, moment, effects);
        };
        if let Err(why) = self.admissible(db, proplet, &task, attested)? {
            return self.not_proven(db, proplet, attested, &why, moment, effects);
        }
        let bound = AttemptBinding {
            attempt,
            image: proof.image,
            session: proof.session,
        };
        effects.push(Effect::Judge(Box::new(Case {
            proplet: proplet.clone(),
            subject: Subject::Attempt(Box::new(attested.clone())),
            report_data: bound.report_data(),
            came_ms: moment.ms,
        })));
        Ok(())
    }

    /// Evidence has been judged. Much may have happened since it came.
    pub(super) fn judged(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        judged: &Judged,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Judged {
            proplet,
            subject,
            verdict,
        } = judged;
        let attested = match subject {
            Subject::Session(session, _) => {
                if self.desk.binding(proplet) == Some(*session) {
                    self.stand(proplet, verdict.clone(), moment);
                }
                return Ok(());
            }
            Subject::Attempt(attested) => attested,
        };
        let AttestedReport { report, proof } = &**attested;
        let Some(task) = self.held(db, proplet, report.attempt)? else {
            return self.finished(db, blobs, proplet, report, None, moment, effects);
        };
        let admissible = self.admissible(db, proplet, &task, attested)?;
        match admissible.and_then(|()| verdict.clone()) {
            Ok(standing) => {
                self.metrics.attested(&proof.steps);
                task_protection_set(db, report.attempt.task, &standing.label())?;
                let proof = shown(proof, standing).to_string();
                self.finished(db, blobs, proplet, report, Some(&proof), moment, effects)
            }
            Err(why) => self.not_proven(db, proplet, attested, &why, moment, effects),
        }
    }

    /// What a proplet's evidence for its session came to.
    fn stand(&mut self, proplet: &PropletId, verdict: Result<Standing, String>, moment: Moment) {
        let member = self.fleet.find_mut(proplet);
        let Some(tee) = member.and_then(|member| member.tee.as_mut()) else {
            return;
        };
        let is_news = tee.judge(verdict, moment.ms);
        match &tee.refused {
            // Every minute it is the same, as a rule.
            _ if !is_news => {}
            None => {
                info!(target: "security", %proplet, tee = %tee.kind, checked = tee.checked_ms.is_some(), "evidence of a proplet holds");
            }
            Some(why) => {
                warn!(target: "security", %proplet, why = %why, "evidence of a proplet is refused");
            }
        }
    }

    /// The task of an attempt, if this proplet makes it.
    fn held(
        &self,
        db: &Connection,
        proplet: &PropletId,
        attempt: AttemptId,
    ) -> Result<Option<Task>, StoreError> {
        match self.leases.holder(attempt) == Some(proplet) {
            true => task_find(db, attempt.task),
            false => Ok(None),
        }
    }

    fn not_proven(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        attested: &AttestedReport,
        why: &str,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let AttestedReport { report, proof } = attested;
        let attempt = report.attempt;
        warn!(target: "security", %proplet, task = %attempt.task, kind = %proof.kind.escape_debug(), why = %why, "the proof of an attempt is refused");
        effects.push(Effect::Say(proplet.clone(), ToProplet::Settled(attempt)));
        let setback = Setback {
            why: format!("its result is not taken: the evidence for it is refused: {why}"),
            exit: ExitKind::Refused,
            retry: Retry::MayHelp,
            exclude: true,
            store_away: false,
        };
        self.undone(db, attempt, &setback, moment, effects)
    }

    /// Whether a proof is about what was given; in words, why not.
    fn admissible(
        &self,
        db: &Connection,
        proplet: &PropletId,
        task: &Task,
        attested: &AttestedReport,
    ) -> Result<Result<(), String>, StoreError> {
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
        if proof.evidence.len() > EVIDENCE_LEN_MAX {
            return refused(TOO_LONG);
        }
        if proof.key.len() > KEY_LEN_MAX {
            return refused("the key's place is too long to be one");
        }
        Ok(Ok(()))
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
            // Whatever was found out about it, it is not.
            (None, None) if self.kind == Tee::Sample => kind.to_owned(),
            (None, None) => format!("{kind}: not checked"),
        }
    }
}
