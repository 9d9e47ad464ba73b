//! What whoever has a role does: resources, dry runs, the log.

use std::net::IpAddr;

use jiff::Timestamp;
use propeller_attest::rcar::ResourcePath;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Broker, lock};
use crate::admins::{Admin, Denied, May};
use crate::audit::{Entry, Event, LINES_MAX};
use crate::evidence::chain;
use crate::policy::{Claims, Decision, Why, decide};
use crate::refusal::Refusal;

/// What a dry run is asked. Either a token, which may be over, or claims.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    path: String,
    token: Option<String>,
    claims: Option<Claims>,
    /// When; now, if it is not said.
    at: Option<String>,
}

/// What is to become of a resource that has the path of one that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is replaced.
    Replace,
    /// It stays: only the same bytes are welcome.
    Keep,
}

/// Which lines of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    /// Those after this number.
    #[serde(default)]
    since: u64,
}

#[derive(Serialize)]
struct Listed {
    path: String,
    bytes: usize,
    created: String,
    changed: String,
}

impl Broker {
    /// `POST /resource/…`
    pub(crate) fn write(
        &self,
        peer: IpAddr,
        bearer: Option<&str>,
        path: &str,
        (secret, existing): (&[u8], Existing),
    ) -> Result<(), Refusal> {
        let (path, entry) = self.on_resource(peer, bearer, path, May::Write)?;
        let now = self.clock.now();
        let written = match existing {
            Existing::Replace => self.vault.write(&path, secret, now).map(|_| true),
            Existing::Keep => self.vault.add(&path, secret, now),
        };
        match written {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.note(&entry.because(Refusal::Exists));
                Err(Refusal::Exists)
            }
            Err(error) => Err(self.failed(entry, chain(&error))),
        }
    }

    /// `DELETE /resource/…`
    pub(crate) fn delete(
        &self,
        peer: IpAddr,
        bearer: Option<&str>,
        path: &str,
    ) -> Result<(), Refusal> {
        let (path, entry) = self.on_resource(peer, bearer, path, May::Delete)?;
        match self.vault.remove(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed(entry, "there is no such resource".to_owned())),
            Err(error) => Err(self.failed(entry, chain(&error))),
        }
    }

    /// Who it is, that he may, and that it is recorded before it is done.
    fn on_resource(
        &self,
        peer: IpAddr,
        bearer: Option<&str>,
        path: &str,
        act: May,
    ) -> Result<(ResourcePath, Entry), Refusal> {
        let refused = Entry::by(Event::AdminRefused, peer).about(path);
        let refused = Entry {
            act: Some(act.name().to_owned()),
            ..refused
        };
        let denied = |denied: Denied| {
            self.note(&refused.clone().because(&denied));
            Refusal::AdminOfResource(denied)
        };
        let admin = self.standing().admins.admin(bearer, self.clock.now());
        let admin = admin.map_err(denied)?;
        let path: ResourcePath =
            path.parse()
                .map_err(|error: propeller_attest::rcar::UriError| {
                    self.note(&refused.clone().because(&error));
                    Refusal::Vault(error.to_string())
                })?;
        admin.may_with(act, &path).map_err(denied)?;
        let entry = Entry {
            event: Event::Admin,
            role: Some(admin.role().to_owned()),
            ..refused.clone()
        };
        let unrecorded = |_| Refusal::Vault("what is not recorded is not done".to_owned());
        self.record(&entry).map_err(unrecorded)?;
        Ok((path, entry))
    }

    fn failed(&self, entry: Entry, why: String) -> Refusal {
        self.note(&entry.because(&why));
        Refusal::Vault(why)
    }

    /// Somebody with a role that may do this, for an endpoint.
    pub(crate) fn admin(
        &self,
        peer: IpAddr,
        bearer: Option<&str>,
        (endpoint, act): (&'static str, May),
    ) -> Result<Admin, Refusal> {
        let admin = self.standing().admins.admin(bearer, self.clock.now());
        let admin = admin.and_then(|admin| admin.may(act).map(|()| admin));
        admin.map_err(|denied| {
            let entry = Entry::by(Event::AdminRefused, peer).because(&denied);
            let act = Some(act.name().to_owned());
            self.note(&Entry { act, ..entry });
            Refusal::Admin { endpoint, denied }
        })
    }

    /// What there is for this role, and no secrets.
    pub(crate) fn list(&self, admin: &Admin) -> Value {
        let mine = self
            .vault
            .list()
            .into_iter()
            .filter(|(path, _)| admin.is_for(path));
        let resources = mine.map(|(path, entry)| Listed {
            path: path.to_string(),
            bytes: entry.bytes,
            created: entry.created.to_string(),
            changed: entry.changed.to_string(),
        });
        json!({"resources": resources.collect::<Vec<_>>()})
    }

    /// What would be decided, without counting it and without releasing anything.
    pub(crate) fn explain(&self, admin: &Admin, asked: Explain) -> Result<Value, Refusal> {
        let Explain {
            path,
            token,
            claims,
            at,
        } = asked;
        let path: ResourcePath = path.parse().map_err(invalid)?;
        let endpoint = "explain";
        let scoped = admin.may_with(May::Explain, &path);
        scoped.map_err(|denied| Refusal::Admin { endpoint, denied })?;
        let now = match at {
            None => self.clock.now(),
            Some(at) => at.parse::<Timestamp>().map_err(|_| {
                invalid("`at` is a time with its offset, such as 2026-12-01T00:00:00Z")
            })?,
        };
        let mut notes = Vec::new();
        let claims = match (token, claims) {
            (None, Some(claims)) => claims,
            (Some(token), None) => {
                let token = self.issuer.read_whenever(&token).map_err(invalid)?;
                if token.expires <= now.as_second() {
                    notes.push("the token is over by then: it would be refused before any rule");
                }
                token.claims
            }
            _ => return Err(invalid("either `token` or `claims` has to be there")),
        };
        let decision = {
            let counts = lock(&self.counts);
            decide(&self.standing().policy, &claims, &path, now, &counts)
        };
        if let Decision::Allow(allowed) = &decision {
            notes.extend(&allowed.notes);
        }
        let (word, rule, rules) = match &decision {
            Decision::Allow(allowed) => ("allow", Some(&allowed.rule), Vec::new()),
            Decision::Deny(whys) => ("deny", None, whys.iter().map(shown).collect()),
        };
        Ok(json!({
            "decision": word,
            "explanation": decision.explain(),
            "rule": rule,
            "rules": rules,
            "notes": notes,
            "exists": self.vault.has(&path),
        }))
    }

    /// Lines of the log that are about this role's resources; all others are for whoever has all.
    pub(crate) fn audit(&self, admin: &Admin, asked: &Since) -> Result<Value, Refusal> {
        let shown = |line: &Value| {
            let path = line["resource"].as_str().and_then(|path| path.parse().ok());
            admin.is_for_everything() || path.is_some_and(|path| admin.is_for(&path))
        };
        let found = self.audit.since(asked.since, shown);
        let (lines, next) = found.map_err(|error| {
            tracing::error!(cause = chain(&error), "the audit log cannot be read");
            Refusal::Vault("the log cannot be read".to_owned())
        })?;
        // Whoever gets as many lines as there may be asks again.
        let more = lines.len() == LINES_MAX;
        Ok(json!({"lines": lines, "next": next, "more": more}))
    }
}

fn shown(why: &Why) -> Value {
    let unmet = why.unmet.iter().map(ToString::to_string);
    json!({"rule": why.rule, "unmet": unmet.collect::<Vec<_>>()})
}

fn invalid(why: impl std::fmt::Display) -> Refusal {
    Refusal::Invalid(why.to_string())
}
