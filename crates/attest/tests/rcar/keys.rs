//! The key of an attestation: which kinds there are, and how they are written.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use propeller_attest::rcar::{KbsOptions, Step, TeeKey};
use propeller_jose::{Curve, Jwk, PrivateKey, RsaBits};
use serde_json::{Value, json};

use super::broker::{Answer, Asked, Broker};
use super::honest::{SECRET, client, kbs, options, sealed, secret};

const KINDS: [TeeKey; 3] = [TeeKey::P256, TeeKey::P521, TeeKey::Rsa2048];

fn key(attest: &Asked) -> Value {
    attest.json()["runtime-data"]["tee-pubkey"].clone()
}

fn bytes(number: &Value) -> usize {
    let text = number.as_str().unwrap().as_bytes();
    BASE64URL_NOPAD.decode(text).unwrap().len()
}

#[tokio::test]
async fn every_kind_of_key_is_attested_with_its_members_and_no_other_and_opens() {
    for kind in KINDS {
        let broker = Broker::honest().await;
        let options = KbsOptions {
            tee_key: kind,
            ..options(&broker)
        };
        assert_eq!(secret(&client(options)).await.unwrap(), SECRET, "{kind:?}");
        let key = key(&broker.asked_once(Step::Attest));
        let members = key.as_object().unwrap().keys().map(String::as_str);
        let members: BTreeSet<_> = members.collect();
        match kind {
            TeeKey::Rsa2048 => {
                assert_eq!(members, BTreeSet::from(["alg", "e", "kty", "n"]));
                assert_eq!(
                    (&key["kty"], &key["alg"]),
                    (&json!("RSA"), &json!("RSA-OAEP-256"))
                );
                assert_eq!((bytes(&key["n"]), key["e"].as_str()), (256, Some("AQAB")));
            }
            curve => {
                let (name, len) = match curve {
                    TeeKey::P256 => ("P-256", 32),
                    _ => ("P-521", 66),
                };
                assert_eq!(members, BTreeSet::from(["alg", "crv", "kty", "x", "y"]));
                assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!(name)));
                assert_eq!(key["alg"], "ECDH-ES+A256KW");
                assert_eq!((bytes(&key["x"]), bytes(&key["y"])), (len, len));
            }
        }
    }
}

/// A number whose first byte is zero is written shorter by many, and refused by brokers.
#[test]
fn coordinates_have_43_characters_whatever_they_begin_with() {
    let mut zeros = 0;
    while zeros < 3 {
        let key = PrivateKey::generate(Curve::P256).unwrap();
        let Jwk::Ec { x, y, .. } = Jwk::of(&key).unwrap() else {
            panic!("it is on a curve");
        };
        for number in [x, y] {
            assert_eq!(number.len(), 43, "{number}");
            let bytes = BASE64URL_NOPAD.decode(number.as_bytes()).unwrap();
            zeros += usize::from(bytes[0] == 0);
        }
    }
}

#[tokio::test]
async fn every_attestation_has_a_key_of_its_own() {
    let broker = Broker::honest().await;
    // A life so short that it is over at once.
    broker.change(|honest| honest.claims["exp"] = json!(1001));
    let kbs = kbs(&broker);
    for _ in 0..3 {
        secret(&kbs).await.unwrap();
    }
    let attested = broker.asked();
    let attested = attested.iter().filter(|asked| asked.step() == Step::Attest);
    let mut keys: Vec<_> = attested.map(|asked| key(asked).to_string()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_key_that_was_attested_does_not_open_what_is_for_another_kind() {
    let rsa = PrivateKey::generate_rsa(RsaBits::B2048).unwrap();
    let rsa = Jwk::of(&rsa).unwrap();
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Resource => Answer::json(&sealed(SECRET, &rsa)),
        _ => honest.answer(asked),
    })
    .await;
    let error = secret(&kbs(&broker)).await.unwrap_err().to_string();
    assert!(
        error.ends_with("does not open with the key that was attested"),
        "{error}"
    );
}

#[test]
fn kinds_have_the_names_of_the_attestation_agents_file() {
    for (name, kind) in ["ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521", "RSA-OAEP-256"]
        .into_iter()
        .zip(KINDS)
    {
        assert_eq!(name.parse(), Ok(kind));
    }
    for other in [
        "",
        "ECDH-ES+A256KW",
        "ECDH-ES+A256KW-P384",
        "RSA1_5",
        "rsa-oaep-256",
    ] {
        assert!(other.parse::<TeeKey>().is_err(), "{other}");
    }
}
