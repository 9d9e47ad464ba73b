//! Sessions: made once, used until they are over, and made anew once.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use propeller_attest::rcar::{KbsError, Step};
use serde_json::{Value, json};

use super::broker::{Answer, Asked, Broker};
use super::honest::{Honest, PATH, SECRET, failure, kbs, path, secret};

/// How brokers say that a session is over, or never was one.
const OVER: [(&str, &str); 2] = [
    ("TokenNotFound", "Attestation Token not found"),
    ("TokenVerifierError", "Token Verifier error"),
];

/// A broker that has forgotten the first `forgotten` sessions.
fn forgetful(
    forgotten: usize,
    (name, detail): (&'static str, &'static str),
) -> impl FnMut(&Asked, &mut Honest) -> Answer + Send {
    move |asked, honest| match (asked.step(), honest.session(asked)) {
        (Step::Resource, Some(session)) if session < forgotten => Answer::refusal(name, detail),
        _ => honest.answer(asked),
    }
}

/// A broker whose tokens are this text, whatever is attested.
fn tokens(text: String) -> impl FnMut(&Asked, &mut Honest) -> Answer + Send {
    move |asked, honest| match asked.step() {
        Step::Attest => {
            drop(honest.answer(asked));
            Answer::json(&json!({"token": text}))
        }
        Step::Resource => honest.released(honest.keys.len() - 1),
        Step::Auth => honest.answer(asked),
    }
}

fn token(payload: &str) -> String {
    format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(payload.as_bytes()))
}

#[tokio::test]
async fn a_session_is_used_for_the_next_resource() {
    let broker = Broker::honest().await;
    let kbs = kbs(&broker);
    let first = kbs.resource(&path()).await.unwrap();
    assert!(first.steps.token > Duration::ZERO && first.steps.resource > Duration::ZERO);
    let second = kbs
        .resource(&"tenant-a/key/other".parse().unwrap())
        .await
        .unwrap();
    let (evidence, token) = (second.steps.evidence, second.steps.token);
    assert_eq!((evidence, token), (Duration::ZERO, Duration::ZERO));
    assert_eq!(broker.counts(), [1, 1, 2]);
    let resources = broker
        .asked()
        .into_iter()
        .filter(|asked| asked.step() == Step::Resource);
    let paths: Vec<_> = resources.map(|asked| asked.path).collect();
    let expected = [PATH, "tenant-a/key/other"].map(|path| format!("/kbs/v0/resource/{path}"));
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn a_session_that_is_over_is_made_anew_once_for_everybody() {
    let broker = Broker::start(forgetful(1, OVER[0])).await;
    let kbs = kbs(&broker);
    for released in join_all((0..8).map(|_| secret(&kbs))).await {
        assert_eq!(released.unwrap(), SECRET);
    }
    let [auth, attest, resource] = broker.counts();
    assert_eq!((auth, attest), (2, 2));
    // Each of them has asked with the new one, and at most once with the old one.
    assert!((9..=16).contains(&resource), "{resource}");
}

#[tokio::test]
async fn a_session_that_is_over_is_made_anew_and_the_resource_is_had() {
    for over in OVER {
        let broker = Broker::start(forgetful(1, over)).await;
        assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET, "{over:?}");
        assert_eq!(broker.counts(), [2, 2, 2]);
    }
}

#[tokio::test]
async fn a_session_that_is_over_again_is_an_error_and_not_a_third_try() {
    for (name, detail) in OVER {
        let (told, broker) = failure(forgetful(usize::MAX, (name, detail))).await;
        assert_eq!(
            told,
            format!("key broker KBS: resource was refused: {name}: {detail}")
        );
        assert_eq!(broker.counts(), [2, 2, 2]);
    }
}

#[tokio::test]
async fn a_policy_that_refuses_the_new_session_is_the_last_word() {
    let (told, broker) = failure(|asked, honest| match honest.session(asked) {
        Some(0) => Answer::refusal("TokenNotFound", ""),
        Some(_) => Answer::refusal("PolicyDeny", "Access denied by policy"),
        None => honest.answer(asked),
    })
    .await;
    assert!(told.contains("its policy does not release"), "{told}");
    assert_eq!(broker.counts(), [2, 2, 2]);
}

#[tokio::test]
async fn a_broker_that_refuses_to_attest_again_is_told_so() {
    let (told, broker) = failure(|asked, honest| match asked.step() {
        Step::Attest if honest.keys.len() == 1 => {
            Answer::refusal("AttestationError", "RCAR handshake Attest failed")
        }
        Step::Resource => Answer::refusal("TokenVerifierError", ""),
        _ => honest.answer(asked),
    })
    .await;
    assert_eq!(
        told,
        "key broker KBS: attest was refused: AttestationError: RCAR handshake Attest failed"
    );
    assert_eq!(broker.counts(), [2, 2, 1]);
}

#[tokio::test]
async fn what_was_not_attested_is_tried_anew_by_whoever_asks_next() {
    let mut refusals = 1;
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Attest if refusals > 0 => {
            refusals -= 1;
            Answer::refusal("AttestationError", "")
        }
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    assert!(secret(&kbs).await.is_err());
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    assert_eq!(broker.counts(), [2, 2, 1]);
}

#[tokio::test]
async fn a_token_is_not_used_in_the_last_seconds_of_its_life() {
    for (claims, attestations) in [
        (json!({"iat": 1000, "exp": 1300}), 1),
        (json!({"nbf": 1000, "exp": 1300}), 1),
        (json!({"iat": 1000.5, "exp": 1300.25}), 1),
        (json!({"iat": 1000, "nbf": 0, "exp": 1015}), 3),
        (json!({"iat": 1000, "exp": 1001}), 3),
        (json!({"iat": 1000, "exp": 1000}), 3),
    ] {
        let broker = Broker::honest().await;
        broker.change(|honest| honest.claims = claims.clone());
        let kbs = kbs(&broker);
        for _ in 0..3 {
            assert_eq!(secret(&kbs).await.unwrap(), SECRET);
        }
        assert_eq!(broker.counts(), [attestations, attestations, 3], "{claims}");
    }
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_before_its_broker_says_so() {
    let broker = Broker::honest().await;
    // In force for a fifth of a second.
    broker.change(|honest| honest.claims = json!({"iat": 0, "exp": 15.2}));
    let kbs = kbs(&broker);
    let renewed = async {
        while broker.counts()[1] < 2 {
            assert_eq!(secret(&kbs).await.unwrap(), SECRET);
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, renewed).await.unwrap();
    assert_eq!(broker.counts()[0], 2);
}

#[tokio::test]
async fn a_token_that_expires_between_two_keys_of_an_image_is_renewed_in_passing() {
    // The broker's clock runs faster than this machine's.
    let mut asked_with_first = 0;
    let broker = Broker::start(move |asked, honest| match honest.session(asked) {
        Some(0) if asked_with_first == 2 => {
            Answer::refusal("TokenVerifierError", "Token Verifier error")
        }
        Some(0) => {
            asked_with_first += 1;
            honest.answer(asked)
        }
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    for layer in 0..4 {
        let path = format!("default/key/layer-{layer}").parse().unwrap();
        assert_eq!(kbs.resource(&path).await.unwrap().secret.as_slice(), SECRET);
    }
    assert_eq!(broker.counts(), [2, 2, 5]);
}

#[tokio::test]
async fn a_token_that_nobody_can_read_is_used_for_what_it_was_got_for() {
    for text in [
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        "e30.!!!.x".to_owned(),
        "..".to_owned(),
        token("not JSON"),
        token("{}"),
        token(r#"{"exp":1300}"#),
        token(r#"{"iat":"1000","exp":"1300"}"#),
        token(r#"{"iat":1300,"exp":1000}"#),
        token(r#"{"iat":-1e308,"exp":1e308}"#),
    ] {
        let broker = Broker::start(tokens(text.clone())).await;
        let kbs = kbs(&broker);
        for _ in 0..2 {
            assert_eq!(secret(&kbs).await.unwrap(), SECRET, "{text}");
        }
        assert_eq!(broker.counts(), [1, 1, 2]);
        let bearer = format!("Bearer {text}");
        let asked = broker.asked();
        assert_eq!(asked[2].header("authorization"), Some(bearer.as_str()));
    }
}

#[tokio::test]
async fn a_token_that_is_no_headers_value_goes_nowhere() {
    for text in ["a\r\nx-injected: 1", "a\nb", "\u{0}", "a\u{7f}"] {
        let (told, broker) = failure(tokens(text.to_owned())).await;
        assert_eq!(
            told,
            "key broker KBS: its answer to resource is not what the protocol says: its token is no \
             header's value"
        );
        assert_eq!(broker.counts(), [1, 1, 0]);
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_none() {
    for body in [
        json!({}),
        json!({"token": null}),
        json!({"token": 7}),
        json!("a.b.c"),
    ] {
        let (told, broker) = failure(move |asked, honest| match asked.step() {
            Step::Attest => Answer::json(&body),
            _ => honest.answer(asked),
        })
        .await;
        assert_eq!(
            told,
            "key broker KBS: its answer to attest is not what the protocol says: no such JSON (Data)"
        );
        assert_eq!(broker.counts(), [1, 1, 0]);
    }
}

#[tokio::test]
async fn a_key_that_is_rotated_is_had_with_the_session_that_is_in_force() {
    let broker = Broker::honest().await;
    let kbs = kbs(&broker);
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    broker.change(|honest| honest.secret = b"the next one".to_vec());
    assert_eq!(secret(&kbs).await.unwrap(), b"the next one");
    assert_eq!(broker.counts(), [1, 1, 2]);
}

#[tokio::test]
async fn a_broker_that_starts_anew_with_other_keys_costs_one_attestation() {
    let broker = Broker::honest().await;
    let kbs = kbs(&broker);
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    // It knows no session of before, nor the key that signed the token.
    broker.change(|honest| *honest = Honest::default());
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    assert_eq!(broker.counts(), [2, 2, 3]);
}

#[tokio::test]
async fn each_of_several_brokers_has_a_session_of_its_own() {
    let (one, other) = (Broker::honest().await, Broker::honest().await);
    other.change(|honest| honest.secret = b"another tenant's".to_vec());
    other.change(|honest| honest.claims["issuer"] = json!("other"));
    let (of_one, of_other) = (kbs(&one), kbs(&other));
    for _ in 0..2 {
        assert_eq!(secret(&of_one).await.unwrap(), SECRET);
        assert_eq!(secret(&of_other).await.unwrap(), b"another tenant's");
    }
    assert_eq!((one.counts(), other.counts()), ([1, 1, 2], [1, 1, 2]));
    let sent = |broker: &Broker, step, part: fn(&Asked) -> Value| {
        let asked = broker.asked();
        part(asked.iter().find(|asked| asked.step() == step).unwrap())
    };
    let bearer: fn(&Asked) -> Value = |asked| json!(asked.header("authorization"));
    let key: fn(&Asked) -> Value = |asked| asked.json()["runtime-data"]["tee-pubkey"].clone();
    for (step, part) in [(Step::Resource, bearer), (Step::Attest, key)] {
        assert_ne!(sent(&one, step, part), sent(&other, step, part));
    }
}

#[tokio::test]
async fn nothing_that_is_secret_is_in_what_is_logged_of_a_client() {
    let broker = Broker::honest().await;
    let kbs = kbs(&broker);
    let released = kbs.resource(&path()).await.unwrap();
    assert_eq!(
        format!("{released:?}"),
        format!("Released({} bytes)", SECRET.len())
    );
    let address = broker.url.clone();
    assert_eq!(format!("{kbs:?}"), format!("Kbs({address})"));
    // Nor in an error, whatever the broker answers.
    let token = broker.asked()[2]
        .header("authorization")
        .unwrap()
        .to_owned();
    let token = token.strip_prefix("Bearer ").unwrap().to_owned();
    drop(broker);
    let error: KbsError = secret(&kbs).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(&token), "{shown}");
    let begin = format!("key broker {address}: no answer to resource: ");
    assert!(shown.starts_with(&begin), "{shown}");
}
