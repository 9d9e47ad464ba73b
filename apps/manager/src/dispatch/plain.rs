//! Plain compatibility mode: upstream's proplets, in upstream's JSON.
//!
//! Off unless the operator turns it on. An id that ever had a session is never served in plain
//! again, so that a broker cannot talk a proplet out of its encryption.

use std::time::Duration;

use aws_lc_rs::digest;
use propeller_envelope::{Context, open, seal};
use propeller_model::task::Retry;
use propeller_model::{AttemptId, ExitKind, Profile, PropletId};
use propeller_scheduler::Link;
use propeller_wire::Channel;
use propeller_wire::message::{About, AskedLimits, Input as TaskInput, Output};
use propeller_wire::upstream::{self, Alive, Create, Metadata, Results, Start, Stop};
use rusqlite::Connection;
use tracing::{debug, info};
use uuid::Uuid;

use super::settle::{Setback, kept};
use super::{Effect, Input, Mind, Moment};
use crate::store::attempt::Ended;
use crate::store::module::module_find;
use crate::store::task::Task;
use crate::store::{Blobs, StoreError};

const UNOPENABLE: StoreError = StoreError::Row("an envelope that the manager's keys do not open");

/// How long an attempt in plain mode may take: the longest time that a proplet gives to a guest.
const PLAIN_ATTEMPT_MAX: Duration = Duration::from_secs(3600);

impl Mind {
    /// What an upstream proplet says, if plain mode is on.
    pub(super) fn read_plain(&self, channel: &Channel, bytes: &[u8]) -> Option<Input> {
        if !self.rules.allow_plaintext {
            self.metrics.dropped("plain message, and plain mode is off");
            return None;
        }
        let input = match channel {
            Channel::Create => upstream::read::<Create>(bytes).ok().and_then(|create| {
                let proplet = create.proplet_id.parse().ok()?;
                Some(Input::PlainCreate(proplet, Box::new(create.metadata)))
            }),
            Channel::Alive => upstream::read::<Alive>(bytes).ok().and_then(|alive| {
                let proplet = alive.proplet_id.parse().ok()?;
                Some(Input::PlainAlive(proplet, alive.status != "offline"))
            }),
            Channel::Results => upstream::read::<Results>(bytes)
                .ok()
                .map(|results| Input::PlainResults(Box::new(results))),
            _ => None,
        };
        if input.is_none() {
            debug!("malformed plain message dropped");
            self.metrics.dropped("malformed plain message");
        }
        input
    }

    /// An upstream proplet announces itself once, when its process starts: what it had is gone.
    pub(super) fn plain_create(
        &mut self,
        db: &Connection,
        proplet: &PropletId,
        metadata: &Metadata,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let Some(member) = self.fleet.member(proplet) else {
            return Ok(());
        };
        if member.ever_sealed {
            self.metrics
                .dropped("plain announcement of a sealed proplet");
            return Ok(());
        }
        info!(proplet = %proplet, "proplet without encryption connected");
        member.link = Some(Link::Plain);
        member.about = about(metadata);
        member.beat(moment);
        for attempt in self.leases.of(proplet) {
            let setback = Setback {
                why: "the proplet was restarted".to_owned(),
                exit: ExitKind::Lost,
                retry: Retry::MayHelp,
                exclude: false,
                store_away: false,
            };
            self.undone(db, attempt, &setback, moment, effects)?;
        }
        Ok(())
    }

    /// A beat renews every lease of that proplet, because upstream's beats name no attempts.
    pub(super) fn plain_alive(&mut self, proplet: &PropletId, alive: bool, moment: Moment) {
        let Some(member) = self.fleet.member(proplet) else {
            return;
        };
        if member.ever_sealed {
            self.metrics.dropped("plain beat of a sealed proplet");
            return;
        }
        if !alive {
            member.leave();
            return;
        }
        member.link = Some(Link::Plain);
        member.beat(moment);
        let term = self.rules.lease;
        // A start or a result that was lost leaves no trace here: an attempt gets no older than any
        // guest may.
        for attempt in self
            .leases
            .younger_than(proplet, moment.now, PLAIN_ATTEMPT_MAX)
        {
            self.leases.renew(attempt, proplet, moment.now, term);
        }
    }

    pub(super) fn plain_results(
        &mut self,
        db: &Connection,
        blobs: &Blobs,
        results: &Results,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StoreError> {
        let proplet = results.proplet_id.parse::<PropletId>();
        let held = proplet.ok().filter(|p| self.is_plain(p)).and_then(|p| {
            let attempt = self
                .leases
                .find(&p, |a| attempt_uuid(a).to_string() == results.task_id)?;
            Some((p, attempt))
        });
        let Some((proplet, attempt)) = held else {
            self.metrics.stale_reports.inc();
            return Ok(());
        };
        let failure = results.failure();
        let output = Output {
            result: Some(results.text()),
            error: failure.map(ToOwned::to_owned),
            ..Output::default()
        };
        let context = Context::Result {
            tenant: &self.rules.tenant,
            task: *attempt.task.0.as_bytes(),
            attempt: attempt.number,
            proplet: proplet.as_str(),
        };
        let sealed = seal(&self.keys, &context, &output.to_bytes())
            .map_err(|_| StoreError::Row("no randomness to seal a result with"))?;
        let output = kept(blobs, sealed)?;
        let success = failure.is_none();
        let ended = Ended {
            outcome: if success { "completed" } else { "failed" },
            output: Some(&output),
            usage: None,
            exit: None,
            proof: None,
            now_ms: moment.ms,
        };
        self.settle(db, &proplet, attempt, success, &ended, moment, effects)
    }

    /// Upstream's start message: the module and its input in clear, for an attempt.
    pub(super) fn plain_start(
        &self,
        db: &Connection,
        blobs: &Blobs,
        attempt: AttemptId,
        proplet: &PropletId,
        task: &Task,
    ) -> Result<Vec<u8>, StoreError> {
        let tenant = self.rules.tenant.as_str();
        let (image_url, file) = match &task.image {
            Some(image) if image.encrypted => {
                let why = "its image is encrypted, which plain mode cannot carry";
                return Err(StoreError::Row(why));
            }
            Some(image) => (Some(image.reference.clone()), None),
            None => (None, Some(self.plain_module(db, blobs, task)?)),
        };
        let context = Context::Input {
            tenant,
            task: *task.id.0.as_bytes(),
        };
        let input = task
            .input
            .clone()
            .ok_or(StoreError::Row("a task without its input"))?;
        let input = open(&self.keys, &context, &blobs.read(input)?).map_err(|_| UNOPENABLE)?;
        let input = TaskInput::from_bytes(&input).map_err(|_| UNOPENABLE)?;
        if let Some(lacks) = lacking(&input) {
            return Err(StoreError::Row(lacks));
        }
        let frame = upstream::write(&Start {
            id: attempt_uuid(attempt).to_string(),
            // Upstream's proplet calls the export that the task is named after.
            name: input.invoke.unwrap_or(input.task_name),
            image_url,
            file,
            inputs: (!input.args.is_empty()).then_some(input.args),
            env: (!input.env.is_empty()).then(|| input.env.into_iter().collect()),
            proplet_id: Some(proplet.to_string()),
            daemon: input.daemon,
            ..Start::default()
        });
        if frame.len() > upstream::JSON_LEN_MAX {
            return Err(StoreError::Row(
                "its module is too large for plain mode, where a message is at most 10 MiB",
            ));
        }
        Ok(frame)
    }

    /// The module of a task, in base64.
    fn plain_module(
        &self,
        db: &Connection,
        blobs: &Blobs,
        task: &Task,
    ) -> Result<String, StoreError> {
        let digest = task
            .module
            .ok_or(StoreError::Row("a queued task without a module"))?;
        let module =
            module_find(db, digest)?.ok_or(StoreError::Row("a task whose module is gone"))?;
        let context = Context::Module {
            tenant: &self.rules.tenant,
            digest: digest.0,
        };
        let wasm = open(&self.keys, &context, &blobs.read(module.sealed)?);
        let wasm = wasm.map_err(|_| UNOPENABLE)?;
        Ok(data_encoding::BASE64.encode(&wasm))
    }
}

/// What a task wants that upstream's start message has no place for.
fn lacking(input: &TaskInput) -> Option<&'static str> {
    if !input.stdin.is_empty() {
        return Some("it has standard input, which plain mode cannot carry");
    }
    let objects = input.objects.as_ref();
    if objects.is_some_and(|objects| objects.stdin.is_some()) {
        return Some("its standard input is in the object store, which plain mode cannot carry");
    }
    if input.limits != AskedLimits::default() {
        return Some("it asks for limits, which plain mode cannot carry");
    }
    if input.profile != Profile::Pure {
        return Some("it has a profile, which plain mode cannot carry");
    }
    None
}

/// Upstream's stop message.
pub(super) fn stop(attempt: AttemptId, proplet: &PropletId) -> Vec<u8> {
    upstream::write(&Stop {
        id: attempt_uuid(attempt).to_string(),
        broadcast: false,
        proplet_id: Some(proplet.to_string()),
    })
}

/// The id by which upstream knows an attempt: a UUIDv8 made from the task and the number, so that
/// a result says which attempt it belongs to.
fn attempt_uuid(attempt: AttemptId) -> Uuid {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"propeller attempt v1");
    context.update(attempt.task.0.as_bytes());
    context.update(&attempt.number.to_be_bytes());
    let hash = context.finish();
    let bytes = hash.as_ref()[..16].try_into().expect("a digest is longer");
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn about(metadata: &Metadata) -> About {
    let Metadata {
        description,
        tags,
        location,
        ip: _,
        environment: _,
        os,
        hostname,
        cpu_arch,
        total_memory_bytes,
        proplet_version,
        wasm_runtime,
    } = metadata.clone();
    About {
        description,
        tags,
        location,
        os,
        hostname,
        cpu_arch,
        total_memory_bytes,
        proplet_version,
        wasm_runtime,
    }
}
