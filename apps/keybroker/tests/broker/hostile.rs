//! Those who have something else in mind.

use data_encoding::BASE64URL_NOPAD;
use propeller_keybroker::config::Rates;
use serde_json::{Value, json};

use super::bed::{Bed, OPEN};
use super::guest::{Answer, Challenged, Guest};

const PATH: &str = "propeller-test/allowed/1";

async fn bed() -> Bed {
    let bed = Bed::new(OPEN).await;
    bed.put(PATH, b"a secret").await;
    bed
}

fn guest(bed: &Bed) -> Guest {
    Guest::new(&bed.http, bed.broker().url())
}

#[tokio::test]
async fn a_nonce_is_for_one_try_of_whoever_asked_for_it() {
    let bed = bed().await;
    let (victim, thief) = (guest(&bed), guest(&bed));
    let challenged = victim.challenged().await;
    let evidence = victim.attestation(&challenged.nonce).to_string();
    // Somebody else's message under a cookie of one's own.
    let own = thief.challenged().await;
    let answer = thief.post("attest", &own.cookie, evidence.as_str()).await;
    assert_eq!(answer.status, 401);
    // Somebody else's cookie: the token is for the thief's key, and he is told apart by nothing but
    // it, so that all he has is his own session.
    let Challenged { nonce, cookie } = victim.challenged().await;
    let answer = thief
        .post("attest", &cookie, thief.attestation(&nonce).to_string())
        .await;
    let token = answer.token();
    let released = thief.get(PATH, Some(&token), "").await;
    assert!(thief.open(&released).is_some() && victim.open(&released).is_none());
    // A wrong guess uses the nonce up, and the right evidence comes too late.
    let Challenged { nonce, cookie } = victim.challenged().await;
    let wrong = victim.attestation_with(&nonce, json!({"svn": "1", "report_data": "AAAA"}));
    assert_eq!(
        victim
            .post("attest", &cookie, wrong.to_string())
            .await
            .status,
        401
    );
    let right = victim.attestation(&nonce).to_string();
    let late = victim.post("attest", &cookie, right).await.refusal();
    assert!(late.2.contains("its nonce has been used"), "{late:?}");
    // And the first one is still good.
    assert_eq!(
        victim
            .post("attest", &challenged.cookie, evidence)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_stolen_answer_and_a_stolen_token_open_nothing() {
    let bed = bed().await;
    let (victim, thief) = (guest(&bed), guest(&bed));
    let token = victim.attested().await;
    let stolen = thief.get(PATH, Some(&token), "").await;
    assert_eq!(thief.open(&stolen), None);
    assert_eq!(victim.open(&stolen).unwrap(), b"a secret");
}

#[tokio::test]
async fn tokens_are_this_brokers_and_in_force() {
    let bed = bed().await;
    let guest = guest(&bed);
    let token = guest.attested().await;
    let other = Bed::new(OPEN).await;
    let of_another = Guest::new(&other.http, other.broker().url())
        .attested()
        .await;
    let payload = token.split('.').nth(1).unwrap();
    let with_header = |header: Value| {
        let header = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        format!("{header}.{payload}.")
    };
    // Signed with the public key as a secret that both sides know.
    let header: Value = {
        let part = token.split('.').next().unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    let public = serde_json::to_vec(&header["jwk"]).unwrap();
    let claims: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap();
    let symmetric = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(&public),
    );
    for bad in [
        of_another,
        with_header(json!({"alg": "none", "typ": "JWT"})),
        with_header(json!({"alg": "ES256", "typ": "JWT"})),
        symmetric.unwrap(),
        bed.admin.token("admin"),
    ] {
        let (status, name, _) = guest.get(PATH, Some(&bad), "").await.refusal();
        assert_eq!(
            (status, name.as_str()),
            (401, "TokenVerifierError"),
            "{bad}"
        );
    }
    bed.pass(299);
    assert_eq!(guest.get(PATH, Some(&token), "").await.status, 200);
    bed.pass(1);
    let (status, name, _) = guest.get(PATH, Some(&token), "").await.refusal();
    assert_eq!((status, name.as_str()), (401, "TokenVerifierError"));
}

#[tokio::test]
async fn thousands_of_first_messages_take_bounded_memory() {
    let bed = bed().await;
    let guest = guest(&bed);
    for _ in 0..5000 {
        guest.challenged().await;
    }
    let metrics = Answer::of(bed.http.get(bed.url("/metrics"))).await;
    let text = String::from_utf8(metrics.body).unwrap();
    let sessions = text
        .lines()
        .find_map(|line| line.strip_prefix("keybroker_sessions "));
    let sessions: usize = sessions.unwrap().parse().unwrap();
    assert!((1000..=4096).contains(&sessions), "{sessions}");
    // Whoever comes now is served.
    assert!(!guest.attested().await.is_empty());
}

#[tokio::test]
async fn whoever_asks_too_often_waits() {
    let mut bed = Bed::closed(OPEN);
    bed.config.rates = Rates {
        per_peer: 10,
        per_token: 2,
    };
    bed.start().await.unwrap();
    bed.put(PATH, b"a secret").await;
    let guest = guest(&bed);
    let token = guest.attested().await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(guest.get(PATH, Some(&token), "").await);
    }
    let allowed = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((8..10).contains(&allowed), "{allowed}");
    let limited = answers.last().unwrap();
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // Another token of the same address goes on, until the address has had enough.
    assert_eq!(guest.get(PATH, Some("garbage"), "").await.status, 401);
    let mut limited = 0;
    for _ in 0..100 {
        let request = bed.http.post(bed.url("/kbs/v0/auth")).body("x");
        limited += usize::from(Answer::of(request).await.status == 429);
    }
    assert!(limited > 50, "{limited}");
    // Whoever looks after it still gets in.
    assert_eq!(
        Answer::of(bed.http.get(bed.url("/healthz"))).await.status,
        200
    );
    assert_eq!(
        Answer::of(bed.http.get(bed.url("/metrics"))).await.status,
        200
    );
}

#[tokio::test]
async fn a_web_page_is_no_client() {
    let bed = bed().await;
    let request = bed.http.post(bed.url("/kbs/v0/auth"));
    let request = request.header("origin", "http://127.0.0.1").body("{}");
    assert_eq!(Answer::of(request).await.status, 403);
}

#[tokio::test]
async fn evidence_of_devices_and_of_kinds_that_nobody_here_knows_is_refused_as_such() {
    let bed = bed().await;
    let guest = guest(&bed);
    let body = json!({"version": "0.4.0", "tee": "cca", "extra-params": ""});
    let (_, _, detail) = guest.post("auth", "", body.to_string()).await.refusal();
    assert!(detail.contains("is not judged by this broker"), "{detail}");
    let Challenged { nonce, cookie } = guest.challenged().await;
    let mut body = guest.attestation(&nonce);
    body["tee-evidence"]["additional_evidence"] = json!("{\"nvidia\":{}}");
    let (_, _, detail) = guest
        .post("attest", &cookie, body.to_string())
        .await
        .refusal();
    assert!(detail.contains("additional devices"), "{detail}");
}
