//! `POST /auth` and `POST /attest`: a challenge, and a token for evidence about it.

use std::net::IpAddr;
use std::time::Instant;

use propeller_attest::Tee;
use propeller_attest::rcar::{Attestation, Challenge, Request, Token, VERSION};
use serde_json::Value;

use super::{Broker, lock};
use crate::audit::{Entry, Event, printable};
use crate::evidence::{Judged, chain};
use crate::refusal::Refusal;
use crate::sessions::{Attempt, Cookie};
use crate::tokens;

/// What is judged here. Whoever has something else is told so before he makes evidence.
const JUDGED: [Tee; 6] = [
    Tee::Sample,
    Tee::Tdx,
    Tee::Snp,
    Tee::Sgx,
    Tee::AzTdxVtpm,
    Tee::AzSnpVtpm,
];

impl Broker {
    /// The first step: a nonce.
    pub(crate) fn auth(&self, peer: IpAddr, body: &[u8]) -> Result<(Challenge, Cookie), Refusal> {
        let begun = asked(body).and_then(|tee| {
            let begun = lock(&self.sessions).begin(tee, Instant::now());
            begun.map_err(|error| error.to_string())
        });
        match begun {
            Ok((cookie, nonce)) => {
                let extra_params = Value::String(String::new());
                let challenge = Challenge {
                    nonce,
                    extra_params,
                };
                Ok((challenge, cookie))
            }
            Err(why) => {
                self.note(&Entry::by(Event::AuthRefused, peer).because(&why));
                Err(Refusal::Auth(why))
            }
        }
    }

    /// The second step: a token. Whoever has one already gets it again, whatever he sends.
    pub(crate) fn attest(
        &self,
        peer: IpAddr,
        cookie: Option<&str>,
        body: &[u8],
    ) -> Result<(Token, Cookie), Refusal> {
        let mut entry = Entry::by(Event::AttestRefused, peer);
        let attested = self.try_attest(cookie, body, &mut entry);
        attested.map_err(|why| {
            self.note(&entry.because(&why));
            Refusal::Attest(why)
        })
    }

    fn try_attest(
        &self,
        cookie: Option<&str>,
        body: &[u8],
        entry: &mut Entry,
    ) -> Result<(Token, Cookie), String> {
        let cookie = cookie.ok_or("cookie not found")?;
        let attestation: Attestation =
            serde_json::from_slice(body).map_err(|error| malformed("Attestation", &error))?;
        let nonce = &attestation.runtime_data.nonce;
        let attempt = lock(&self.sessions).attempt(cookie, nonce, Instant::now());
        let (tee, ticket) = match attempt.map_err(|error| error.to_string())? {
            Attempt::Attested(token, cookie) => return Ok((Token { token }, cookie)),
            Attempt::Judge(tee, ticket) => (tee, ticket),
        };
        entry.tee = Some(tee.to_string());
        let now = self.clock.now();
        let judged = self.standing().judge.judge(tee, &attestation, now);
        let judged = judged.map_err(|error| chain(&error))?;
        let issued = self.issuer.issue(&judged, &attestation.runtime_data, now);
        let token = issued.map_err(|_| "the token cannot be signed")?;
        self.note(&attested(&judged, &token, entry));
        let mut sessions = lock(&self.sessions);
        let cookie = sessions.attested(ticket, token.clone(), Instant::now());
        Ok((Token { token }, cookie))
    }
}

fn attested(judged: &Judged, token: &str, refused: &Entry) -> Entry {
    Entry {
        token: Some(tokens::name(token)),
        measurement: judged.verdict.claims().measurement(),
        ..Entry {
            event: Event::Attested,
            ..refused.clone()
        }
        .because(judged.verdict.label())
    }
}

/// What somebody asks to be attested as.
fn asked(body: &[u8]) -> Result<Tee, String> {
    let Request {
        version,
        tee,
        extra_params: _,
    } = serde_json::from_slice(body).map_err(|error| malformed("Request", &error))?;
    // Trustee's own words, which clients and people look for.
    if version != VERSION {
        let version = printable(&version);
        return Err(format!(
            "KBS Client Protocol Version Mismatch: expect ={VERSION} while the request is {version}"
        ));
    }
    let tee: Tee = tee
        .parse()
        .map_err(|error| format!("deserialize Request: {error}"))?;
    match JUDGED.contains(&tee) {
        true => Ok(tee),
        false => Err(format!(
            "evidence of kind `{tee}` is not judged by this broker"
        )),
    }
}

/// The parser's words, without what it repeats of the text.
fn malformed(what: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => format!("deserialize {what}: {error}"),
        _ => format!("deserialize {what}: no JSON from line {line}, column {column}"),
    }
}
