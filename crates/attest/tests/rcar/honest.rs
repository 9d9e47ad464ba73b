//! A broker by the book, as far as a client sees it, and clients of it.

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use propeller_attest::Attester;
use propeller_attest::rcar::{Kbs, KbsError, KbsOptions, Prover, ResourcePath, Step, TeeKey};
use propeller_jose::{Jwk, seal};
use serde_json::{Value, json};

use super::broker::{Answer, Asked, Broker};

pub(crate) const PATH: &str = "default/key/app";
pub(crate) const SECRET: &[u8] = b"a secret of 32 bytes, or so long";

/// What it knows.
pub(crate) struct Honest {
    /// What it releases, whatever is asked for.
    pub(crate) secret: Vec<u8>,
    /// What its tokens say about their time.
    pub(crate) claims: Value,
    /// How many nonces it has given out.
    challenges: usize,
    /// Keys that were attested, by the number in their token.
    pub(crate) keys: Vec<Jwk>,
}

impl Default for Honest {
    fn default() -> Self {
        Self {
            secret: SECRET.to_vec(),
            // Long ago by this machine's clock, which does not count.
            claims: json!({"iat": 1000, "exp": 1300}),
            challenges: 0,
            keys: Vec::new(),
        }
    }
}

impl Honest {
    pub(crate) fn answer(&mut self, asked: &Asked) -> Answer {
        match asked.step() {
            Step::Auth => self.challenge(&json!("")),
            Step::Attest => self.token(asked),
            Step::Resource => match self.session(asked) {
                Some(session) => self.released(session),
                None => Answer::refusal("TokenVerifierError", "Token Verifier error"),
            },
        }
    }

    /// A challenge with these parameters.
    pub(crate) fn challenge(&mut self, extra_params: &Value) -> Answer {
        let number = self.challenges;
        self.challenges += 1;
        challenge(
            &json!({"nonce": nonce(number), "extra-params": extra_params}),
            &[&format!(
                "{}; Expires=Mon, 30 Nov 2026 12:00:00 GMT",
                cookie(number)
            )],
        )
    }

    /// A token for whatever key is attested.
    fn token(&mut self, asked: &Asked) -> Answer {
        let key = &asked.json()["runtime-data"]["tee-pubkey"];
        self.keys.push(serde_json::from_value(key.clone()).unwrap());
        let number = self.keys.len() - 1;
        Answer::json(&json!({"token": token(number, &self.claims)}))
    }

    /// Which attestation a request's token is of.
    pub(crate) fn session(&self, asked: &Asked) -> Option<usize> {
        let bearer = asked.header("authorization")?.strip_prefix("Bearer ")?;
        let payload = bearer.split('.').nth(1)?.as_bytes();
        let payload = BASE64URL_NOPAD.decode(payload).ok()?;
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        let session = usize::try_from(payload["session"].as_u64()?).ok()?;
        (session < self.keys.len()).then_some(session)
    }

    /// Its secret, for the key of an attestation.
    pub(crate) fn released(&self, session: usize) -> Answer {
        Answer::json(&self.sealed(session))
    }

    pub(crate) fn sealed(&self, session: usize) -> Value {
        sealed(&self.secret, &self.keys[session])
    }
}

/// What a broker sends, as whoever wrote it has it.
pub(crate) fn sealed(secret: &[u8], key: &Jwk) -> Value {
    let message = seal(secret, &[key.to_key().unwrap()]).unwrap();
    serde_json::from_slice(&message).unwrap()
}

pub(crate) fn nonce(number: usize) -> String {
    BASE64.encode(&[u8::try_from(number).unwrap(); 32])
}

pub(crate) fn cookie(number: usize) -> String {
    format!("kbs-session-id={number:032x}")
}

pub(crate) fn token(number: usize, claims: &Value) -> String {
    let mut payload = claims.clone();
    payload["session"] = json!(number);
    let [header, payload] = [
        r#"{"alg":"ES256","typ":"JWT"}"#.to_owned(),
        payload.to_string(),
    ]
    .map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
    format!("{header}.{payload}.c2lnbmF0dXJl")
}

/// A challenge with cookies.
pub(crate) fn challenge(body: &Value, cookies: &[&str]) -> Answer {
    let headers: Vec<_> = cookies
        .iter()
        .map(|cookie| ("set-cookie", *cookie))
        .collect();
    Answer::new(200, &headers, body.to_string())
}

/// What every TLS client of the process needs, and `Kbs` wants to be there.
pub(crate) fn provider() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
}

pub(crate) fn options(broker: &Broker) -> KbsOptions {
    KbsOptions {
        address: broker.address(),
        extra_roots: Vec::new(),
        tee_key: TeeKey::default(),
        init_data: None,
    }
}

pub(crate) fn client(options: KbsOptions) -> Kbs {
    provider();
    Kbs::new(options, Prover::Own(Arc::new(Attester::sample()))).unwrap()
}

pub(crate) fn kbs(broker: &Broker) -> Kbs {
    client(options(broker))
}

pub(crate) fn path() -> ResourcePath {
    PATH.parse().unwrap()
}

pub(crate) async fn secret(kbs: &Kbs) -> Result<Vec<u8>, KbsError> {
    let released = kbs.resource(&path()).await?;
    Ok(released.secret.to_vec())
}

/// What an error tells, with `KBS` in place of an address that is another one every time.
pub(crate) fn told(broker: &Broker, error: &KbsError) -> String {
    error.to_string().replace(&broker.url, "KBS")
}

/// How a broker fails that answers so: what is told, and the broker.
pub(crate) async fn failure(
    script: impl FnMut(&Asked, &mut Honest) -> Answer + Send + 'static,
) -> (String, Broker) {
    let broker = Broker::start(script).await;
    let error = secret(&kbs(&broker)).await.unwrap_err();
    (told(&broker, &error), broker)
}

/// [`failure`] of a broker that is honest but for one step.
pub(crate) async fn failure_at(
    step: Step,
    mut answer: impl FnMut() -> Answer + Send + 'static,
) -> (String, Broker) {
    failure(move |asked, honest| match asked.step() == step {
        true => answer(),
        false => honest.answer(asked),
    })
    .await
}
