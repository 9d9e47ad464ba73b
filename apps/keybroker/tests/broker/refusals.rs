//! What is refused, on any broker: statuses, names and words.

use propeller_jose::{Curve, PrivateKey};
use serde_json::{Value, json};

use super::guest::{Answer, Challenged, Guest, sample};
use super::target::Target;

fn check(answer: &Answer, status: u16, name: &str, words: &str) {
    let (found_status, found_name, detail) = answer.refusal();
    assert_eq!(
        (found_status, found_name.as_str()),
        (status, name),
        "{detail}"
    );
    assert!(detail.contains(words), "{detail}");
    assert!(
        !answer.headers.contains_key("content-type"),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn a_first_message_has_everything_and_this_version() {
    let target = Target::new().await;
    let guest = target.guest();
    let mismatch = "Attestation error: RCAR handshake Auth failed: KBS Client Protocol Version \
                    Mismatch: expect =0.4.0 while the request is 0.2.0";
    let malformed = "RCAR handshake Auth failed: deserialize Request";
    for (body, words) in [
        (
            r#"{"version":"0.2.0","tee":"sample","extra-params":""}"#,
            mismatch,
        ),
        (r#"{"version":"0.4.0","tee":"sample"}"#, malformed),
        (r#"{"version":"0.4.0","extra-params":""}"#, malformed),
        (r#"{"tee":"sample","extra-params":""}"#, malformed),
        (
            r#"{"version":"0.4.0","tee":"magic","extra-params":""}"#,
            malformed,
        ),
        ("not JSON", malformed),
        ("", malformed),
    ] {
        check(
            &guest.post("auth", "", body).await,
            401,
            "AttestationError",
            words,
        );
    }
}

#[tokio::test]
async fn evidence_is_about_this_nonce_and_exactly_this_key() {
    let target = Target::new().await;
    let guest = target.guest();
    type Change = fn(&Guest, &str, &mut Value);
    let cases: [(&str, Change); 9] = [
        ("another nonce in the evidence", |guest, _, body| {
            body["tee-evidence"]["primary_evidence"] = sample(&guest.report_data("AAAA"));
        }),
        ("another nonce throughout", |guest, _, body| {
            *body = guest.attestation("AAAA");
        }),
        ("report data with padding", |guest, nonce, body| {
            let mut padded = guest.report_data(nonce);
            padded.resize(64, 0);
            body["tee-evidence"]["primary_evidence"] = sample(&padded);
        }),
        ("another key", |_, _, body| {
            let other = PrivateKey::generate(Curve::P256).unwrap();
            body["runtime-data"]["tee-pubkey"] = json!(propeller_jose::Jwk::of(&other).unwrap());
        }),
        (
            "a key with one member more, hashed as it was sent",
            |guest, nonce, body| {
                let mut key = json!(guest.jwk());
                key["kid"] = json!("mine");
                let hashed = json!({"additional-evidence": "", "nonce": nonce, "tee-pubkey": key});
                let hash = aws_lc_rs::digest::digest(
                    &aws_lc_rs::digest::SHA384,
                    // Members are sorted, and all values are texts: the canonical form.
                    hashed.to_string().as_bytes(),
                );
                body["runtime-data"]["tee-pubkey"] = key;
                body["tee-evidence"]["primary_evidence"] = sample(hash.as_ref());
            },
        ),
        ("a key without a kind", |_, _, body| {
            body["runtime-data"]["tee-pubkey"]
                .as_object_mut()
                .unwrap()
                .remove("kty");
        }),
        ("init-data in another form", |_, _, body| {
            body["init-data"] = json!({"format": "json", "body": "{}"});
        }),
        ("evidence of another shape", |_, _, body| {
            body["tee-evidence"]["primary_evidence"] = json!({"quote": "AAAA"});
        }),
        ("no evidence", |_, _, body| {
            body.as_object_mut().unwrap().remove("tee-evidence");
        }),
    ];
    for (what, change) in cases {
        let Challenged { nonce, cookie } = guest.challenged().await;
        let mut body = guest.attestation(&nonce);
        change(&guest, &nonce, &mut body);
        let answer = guest.post("attest", &cookie, body.to_string()).await;
        assert_eq!(answer.status, 401, "{what}");
        check(
            &answer,
            401,
            "AttestationError",
            "RCAR handshake Attest failed",
        );
    }
}

#[tokio::test]
async fn a_second_message_needs_the_cookie_of_a_first_one() {
    let target = Target::new().await;
    let guest = target.guest();
    let Challenged { nonce, .. } = guest.challenged().await;
    let body = guest.attestation(&nonce).to_string();
    for cookie in [
        "",
        "kbs-session-id=00000000000000000000000000000000",
        "other=1",
    ] {
        let answer = guest.post("attest", cookie, body.as_str()).await;
        check(
            &answer,
            401,
            "AttestationError",
            "RCAR handshake Attest failed",
        );
    }
}

/// The same token with another signature, and with none.
fn forged(token: &str) -> [String; 2] {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    [
        format!("{signed}.{other}{}", &signature[1..]),
        format!("{signed}."),
    ]
}

#[tokio::test]
async fn a_resource_needs_a_token_that_the_broker_has_signed() {
    let target = Target::new().await;
    let guest = target.guest();
    let token = guest.attested().await;
    let unattested = guest.challenged().await.cookie;
    let path = "propeller-test/allowed/x";
    for cookie in ["", &unattested] {
        let answer = guest.get(path, None, cookie).await;
        check(&answer, 401, "TokenNotFound", "Attestation Token not found");
    }
    let [altered, unsigned] = forged(&token);
    for bearer in ["garbage", &altered, &unsigned] {
        let answer = guest.get(path, Some(bearer), "").await;
        check(&answer, 401, "TokenVerifierError", "Token Verifier error");
    }
}

#[tokio::test]
async fn a_resource_needs_a_rule_and_to_be_there() {
    let target = Target::new().await;
    target.put("propeller-test/denied/1", b"never").await;
    let guest = target.guest();
    let token = guest.attested().await;
    // Whether it is there is nobody's business who may not have it.
    for path in ["propeller-test/denied/1", "propeller-test/denied/none"] {
        let answer = guest.get(path, Some(&token), "").await;
        check(&answer, 401, "PolicyDeny", "Access denied by policy");
    }
    let answer = guest
        .get("propeller-test/allowed/none", Some(&token), "")
        .await;
    check(&answer, 401, "PluginInternalError", "Plugin internal error");
}

#[tokio::test]
async fn what_nothing_answers_to_is_not_found() {
    let target = Target::new().await;
    let at = |method: &str, path: &str| {
        let url = format!("{}{path}", target.url);
        Answer::of(target.http.request(method.parse().unwrap(), url))
    };
    check(
        &at("GET", "/kbs/v0/auth").await,
        404,
        "PluginNotFound",
        "Plugin auth not found",
    );
    check(
        &at("GET", "/kbs/v0/nothing/x").await,
        404,
        "PluginNotFound",
        "nothing",
    );
    check(
        &at("POST", "/kbs/v0/nothing").await,
        404,
        "PluginNotFound",
        "nothing",
    );
    let outside = at("GET", "/elsewhere").await;
    assert_eq!((outside.status, outside.body.len()), (404, 0));
    let healthy = at("GET", "/healthz").await;
    assert_eq!((healthy.status, healthy.body.len()), (200, 0));
    assert_eq!(at("GET", "/metrics").await.status, 200);
}

#[tokio::test]
async fn a_message_has_two_mebibytes_at_most() {
    let target = Target::new().await;
    let guest = target.guest();
    let answer = guest.post("auth", "", "x".repeat(3 << 20)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body, b"payload reached size limit");
    let within = guest.post("auth", "", "x".repeat((2 << 20) - 1)).await;
    assert_eq!(within.status, 401);
}

#[tokio::test]
async fn resources_are_written_by_administrators_alone() {
    let target = Target::new().await;
    let guest = target.guest();
    let token = guest.attested().await;
    let url = format!("{}/kbs/v0/resource/propeller-test/allowed/4", target.url);
    for bearer in ["", "garbage", &token] {
        for request in [target.http.post(&url).body("x"), target.http.delete(&url)] {
            let request = match bearer {
                "" => request,
                bearer => request.bearer_auth(bearer),
            };
            let answer = Answer::of(request).await;
            check(&answer, 401, "AdminAuthInitialization", "");
        }
    }
    let policy = format!("{}/kbs/v0/resource-policy", target.url);
    let answer = Answer::of(target.http.post(&policy).body("{}")).await;
    check(&answer, 401, "AdminAuthAccess", "resource-policy");
    // And who may, gets what Trustee says.
    let written = Answer::of(target.http.post(&url).bearer_auth(target.token()).body("x")).await;
    assert_eq!((written.status, written.body.len()), (200, 0));
    assert_eq!(written.headers["content-type"], "text/xml");
    let bad = url.replace("allowed/4", ".hidden/4");
    let refused = Answer::of(target.http.post(&bad).bearer_auth(target.token()).body("x")).await;
    check(
        &refused,
        401,
        "PluginInternalError",
        "Plugin internal error",
    );
    let deleted = Answer::of(target.http.delete(&url).bearer_auth(target.token())).await;
    assert_eq!(deleted.status, 200);
    let gone = guest
        .get("propeller-test/allowed/4", Some(&token), "")
        .await;
    check(&gone, 401, "PluginInternalError", "Plugin internal error");
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let target = Target::new().await;
    let guest = target.guest();
    let token = guest.attested().await;
    for path in [
        "a/b",
        "a/b/c/d",
        "propeller-test/allowed/",
        "propeller-test//x",
        "propeller-test/allowed/.x",
        "propeller-test/allowed/%2e%2e",
        "propeller-test/allowed/..%2f..%2fetc",
        "propeller-test/allowed/x%00",
        "propeller-test/allowed/%C3%BC",
    ] {
        let answer = guest.get(path, Some(&token), "").await;
        let (status, name, detail) = answer.refusal();
        // Of what its policy refuses, a broker need not say that it is no path.
        let expected = ["PluginInternalError", "PolicyDeny"].contains(&name.as_str());
        assert!(status == 401 && expected, "{path}: {name} {detail}");
    }
}
