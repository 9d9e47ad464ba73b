//! One attempt, from module and sealed input to sealed output. Plaintext is in memory only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_envelope::{Context, Keyring, seal};
use propeller_model::{PropletId, Stream};
use propeller_sandbox::{
    Capabilities, Entry, Exit, Job, ModuleKey, RunError, Runtime, Status, Transcript,
};
use propeller_wire::message::{AttestedReport, Input, Output, Refusal, Refused, Report, Start};
use serde_bytes::ByteBuf;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{error, info};

use crate::attested::Attesting;
use crate::daemons::Daemons;
use crate::delivered::Delivered;
use crate::images::Images;
use crate::judged::{Judged, judge};
use crate::limits::{Ceilings, Excess};
use crate::policy::Policy;
use crate::stored::{self, Declined, Objects, Store};
use crate::watch::Slot;

/// What every attempt on this proplet shares.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The proplet.
    pub proplet: PropletId,
    /// Its keys.
    pub keys: Keyring,
    /// What runs guests.
    pub runtime: Arc<dyn Runtime>,
    /// What no task may exceed.
    pub ceilings: Ceilings,
    /// What tasks may be granted.
    pub policy: Arc<Policy>,
    /// Room for daemons.
    pub daemons: Daemons,
    /// Where images come from.
    pub images: Arc<Images>,
    /// What is done for work that only a TEE may open, if this is one.
    pub(crate) attesting: Option<Arc<Attesting>>,
    /// Where large inputs and outputs lie, if the operator named it.
    pub(crate) store: Option<Arc<Store>>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Worked {
    /// The guest ran, or could not be run: either way the task is settled.
    Report(Report),
    /// The same, in a TEE, with what proves it.
    Attested(Box<AttestedReport>),
    /// The attempt was not made.
    Refused(Refused),
}

/// Makes one attempt. Dropping the future stops the guest.
pub(crate) async fn work(
    bench: Bench,
    start: Start,
    module: Delivered,
    received: Instant,
    slot: Slot,
) -> Worked {
    let attempt = start.attempt;
    let opened = module.open(&bench.keys, &start).await;
    let Some((wasm, input)) = opened else {
        error!(
            id = %attempt.task,
            app_name = %start.app_name,
            trace = %start.trace.id(),
            error = "cipher: message authentication failed",
            "Failed to decrypt workload"
        );
        return Worked::Refused(Refused {
            attempt,
            reason: Refusal::Unopenable,
            text: "Failed to decrypt workload: cipher: message authentication failed".to_owned(),
        });
    };
    let made = make(&bench, &start, wasm, input, received, slot).await;
    made.unwrap_or_else(|(reason, text)| {
        Worked::Refused(Refused {
            attempt,
            reason,
            text,
        })
    })
}

/// Makes an attempt whose module and input are open; else why it was not made.
async fn make(
    bench: &Bench,
    start: &Start,
    wasm: Bytes,
    input: Input,
    received: Instant,
    slot: Slot,
) -> Result<Worked, Declined> {
    let attempt = start.attempt;
    let objects = Objects::of(&input);
    let mut admitted = admit(bench, start, wasm, input)?;
    let feed = stored::feed(bench, attempt, objects.as_ref(), &mut admitted.job).await?;
    let prepared = micros(received.elapsed());
    let transcript = admitted.job.transcript.clone();
    slot.get_or_init(|| transcript.clone());
    let (ran, fed) = stored::run(bench.runtime.as_ref(), admitted.job, feed).await?;
    match &ran {
        Err(busy @ RunError::CompilersBusy) => return Err((Refusal::Busy, busy.to_string())),
        // The guest did nothing wrong: the task is tried again.
        Err(lost @ RunError::Lost) => return Err((Refusal::LeaseLost, lost.to_string())),
        // Another proplet may have what guests of this one cannot be given: those in a process of
        // their own, or those without one.
        Err(
            unfit @ (RunError::GrantsInProcess
            | RunError::ConvertsText { .. }
            | RunError::CopiesAtOneGo { .. }),
        ) => return Err((Refusal::AboveCeiling, unfit.to_string())),
        _ => {}
    }
    let Judged {
        success,
        exit,
        mut output,
        mut usage,
    } = judge(ran);
    usage.input_bytes += fed;
    output.gone = Stream::BOTH.map(|stream| transcript.gone(stream));
    // What the sandbox does not count as compiling or running was waiting for a free thread.
    usage.prepare_us = prepared.max(
        micros(received.elapsed())
            .saturating_sub(usage.compile_us)
            .saturating_sub(usage.run_us),
    );
    stored::put_away(bench, attempt, objects.as_ref(), &mut output).await?;
    // What went wrong may quote the input or the guest: that is for the owner of the task alone.
    let said = match &output.error {
        None => "Finished running app",
        Some(_) => "App failed; its task says why",
    };
    info!(id = %attempt.task, attempt = attempt.number, trace = %start.trace.id(), "{said}");
    match seal_output(bench, start, &output) {
        Some(output) => Ok(Worked::Report(Report {
            attempt,
            success,
            output: ByteBuf::from(output),
            usage,
            exit,
        })),
        None => {
            let text = "the proplet has no randomness to seal the result with";
            Err((Refusal::Busy, text.to_owned()))
        }
    }
}

/// An attempt that may run here.
struct Admitted {
    job: Job,
    /// Held for as long as the daemon runs.
    _place: Option<OwnedSemaphorePermit>,
}

/// Holds an attempt against the policy and the ceilings of the proplet, and only then against the
/// room that it has just now: what it never allows, it says first.
fn admit(bench: &Bench, start: &Start, wasm: Bytes, input: Input) -> Result<Admitted, Declined> {
    let never = |text: String| (Refusal::AboveCeiling, text);
    let daemon = input.daemon;
    let key = ModuleKey {
        tenant: start.tenant.clone(),
        digest: start.module.digest,
    };
    let granted = bench.policy.grant(input.profile, &input.grants);
    let granted = granted.map_err(|refused| never(refused.to_string()))?;
    let job = job(&bench.ceilings, key, wasm, &start.app_name, input);
    let mut job = job.map_err(|excess| never(excess.to_string()))?;
    job.capabilities = granted.capabilities;
    if !job.capabilities.is_empty() {
        let most = Some(bench.ceilings.open_files);
        for limits in [Some(&mut job.limits), job.daemon.as_mut()]
            .into_iter()
            .flatten()
        {
            limits.handles = limits.handles.capped(most);
        }
    }
    // What the task itself sets goes before what its host has.
    let set = |name: &str| job.env.iter().any(|(other, _)| other == name);
    let more: Vec<_> = granted
        .env
        .into_iter()
        .filter(|(name, _)| !set(name))
        .collect();
    job.env.extend(more);
    let place = bench.daemons.place(daemon);
    let place = place.map_err(|none| match none.may_end() {
        true => (Refusal::NoPlace, none.to_string()),
        false => never(none.to_string()),
    })?;
    Ok(Admitted { job, _place: place })
}

/// A job for the sandbox.
pub(crate) fn job(
    ceilings: &Ceilings,
    key: ModuleKey,
    wasm: Bytes,
    app_name: &str,
    input: Input,
) -> Result<Job, Excess> {
    let (limits, request) = ceilings.limits(&input)?;
    let Input {
        invoke,
        task_name,
        args,
        env,
        stdin,
        limits: _,
        daemon,
        profile,
        // Held against the policy by whoever has one.
        grants: _,
        // Brought by whoever has a store.
        objects: _,
    } = input;
    Ok(Job {
        key,
        wasm,
        name: app_name.to_owned(),
        entry: match invoke {
            Some(name) => Entry::Named(name),
            None => Entry::Default { hint: task_name },
        },
        args,
        env,
        stdin: Bytes::from(stdin.into_vec()).into(),
        limits,
        profile,
        capabilities: Capabilities::default(),
        daemon: request,
        // What runs for long prints for long: of that only the end is kept.
        transcript: if daemon {
            Transcript::tail()
        } else {
            Transcript::whole()
        },
    })
}

/// Runs a job to its end. A daemon that ends well is begun again, after a pause that keeps one
/// that ends at once from taking all of a processor: it runs until it is stopped or fails.
pub(crate) async fn run(runtime: &dyn Runtime, job: Job) -> Result<Exit, RunError> {
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        let ran = runtime.run(job.clone()).await;
        let ended_well = matches!(
            ran.as_ref().map(|exit| &exit.status),
            Ok(Status::Returned | Status::Exited(0))
        );
        if !(job.daemon.is_some() && ended_well) {
            return ran;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn seal_output(bench: &Bench, start: &Start, output: &Output) -> Option<Vec<u8>> {
    let context = Context::Result {
        tenant: &start.tenant,
        task: *start.attempt.task.0.as_bytes(),
        attempt: start.attempt.number,
        proplet: bench.proplet.as_str(),
    };
    seal(&bench.keys, &context, &output.to_bytes()).ok()
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
