//! An attestation-agent in place of the first two steps: its token, and the key that it is for.

use std::sync::Arc;

use propeller_attest::attester::agent::Agent;
use propeller_attest::rcar::Kbs;
use propeller_attest::{Prover, Tee};
use propeller_jose::{Jwk, PrivateKey};
use serde_json::{Value, json};

use super::broker::{Answer, Broker};
use super::honest::{SECRET, options, provider, secret, token, told};

/// Test keys, which are nobody's.
const KEY: &str = include_str!("../../../../testdata/vectors/ocicrypt/keys/p256.pem");
const OTHER: &str = include_str!("../../../../testdata/vectors/ocicrypt/keys/p256-other.pem");

/// What a broker knows that has attested this key, twice.
fn keys() -> Vec<Jwk> {
    let key = Jwk::of(&PrivateKey::from_bytes(KEY.as_bytes()).unwrap()).unwrap();
    vec![key.clone(), key]
}

async fn broker() -> Broker {
    let broker = Broker::honest().await;
    broker.change(|honest| honest.keys = keys());
    broker
}

/// An agent whose tokens are counted up, and have this key.
async fn agent(key: &'static str) -> Broker {
    let mut number = 0;
    Broker::start(move |_, _| {
        let token = token(number, &json!({"iat": 1000, "exp": 1300}));
        number += 1;
        Answer::json(&json!({"token": token, "tee_keypair": key}))
    })
    .await
}

fn asking(broker: &Broker, agent: &Broker) -> Kbs {
    provider();
    let address = agent.url.strip_prefix("http://").unwrap();
    let agent = Agent::rest(address.parse().unwrap()).unwrap();
    Kbs::new(options(broker), Prover::Agent(Arc::new(agent), Tee::Snp)).unwrap()
}

#[tokio::test]
async fn an_agents_token_and_key_are_used_until_they_are_over() {
    let (broker, agent) = (broker().await, agent(KEY).await);
    let kbs = asking(&broker, &agent);
    assert_eq!(kbs.tee(), Tee::Snp);
    for _ in 0..2 {
        assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    }
    assert_eq!(agent.asked().len(), 1);
    assert_eq!(agent.asked()[0].path, "/aa/token?token_type=kbs");
    // Nobody attests here besides, and the agent sees nothing of the broker's.
    assert_eq!(broker.counts(), [0, 0, 2]);
    let bearer = format!("Bearer {}", token(0, &json!({"iat": 1000, "exp": 1300})));
    let asked = broker.asked();
    assert_eq!(asked[0].header("authorization"), Some(bearer.as_str()));
}

/// What comes of a broker that has forgotten so many sessions, and how often either was asked.
async fn forgotten(sessions: usize) -> (Result<Vec<u8>, String>, [usize; 2]) {
    let agent = agent(KEY).await;
    let keys = keys();
    let broker = Broker::start(move |asked, honest| {
        honest.keys.clone_from(&keys);
        match honest.session(asked) {
            Some(session) if session < sessions => Answer::refusal("TokenNotFound", "no"),
            _ => honest.answer(asked),
        }
    })
    .await;
    let outcome = secret(&asking(&broker, &agent)).await;
    let outcome = outcome.map_err(|error| told(&broker, &error));
    (outcome, [agent.asked().len(), broker.asked().len()])
}

#[tokio::test]
async fn a_token_that_is_over_is_asked_for_once_more_and_no_more() {
    assert_eq!(forgotten(1).await, (Ok(SECRET.to_vec()), [2, 2]));
    let refused = "key broker KBS: resource was refused: TokenNotFound: no".to_owned();
    assert_eq!(forgotten(2).await, (Err(refused), [2, 2]));
}

#[tokio::test]
async fn a_key_of_another_token_opens_nothing() {
    let (broker, agent) = (broker().await, agent(OTHER).await);
    let error = secret(&asking(&broker, &agent)).await.unwrap_err();
    let why = "does not open with the key that was attested";
    assert!(error.to_string().ends_with(why), "{error}");
}

#[tokio::test]
async fn without_an_agents_token_no_broker_is_asked() {
    let with = |key: Value| json!({"token": token(0, &json!({})), "tee_keypair": key});
    for answer in [
        json!({}),
        json!({"token": "a.b.c"}),
        with(json!(null)),
        with(json!("not a key")),
        with(json!(KEY.replace("PRIVATE", "PUBLIC"))),
    ] {
        let shown = answer.to_string();
        let agent = Broker::start(move |_, _| Answer::json(&answer)).await;
        let broker = broker().await;
        let error = secret(&asking(&broker, &agent)).await.unwrap_err();
        assert!(!error.to_string().contains("MIG"), "{error}");
        assert!(broker.asked().is_empty(), "{shown}");
    }
    // Nor where there is none.
    let agent = Broker::start(|_, _| Answer::raw("")).await;
    let broker = broker().await;
    let error = secret(&asking(&broker, &agent)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("no evidence of the TEE: "),
        "{error}"
    );
    assert!(broker.asked().is_empty());
}
