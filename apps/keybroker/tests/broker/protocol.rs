//! What goes well, on any broker: the messages, and clients that read them.

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use propeller_attest::Attester;
use propeller_attest::rcar::{Hash, Kbs, KbsOptions, Prover, TeeKey, report_data};
use propeller_jose::{Jwk, PrivateKey, RsaBits};
use serde_json::{Value, json};

use super::guest::Challenged;
use super::target::Target;

/// Recorded between programs that are not ours; the README beside them says which.
const AUTH: &str = include_str!("../../../../testdata/keybroker/auth.request.json");
const CHALLENGE: &str = include_str!("../../../../testdata/keybroker/auth.challenge.json");
const RUNTIME_DATA: &str = include_str!("../../../../testdata/keybroker/runtime-data.json");
const RUNTIME_DATA_HASH: &str = include_str!("../../../../testdata/keybroker/runtime-data.sha384");
const ATTEST: &str = include_str!("../../../../testdata/keybroker/attest.request.json");
const HEADER_EC: &str = include_str!("../../../../testdata/keybroker/resource.header.ec.json");
const HEADER_RSA: &str = include_str!("../../../../testdata/keybroker/resource.header.rsa.json");

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// The members of an object, in the order in which they were sent.
fn members(json: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(json).unwrap();
    let keys = text.split('"').collect::<Vec<_>>();
    let followed = keys.windows(2).filter(|pair| pair[1].starts_with(':'));
    followed.map(|pair| pair[0].to_owned()).collect()
}

#[tokio::test]
async fn a_challenge_is_answered_as_it_was_recorded() {
    let target = Target::new().await;
    let answer = target.guest().post("auth", "", AUTH.trim_end()).await;
    assert_eq!(answer.status, 200);
    let (found, recorded) = (
        answer.json(),
        serde_json::from_str::<Value>(CHALLENGE).unwrap(),
    );
    assert_eq!(members(&answer.body), ["nonce", "extra-params"]);
    assert_eq!(found["extra-params"], recorded["extra-params"]);
    let nonce = |of: &Value| {
        BASE64
            .decode(of["nonce"].as_str().unwrap().as_bytes())
            .unwrap()
    };
    assert_eq!((nonce(&found).len(), nonce(&recorded).len()), (32, 32));
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    let value = pair.strip_prefix("kbs-session-id=").unwrap();
    assert!(
        value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()),
        "{cookie}"
    );
    assert!(
        attributes.starts_with("Expires=") && attributes.ends_with(" GMT"),
        "{cookie}"
    );
    // What it may also say of hashes.
    for extra in ["\"\"", "{}"] {
        let body = format!(r#"{{"version":"0.4.0","tee":"sample","extra-params":{extra}}}"#);
        assert_eq!(
            target.guest().post("auth", "", body).await.status,
            200,
            "{extra}"
        );
    }
}

#[tokio::test]
async fn evidence_in_the_recorded_form_is_taken_and_the_token_says_what_it_was() {
    let target = Target::new().await;
    let guest = target.guest();
    let Challenged { nonce, cookie } = guest.challenged().await;
    let report_data = BASE64.encode(&guest.report_data(&nonce));
    let Jwk::Ec { x, y, .. } = guest.jwk() else {
        panic!("it is on a curve");
    };
    let body = [
        ("NONCE", &nonce),
        ("REPORT_DATA", &report_data),
        ("\"X\"", &format!("\"{x}\"")),
        ("\"Y\"", &format!("\"{y}\"")),
    ]
    .into_iter()
    .fold(ATTEST.trim_end().to_owned(), |text, (name, value)| {
        text.replace(name, value)
    });
    let answer = guest.post("attest", &cookie, body).await;
    let token = answer.token();
    assert_eq!(answer.cookie(), cookie);
    assert_eq!(answer.headers["content-type"], "application/json");
    let header = part(&token, 0);
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("JWT"), &json!("ES256"))
    );
    let payload = part(&token, 1);
    let life = payload["exp"].as_i64().unwrap() - payload["iat"].as_i64().unwrap();
    assert!((60..=3600).contains(&life), "{life}");
    let of_cpu = &payload["submods"]["cpu0"];
    // It is a token, and nobody is vouched for.
    assert_eq!(of_cpu["ear.status"], "contraindicated");
    let evidence = &of_cpu["ear.veraison.annotated-evidence"];
    assert!(evidence["sample"].is_object(), "{evidence}");
    assert_eq!(
        evidence["runtime_data_claims"]["tee-pubkey"],
        json!(guest.jwk())
    );
    // Whoever has a token gets it again, whatever he sends.
    let mut other = guest.attestation("another nonce");
    other["tee-evidence"]["primary_evidence"] = json!({});
    assert_eq!(
        guest
            .post("attest", &cookie, other.to_string())
            .await
            .token(),
        token
    );
}

#[tokio::test]
async fn a_resource_is_had_by_cookie_or_by_token_and_an_old_cookie_does_no_harm() {
    let target = Target::new().await;
    target.put("propeller-test/allowed/1", b"a secret").await;
    let guest = target.guest();
    let Challenged { nonce, cookie } = guest.challenged().await;
    let attested = guest
        .post("attest", &cookie, guest.attestation(&nonce).to_string())
        .await;
    let token = attested.token();
    let stale = "kbs-session-id=00000000000000000000000000000000";
    let others = format!("a=b; {cookie}; c=d");
    for (bearer, cookie) in [
        (None, cookie.as_str()),
        (None, others.as_str()),
        (Some(token.as_str()), ""),
        (Some(token.as_str()), stale),
        // The session counts before the token.
        (Some("garbage"), cookie.as_str()),
    ] {
        let answer = guest.get("propeller-test/allowed/1", bearer, cookie).await;
        assert_eq!(guest.open(&answer).unwrap(), b"a secret", "{cookie}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(
            members(&answer.body),
            ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
        );
    }
}

#[tokio::test]
async fn clients_of_every_kind_of_key_get_what_they_are_for() {
    let target = Target::new().await;
    let secret: Vec<u8> = (0..=255).cycle().take(5000).collect();
    target.put("propeller-test/allowed/2", &secret).await;
    for tee_key in [TeeKey::P256, TeeKey::P521, TeeKey::Rsa2048] {
        let options = KbsOptions {
            address: target.address(),
            extra_roots: Vec::new(),
            tee_key,
            init_data: None,
        };
        let prover = Prover::Own(Arc::new(Attester::sample()));
        let kbs = Kbs::new(options, prover).unwrap();
        for _ in 0..2 {
            let released = kbs
                .resource(&"propeller-test/allowed/2".parse().unwrap())
                .await;
            assert_eq!(released.unwrap().secret.as_slice(), secret, "{tee_key:?}");
        }
    }
}

#[tokio::test]
async fn headers_of_messages_have_the_recorded_bytes() {
    let target = Target::new().await;
    target.put("propeller-test/allowed/3", b"x").await;
    let guest = target.guest();
    let token = guest.attested().await;
    let answer = guest
        .get("propeller-test/allowed/3", Some(&token), "")
        .await
        .json();
    let header = |answer: &Value| {
        let protected = answer["protected"].as_str().unwrap().as_bytes();
        String::from_utf8(BASE64URL_NOPAD.decode(protected).unwrap()).unwrap()
    };
    // Whoever holds the tag against the header as he would write it needs this order.
    let found = header(&answer);
    let read: Value = serde_json::from_str(&found).unwrap();
    let expected = [("X", "x"), ("Y", "y")].into_iter().fold(
        HEADER_EC.trim_end().to_owned(),
        |text, (name, member)| {
            text.replace(&format!("\"{name}\""), &read["epk"][member].to_string())
        },
    );
    assert_eq!(found, expected);
    assert_eq!(
        HEADER_RSA.trim_end(),
        r#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#
    );
    let key = PrivateKey::generate_rsa(RsaBits::B2048).unwrap();
    let rsa = target.guest().with_key(key);
    let token = rsa.attested().await;
    let answer = rsa
        .get("propeller-test/allowed/3", Some(&token), "")
        .await
        .json();
    assert_eq!(header(&answer), HEADER_RSA.trim_end());
}

#[test]
fn the_recorded_runtime_data_have_the_recorded_hash() {
    let read: Value = serde_json::from_str(RUNTIME_DATA).unwrap();
    let key: Jwk = serde_json::from_value(read["tee-pubkey"].clone()).unwrap();
    let hash = report_data(Hash::default(), read["nonce"].as_str().unwrap(), &key, "");
    assert_eq!(HEXLOWER.encode(&hash), RUNTIME_DATA_HASH.trim_end());
}
