//! Work that only a trusted execution environment (TEE) may open: what this one is, who releases
//! keys to it, and what proves that an attempt was made in it.
//!
//! ```text
//!  StartAttested ─▶ manifest ─▶ which key ─▶ key broker (attest, token, key) ─▶ layers ─▶ module
//!                                                                                └─▶ evidence for the report
//! ```
//!
//! Nothing that was opened is kept, neither the module nor its compiled code, for longer than the
//! attempts that run it.

mod release;

use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_attest::attester::agent::{Agent, AgentError};
use propeller_attest::binding::{AttemptBinding, SessionBinding};
use propeller_attest::detect::{Host, detect};
use propeller_attest::rcar::{Kbs, KbsError, KbsOptions, KbsUri};
use propeller_attest::{Attester, Prover, Tee};
use propeller_oci::Reference;
use propeller_sandbox::Runtime;
use propeller_wire::message::{EVIDENCE_LEN_MAX, Proof, Refusal, StartAttested, TeeClaim};
use serde_bytes::ByteBuf;
use serde_json::Value;
use tracing::{info, warn};

use crate::cache::OpenModule;
use crate::config::Config;
use crate::config::attested::Asked;
use crate::images::Images;
use crate::isolation;
use crate::service::StartError;
use crate::work::chain;

pub(crate) use release::{NotReleased, Release};
use release::{Released, micros};

/// What is said where the work cannot be done. The first words are those that operators search for.
pub(crate) const OUTSIDE: &str = "Encrypted workloads require TEE support, and this proplet is in \
                                  no TEE: `propeller attest detect` says why (PROPLET_TEE_ENABLED)";

const NO_BROKER: KbsError = KbsError::NoBroker {
    setting: "PROPLET_KBS_URI",
};
/// Hardware takes milliseconds, a quoting service of the host perhaps seconds.
const EVIDENCE_MAX: Duration = Duration::from_secs(60);
/// How long a proplet that starts waits for an agent, each answer.
const AGENT_START_MAX: Duration = Duration::from_secs(10);

/// What this proplet does for work that only a TEE may open.
#[derive(Debug)]
pub(crate) struct Attesting {
    prover: Prover,
    /// The first is the one that nobody has to name.
    brokers: Vec<Kbs>,
    default_key: Option<KbsUri>,
    images: Arc<Images>,
    /// What runs guests of this kind.
    runtime: Arc<dyn Runtime>,
}

/// A module that was opened, and what proves where.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) module: OpenModule,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) proof: Proof,
}

/// Why there is none.
pub(crate) type NotOpened = (Refusal, String);

impl Attesting {
    /// What `config` and the machine come to; `None` where there is no TEE, or none is to be used.
    ///
    /// # Errors
    /// If a TEE has to be there and is not, and if it cannot be used.
    pub(crate) fn start(config: &Config, images: &Arc<Images>) -> Result<Option<Self>, StartError> {
        let asked = &config.attested;
        let must = asked.enabled == Some(true) || asked.attester.is_some();
        let prover = match (asked.enabled, &asked.attester) {
            (Some(false), _) => None,
            (_, Some(Asked::Kind(tee))) => Some(own(Attester::asked_for(*tee)?)),
            (_, Some(Asked::Agent(agent))) => Some(by_agent(agent)?),
            (enabled, None) => found(enabled)?.map(own),
        };
        let Some(prover) = prover else {
            return Ok(None);
        };
        let tee = prover.tee();
        if asked.enabled == Some(true) && tee == Tee::Sample {
            return Err(StartError::SampleIsNoTee);
        }
        match Self::with(config, images, prover) {
            Ok(attesting) => {
                match tee {
                    Tee::Sample => {
                        warn!(target: "security", "sample evidence proves nothing, and is for tests (PROPLET_ATTESTER)");
                    }
                    tee => info!(target: "security", %tee, "this proplet is in a TEE"),
                }
                Ok(Some(attesting))
            }
            Err(error) if must => Err(error),
            // Nobody said that it has to be used: everything else runs here as anywhere.
            Err(error) => {
                let why = chain(&error);
                warn!(target: "security", %tee, why, "this proplet is in a TEE, and leaves encrypted tasks to others");
                Ok(None)
            }
        }
    }

    /// One that can do all of it: what it says in its hello it can keep.
    fn with(config: &Config, images: &Arc<Images>, prover: Prover) -> Result<Self, StartError> {
        let asked = &config.attested;
        if asked.brokers.is_empty() {
            return Err(StartError::Kbs(NO_BROKER));
        }
        // Hardware is asked once, so that nobody hears of a TEE that makes no evidence.
        if let Prover::Own(attester) = &prover {
            attester.evidence(&[0; 48])?;
        }
        let broker = |options: &KbsOptions| Kbs::new(options.clone(), prover.clone());
        Ok(Self {
            brokers: asked.brokers.iter().map(broker).collect::<Result<_, _>>()?,
            default_key: asked.default_key.clone(),
            images: Arc::clone(images),
            runtime: isolation::attested(config)?,
            prover,
        })
    }

    /// Kind of the TEE, as managers and brokers know it.
    pub(crate) fn kind(&self) -> &'static str {
        self.prover.tee().name()
    }

    /// Evidence of this proplet for a session; in words, why there is none.
    pub(crate) async fn claim(&self, proplet: &str, session: [u8; 32]) -> Result<TeeClaim, String> {
        let bound = SessionBinding { proplet, session };
        Ok(TeeClaim {
            kind: self.kind().to_owned(),
            evidence: self.evidence(bound.report_data()).await?,
        })
    }

    /// Opens the module of an attempt that was given in the session with this binding.
    pub(crate) async fn open(
        &self,
        start: &StartAttested,
        session: [u8; 32],
    ) -> Result<Opened, NotOpened> {
        let image = &start.start.image;
        let told = |why: String| format!("image {image}: {why}");
        let reference = image.parse::<Reference>();
        let reference = reference.map_err(|e| (Refusal::NoModule, told(e.to_string())))?;
        let digest = reference
            .digest()
            .ok_or_else(|| (Refusal::NoModule, told("it has no digest".to_owned())))?;
        let mut release = Release::new(self, &start.key);
        let begun = Instant::now();
        let module = self.images.encrypted(&reference, &mut release).await;
        let module = module.map_err(|why| (why.refusal(), told(why.text)))?;
        let Released { key, mut steps, .. } = release.released();
        let known = steps.evidence_us + steps.token_us + steps.key_us + steps.decrypt_us;
        steps.image_us = micros(begun.elapsed()).saturating_sub(known);
        let bound = AttemptBinding {
            attempt: start.start.attempt,
            image: digest,
            session,
        };
        let proving = Instant::now();
        let evidence = self.evidence(bound.report_data()).await;
        // What hardware does not do now it may do later.
        let evidence = evidence.map_err(|why| (Refusal::NoModule, why))?;
        steps.evidence_us += micros(proving.elapsed());
        Ok(Opened {
            module,
            runtime: Arc::clone(&self.runtime),
            proof: Proof {
                kind: self.kind().to_owned(),
                key,
                image: digest,
                session,
                evidence,
                steps,
            },
        })
    }

    async fn evidence(&self, report_data: [u8; 48]) -> Result<ByteBuf, String> {
        let made = tokio::time::timeout(EVIDENCE_MAX, self.prover.evidence(&report_data)).await;
        let made = made.map_err(|_| format!("no evidence of the TEE after {EVIDENCE_MAX:?}"))?;
        let mut made =
            made.map_err(|error| format!("no evidence of the TEE: {}", chain(&error)))?;
        // Of interest to a key broker, long, and no part of what the hardware signs.
        if let Some(log) = made.get_mut("cc_eventlog") {
            *log = Value::Null;
        }
        let json = made.to_string();
        match json.len() > EVIDENCE_LEN_MAX {
            true => Err(format!(
                "the evidence of the TEE has {} bytes, which is too long",
                json.len()
            )),
            false => Ok(ByteBuf::from(json)),
        }
    }

    /// The broker that keeps a key.
    fn broker(&self, uri: &KbsUri) -> Result<&Kbs, KbsError> {
        let found = match &uri.host {
            None => return self.brokers.first().ok_or(NO_BROKER),
            Some(host) => self.brokers.iter().find(|kbs| kbs.address().is(host)),
        };
        found.ok_or_else(|| KbsError::UnknownBroker {
            host: uri.host.clone().unwrap_or_default(),
            setting: "PROPLET_KBS_URI",
        })
    }
}

fn own(attester: Attester) -> Prover {
    Prover::Own(Arc::new(attester))
}

/// What an agent attests, which it is asked at once: on a thread of its own, since a proplet starts
/// without waiting for anything else.
fn by_agent(agent: &Agent) -> Result<Prover, StartError> {
    let asked = agent.clone().with_patience(AGENT_START_MAX);
    let ask = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::Agent(error.to_string()))?;
        let told = async {
            let tee = asked.tee().await?;
            asked.evidence(&[0; 48]).await?;
            Ok::<_, AgentError>(tee)
        };
        let told = runtime.block_on(told);
        told.map_err(|error| StartError::Agent(chain(&error)))
    };
    let tee = std::thread::spawn(ask).join();
    let tee = tee.map_err(|_| StartError::Agent("asking it panicked".to_owned()))??;
    Ok(Prover::Agent(Arc::new(agent.clone()), tee))
}

/// The TEE that this machine is in.
fn found(enabled: Option<bool>) -> Result<Option<Attester>, StartError> {
    let detected = detect(&Host::new());
    match detected.tee.map(Attester::of) {
        Some(Ok(attester)) => Ok(Some(attester)),
        // Nobody said that it has to be used.
        Some(Err(error)) if enabled.is_none() => {
            warn!(target: "security", error = %error, "this proplet is in a TEE, and cannot use it");
            Ok(None)
        }
        Some(Err(error)) => Err(error.into()),
        None if enabled == Some(true) => Err(StartError::NoTee(detected.to_string())),
        None => {
            if detected.is_undecided() {
                warn!(target: "security", "whether this is a TEE could not be found out: see `propeller attest detect`");
            }
            Ok(None)
        }
    }
}
