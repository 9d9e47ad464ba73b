//! `GET /resource/…`: a secret, encrypted to the key that was attested.

use std::net::IpAddr;
use std::time::Instant;

use propeller_attest::rcar::ResourcePath;
use propeller_jose::seal;

use super::{Broker, lock};
use crate::audit::{Entry, Event};
use crate::evidence::chain;
use crate::policy::{Allowed, Decision, Release, decide};
use crate::refusal::Refusal;
use crate::tokens::{self, Token};

impl Broker {
    /// A JWE with the resource. The cookie counts before the token in the header, if it is of a
    /// session that is attested.
    pub(crate) fn release(
        &self,
        peer: IpAddr,
        cookie: Option<&str>,
        bearer: Option<&str>,
        path: &str,
    ) -> Result<Vec<u8>, Refusal> {
        let of_session = cookie.and_then(|cookie| {
            let sessions = lock(&self.sessions);
            sessions
                .token(cookie, Instant::now())
                .map(ToOwned::to_owned)
        });
        let mut entry = Entry::by(Event::TokenRefused, peer).about(path);
        let Some(text) = of_session.as_deref().or(bearer) else {
            self.note(&entry.because("there is none"));
            return Err(Refusal::TokenNotFound);
        };
        entry.token = Some(tokens::name(text));
        let token = self.issuer.read(text, self.clock.now()).map_err(|why| {
            self.note(&entry.clone().because(why));
            Refusal::TokenVerifier
        })?;
        entry.tee = Some(token.claims.tee.to_string());
        entry.workload = Some(token.claims.workload());
        entry.measurement = token.claims.measurement().map(ToOwned::to_owned);
        self.admit_token(text, &entry)?;
        let path: ResourcePath = path.parse().map_err(|error| {
            self.missing(&entry, error);
            Refusal::PluginInternal
        })?;
        let allowed = self.allowed(&token, &path, &entry)?;
        self.sealed(&token, &path, allowed, entry)
    }

    fn admit_token(&self, text: &str, entry: &Entry) -> Result<(), Refusal> {
        let taken = lock(&self.tokens).take(tokens::name(text), Instant::now());
        taken.map_err(|wait| {
            let event = Event::Limited;
            self.note(
                &Entry {
                    event,
                    ..entry.clone()
                }
                .because("its token"),
            );
            Refusal::TooOften(wait)
        })
    }

    /// Which rule allows it. If that one counts, this release is counted: between the decision and
    /// the count nobody else is decided about.
    fn allowed(
        &self,
        token: &Token,
        path: &ResourcePath,
        entry: &Entry,
    ) -> Result<Allowed, Refusal> {
        let (standing, now) = (self.standing(), self.clock.now());
        let mut counts = lock(&self.counts);
        match decide(&standing.policy, &token.claims, path, now, &counts) {
            Decision::Allow(allowed) => {
                if !self.vault.has(path) {
                    self.missing(entry, "there is no such resource");
                    return Err(Refusal::PluginInternal);
                }
                if allowed.counts {
                    counts.record(Release {
                        at: now,
                        rule: allowed.rule.clone(),
                        resource: path.to_string(),
                        workload: token.claims.workload(),
                    });
                }
                Ok(allowed)
            }
            denied @ Decision::Deny(_) => {
                drop(counts);
                let event = Event::Denied;
                self.note(
                    &Entry {
                        event,
                        ..entry.clone()
                    }
                    .because(denied.explain()),
                );
                Err(Refusal::PolicyDeny)
            }
        }
    }

    /// Nothing leaves that is not recorded first.
    fn sealed(
        &self,
        token: &Token,
        path: &ResourcePath,
        allowed: Allowed,
        entry: Entry,
    ) -> Result<Vec<u8>, Refusal> {
        let failed = |why: String| {
            tracing::error!(resource = %path, why, "a resource cannot be released");
            self.missing(&entry, why);
            Refusal::PluginInternal
        };
        let secret = self
            .vault
            .read(path)
            .map_err(|error| failed(chain(&error)))?;
        let secret = secret.ok_or_else(|| failed("there is none, or not any more".to_owned()))?;
        let key = token
            .tee_pubkey
            .to_key()
            .map_err(|error| failed(error.to_string()))?;
        let jwe = seal(&secret, &[key]).map_err(|error| failed(error.to_string()))?;
        let Allowed {
            rule,
            counts,
            notes,
        } = allowed;
        let why = (!notes.is_empty()).then(|| notes.join("; "));
        let released = Entry {
            event: Event::Released,
            rule: Some(rule),
            counted: counts,
            why,
            ..entry
        };
        self.record(&released)
            .map_err(|_| Refusal::PluginInternal)?;
        Ok(jwe)
    }

    fn missing(&self, entry: &Entry, why: impl std::fmt::Display) {
        let event = Event::Missing;
        self.note(
            &Entry {
                event,
                ..entry.clone()
            }
            .because(why),
        );
    }
}
