//! Somebody who speaks the protocol by hand, so that he can get any of it wrong.

use data_encoding::BASE64;
use propeller_attest::rcar::{Hash, report_data};
use propeller_jose::{Curve, Jwk, Message, PrivateKey};
use reqwest::header::{COOKIE, HeaderMap, SET_COOKIE};
use serde_json::{Value, json};

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let text = || String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, text()))
    }

    /// Name and words of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let kind = body["type"].as_str().unwrap();
        let name = kind.rsplit('/').next().unwrap().to_owned();
        (
            self.status,
            name,
            body["detail"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["token"].as_str().unwrap().to_owned()
    }

    /// `name=value` of its cookie.
    pub(crate) fn cookie(&self) -> String {
        let cookie = self.headers[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

pub(crate) struct Guest {
    pub(crate) key: PrivateKey,
    http: reqwest::Client,
    url: String,
}

/// A challenge, and the cookie that goes with it.
pub(crate) struct Challenged {
    pub(crate) nonce: String,
    pub(crate) cookie: String,
}

impl Guest {
    pub(crate) fn new(http: &reqwest::Client, url: &str) -> Self {
        Self {
            key: PrivateKey::generate(Curve::P256).unwrap(),
            http: http.clone(),
            url: url.to_owned(),
        }
    }

    pub(crate) fn with_key(self, key: PrivateKey) -> Self {
        Self { key, ..self }
    }

    pub(crate) fn jwk(&self) -> Jwk {
        Jwk::of(&self.key).unwrap()
    }

    pub(crate) async fn post(&self, step: &str, cookie: &str, body: impl Into<String>) -> Answer {
        let request = self.http.post(format!("{}/kbs/v0/{step}", self.url));
        let request = request.header("content-type", "application/json");
        Answer::of(request.header(COOKIE, cookie).body(body.into())).await
    }

    pub(crate) async fn challenged(&self) -> Challenged {
        self.challenged_as("sample").await
    }

    pub(crate) async fn challenged_as(&self, tee: &str) -> Challenged {
        let body = json!({"version": "0.4.0", "tee": tee, "extra-params": ""});
        let answer = self.post("auth", "", body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Challenged {
            nonce: answer.json()["nonce"].as_str().unwrap().to_owned(),
            cookie: answer.cookie(),
        }
    }

    /// What the evidence has to be about.
    pub(crate) fn report_data(&self, nonce: &str) -> Vec<u8> {
        report_data(Hash::default(), nonce, &self.jwk(), "")
    }

    /// The second message as it should be.
    pub(crate) fn attestation(&self, nonce: &str) -> Value {
        self.attestation_with(nonce, sample(&self.report_data(nonce)))
    }

    pub(crate) fn attestation_with(&self, nonce: &str, evidence: Value) -> Value {
        json!({
            "init-data": null,
            "runtime-data": {"nonce": nonce, "tee-pubkey": self.jwk()},
            "tee-evidence": {"primary_evidence": evidence, "additional_evidence": ""},
        })
    }

    /// A token, by the shortest way to one.
    pub(crate) async fn attested(&self) -> String {
        self.attested_with(Value::Null).await.token()
    }

    pub(crate) async fn attested_with(&self, init_data: Value) -> Answer {
        let Challenged { nonce, cookie } = self.challenged().await;
        let mut body = self.attestation(&nonce);
        body["init-data"] = init_data;
        self.post("attest", &cookie, body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: Option<&str>, cookie: &str) -> Answer {
        let mut request = self
            .http
            .get(format!("{}/kbs/v0/resource/{path}", self.url));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if !cookie.is_empty() {
            request = request.header(COOKIE, cookie);
        }
        Answer::of(request).await
    }

    /// What an answer holds for this guest's key.
    pub(crate) fn open(&self, answer: &Answer) -> Option<Vec<u8>> {
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let message = Message::read(&answer.body).unwrap();
        message
            .open(std::slice::from_ref(&self.key))
            .map(|secret| secret.to_vec())
    }
}

pub(crate) fn sample(report_data: &[u8]) -> Value {
    json!({"svn": "1", "report_data": BASE64.encode(report_data)})
}

pub(crate) fn init_data(tenant: &str) -> Value {
    let body =
        format!("version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\ntenant = \"{tenant}\"\n");
    json!({"format": "toml", "body": body})
}
