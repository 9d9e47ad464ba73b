//! A client of one key broker, which keeps its session for as long as that lasts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use propeller_jose::{Jwk, Message, PrivateKey};
use serde_json::json;
use tokio::sync::Mutex;
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::address::{KbsAddress, ResourcePath};
use super::error::{Cause, KbsError, Step};
use super::exchange::{Answer, Exchange};
use super::message::{
    Attestation, Challenge, CompositeEvidence, InitData, Request, RuntimeData, Token,
};
use super::report_data::{Hash, report_data};
use super::session::{Session, TeeKey};
use super::{VERSION, error};
use crate::Tee;
use crate::attester::agent::AgentToken;
use crate::prover::{ProveError, Prover};

/// An honest nonce is 44 characters.
const NONCE_LEN_MAX: usize = 4096;

/// How a broker is asked.
#[derive(Debug, Clone)]
pub struct KbsOptions {
    /// Where it is.
    pub address: KbsAddress,
    /// Certificate authorities to trust besides the system's, as PEM.
    pub extra_roots: Vec<Vec<u8>>,
    /// What kind of key it encrypts to.
    pub tee_key: TeeKey,
    /// Configuration that was measured at launch, in TOML.
    pub init_data: Option<String>,
}

/// A client of one key broker.
pub struct Kbs {
    exchange: Exchange,
    prover: Prover,
    options: KbsOptions,
    /// Whoever needs one while one is being made waits for it.
    standing: Mutex<Standing>,
    /// How many attestations have failed. It changes only under the lock of `standing`, and is read
    /// without it by whoever begins to wait.
    failures: AtomicU64,
}

/// What the last attestation has come to.
#[derive(Default)]
struct Standing {
    session: Option<Arc<Session>>,
    /// Why there is none, if the last attestation has failed.
    failure: Option<KbsError>,
}

/// A secret that was released, and what that took.
pub struct Released {
    /// The bytes of the resource.
    pub secret: Zeroizing<Vec<u8>>,
    /// Where the time went.
    pub steps: Steps,
}

/// Where the time of one release went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// Making the evidence; none if a session was in force.
    pub evidence: Duration,
    /// Getting a token for it; none if a session was in force.
    pub token: Duration,
    /// Getting the resource, and opening it.
    pub resource: Duration,
}

impl Kbs {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// If a certificate is none, or the process has no provider of cryptography for TLS.
    pub fn new(options: KbsOptions, prover: Prover) -> Result<Self, KbsError> {
        Ok(Self {
            exchange: Exchange::new(options.address.clone(), &options.extra_roots)?,
            prover,
            options,
            standing: Mutex::default(),
            failures: AtomicU64::new(0),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &KbsAddress {
        &self.options.address
    }

    /// The bytes of a resource, after attesting if no session is in force.
    ///
    /// A session that turns out to be over is made anew, once. Nothing else is tried again: what a
    /// policy refuses, it refuses for good.
    ///
    /// # Errors
    /// See [`KbsError`].
    pub async fn resource(&self, path: &ResourcePath) -> Result<Released, KbsError> {
        let mut steps = Steps::default();
        let session = self.session(None, &mut steps).await?;
        match self.fetch(&session, path, &mut steps).await? {
            Ok(secret) => Ok(Released { secret, steps }),
            Err(refusal) if refusal.cause() == Cause::Session => {
                debug!(kbs = %self.options.address, "the session is over, attesting again");
                let session = self.session(Some(&session), &mut steps).await?;
                match self.fetch(&session, path, &mut steps).await? {
                    Ok(secret) => Ok(Released { secret, steps }),
                    Err(refusal) => Err(self.refused(refusal, path)),
                }
            }
            Err(refusal) => Err(self.refused(refusal, path)),
        }
    }

    fn refused(&self, refusal: error::Refusal, path: &ResourcePath) -> KbsError {
        refusal.of_resource(self.options.address.to_string(), path, self.tee().label())
    }

    /// What kind of TEE attests.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.prover.tee()
    }

    async fn fetch(
        &self,
        session: &Session,
        path: &ResourcePath,
        steps: &mut Steps,
    ) -> Result<Result<Zeroizing<Vec<u8>>, error::Refusal>, KbsError> {
        let begun = Instant::now();
        let answer = self
            .exchange
            .resource(path.as_str(), &session.token)
            .await?;
        let body = match answer {
            Answer::Body(body) => body,
            Answer::Refused(refusal) => return Ok(Err(refusal)),
        };
        // For us alone: every further recipient would cost as much as the only one.
        let message = Message::read(&body)
            .filter(|message| message.recipients() == 1)
            .ok_or_else(|| {
                self.exchange
                    .malformed(Step::Resource, "it is no JWE for one key")
            })?;
        let secret = message.open(std::slice::from_ref(&session.key));
        steps.resource += begun.elapsed();
        secret.map(Ok).ok_or_else(|| KbsError::Unopenable {
            address: self.options.address.to_string(),
            path: path.clone(),
        })
    }

    /// The session in force, if it is not the one that is `over`; a new one otherwise.
    ///
    /// An attestation that fails has failed for everybody who waited for it: with a broker that
    /// says nothing, each of them would otherwise wait for all who came before, and then as long
    /// once more. Whoever comes later tries anew.
    async fn session(
        &self,
        over: Option<&Arc<Session>>,
        steps: &mut Steps,
    ) -> Result<Arc<Session>, KbsError> {
        let failures = self.failures.load(Ordering::Acquire);
        let mut standing = self.standing.lock().await;
        if let Some(session) = &standing.session {
            let is_over = over.is_some_and(|over| Arc::ptr_eq(over, session));
            if !is_over && session.is_in_force(Instant::now()) {
                return Ok(Arc::clone(session));
            }
        }
        standing.session = None;
        if let Some(failure) = &standing.failure
            && self.failures.load(Ordering::Acquire) > failures
        {
            return Err(failure.clone());
        }
        standing.failure = None;
        match self.attest(steps).await {
            Ok(session) => {
                let session = Arc::new(session);
                standing.session = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(failure) => {
                standing.failure = Some(failure.clone());
                self.failures.fetch_add(1, Ordering::Release);
                Err(failure)
            }
        }
    }

    async fn attest(&self, steps: &mut Steps) -> Result<Session, KbsError> {
        let tee = self.tee();
        let begun = Instant::now();
        if let Prover::Agent(agent, _) = &self.prover {
            // It asks its broker itself, and gives the token with the key that it is for.
            let AgentToken {
                token,
                tee_keypair_pem,
            } = agent.token().await.map_err(ProveError::from)?;
            let key = PrivateKey::from_bytes(tee_keypair_pem.as_bytes())
                .map_err(|error| KbsError::Setup(format!("the agent's key: {error}")))?;
            let now = Instant::now();
            steps.token += now - begun;
            info!(kbs = %self.options.address, %tee, %agent, "attested by an agent");
            return Ok(Session::new(token, key, now));
        }
        let request = Request {
            version: VERSION.to_owned(),
            tee: tee.name().to_owned(),
            extra_params: json!({"supported-hash-algorithms": Hash::names()}),
        };
        let (challenge, cookie) = self.exchange.auth::<Challenge>(&request).await?;
        let hash = self.hash(&challenge)?;
        let key = self.options.tee_key.generate();
        let key = key.map_err(|error| KbsError::Setup(error.to_string()))?;
        let asked = begun.elapsed();
        let proving = Instant::now();
        let attestation = self.prove(challenge.nonce, hash, &key).await?;
        steps.evidence += proving.elapsed();
        let proved = Instant::now();
        let Token { token } = self.exchange.attest(cookie, &attestation).await?;
        let now = Instant::now();
        steps.token += asked + (now - proved);
        info!(kbs = %self.options.address, %tee, "attested");
        Ok(Session::new(token, key, now))
    }

    fn hash(&self, challenge: &Challenge) -> Result<Hash, KbsError> {
        let malformed = |why| self.exchange.malformed(Step::Auth, why);
        if challenge.nonce.len() > NONCE_LEN_MAX {
            return Err(malformed("its nonce is too long".to_owned()));
        }
        Hash::of(challenge).map_err(|chosen| {
            let chosen = error::printable(&chosen);
            malformed(format!(
                "it chooses the hash {chosen}, which is not had here"
            ))
        })
    }

    async fn prove(
        &self,
        nonce: String,
        hash: Hash,
        key: &PrivateKey,
    ) -> Result<Attestation, KbsError> {
        let tee_pubkey = Jwk::of(key).map_err(|error| KbsError::Setup(error.to_string()))?;
        let additional = String::new();
        let bound = report_data(hash, &nonce, &tee_pubkey, &additional);
        let evidence = self.prover.evidence(&bound).await?;
        Ok(Attestation {
            init_data: self.options.init_data.clone().map(|body| InitData {
                format: "toml".to_owned(),
                body,
            }),
            runtime_data: RuntimeData { nonce, tee_pubkey },
            tee_evidence: CompositeEvidence {
                primary_evidence: evidence,
                additional_evidence: additional,
            },
        })
    }
}

impl fmt::Debug for Kbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kbs({})", self.options.address)
    }
}

impl fmt::Debug for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Released({} bytes)", self.secret.len())
    }
}
