//! What the client sends: the messages of RCAR 0.4.0, and no more.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use data_encoding::BASE64;
use propeller_attest::rcar::{KbsAddress, KbsOptions, Step};
use serde_json::{Value, json};

use super::broker::{Asked, Broker};
use super::honest::{PATH, SECRET, client, cookie, kbs, nonce, options, secret, token};

/// Recorded between programs that are not ours; the README beside them says which.
const AUTH: &str = include_str!("../../../../testdata/keybroker/auth.request.json");
const ATTEST: &str = include_str!("../../../../testdata/keybroker/attest.request.json");

/// A text as canonical JSON has it (RFC 8785, section 3.2.2.2).
fn canonical(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\u{c}' => json.push_str("\\f"),
            '\r' => json.push_str("\\r"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json + "\""
}

/// That evidence is about the hash of exactly what was sent beside it.
#[track_caller]
pub(crate) fn check_report_data(attest: &Asked, nonce: &str, algorithm: &'static Algorithm) {
    let body = attest.json();
    assert_eq!(body["runtime-data"]["nonce"], nonce);
    let key = &body["runtime-data"]["tee-pubkey"];
    let mut members: Vec<_> = key.as_object().unwrap().iter().collect();
    members.sort_by(|one, other| one.0.cmp(other.0));
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| format!("\"{name}\":{}", canonical(value.as_str().unwrap())))
        .collect();
    let runtime_data = format!(
        "{{\"additional-evidence\":\"\",\"nonce\":{},\"tee-pubkey\":{{{}}}}}",
        canonical(nonce),
        members.join(",")
    );
    let expected = digest(algorithm, runtime_data.as_bytes());
    let evidence = &body["tee-evidence"]["primary_evidence"];
    let found = evidence["report_data"].as_str().unwrap().as_bytes();
    // As long as the hash: zeros behind it are for hardware.
    assert_eq!(BASE64.decode(found).unwrap(), expected.as_ref());
}

async fn exchange() -> Broker {
    let broker = Broker::honest().await;
    assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET);
    broker
}

#[tokio::test]
async fn the_first_message_has_its_version_and_all_three_members() {
    let broker = exchange().await;
    let auth = broker.asked_once(Step::Auth);
    assert_eq!(
        (auth.method.as_str(), auth.path.as_str()),
        ("POST", "/kbs/v0/auth")
    );
    assert_eq!(auth.header("content-type"), Some("application/json"));
    assert_eq!(
        (auth.header("cookie"), auth.header("authorization")),
        (None, None)
    );
    let mut recorded: Value = serde_json::from_str(AUTH).unwrap();
    // The one hash that is not had here is not offered.
    let offered = &mut recorded["extra-params"]["supported-hash-algorithms"];
    assert_eq!(offered.as_array_mut().unwrap().pop().unwrap(), "sm3");
    assert_eq!(auth.json(), recorded);
    assert_eq!(auth.json()["version"], "0.4.0");
}

#[tokio::test]
async fn the_second_message_has_the_recorded_members_and_no_other() {
    let broker = exchange().await;
    let attest = broker.asked_once(Step::Attest);
    assert_eq!(
        (attest.method.as_str(), attest.path.as_str()),
        ("POST", "/kbs/v0/attest")
    );
    assert_eq!(attest.header("content-type"), Some("application/json"));
    let body = attest.json();
    let key = &body["runtime-data"]["tee-pubkey"];
    let report_data = &body["tee-evidence"]["primary_evidence"]["report_data"];
    let recorded = [
        ("\"NONCE\"", &json!(nonce(0))),
        ("\"X\"", &key["x"]),
        ("\"Y\"", &key["y"]),
        ("\"REPORT_DATA\"", report_data),
    ]
    .into_iter()
    .fold(ATTEST.trim_end().to_owned(), |text, (name, value)| {
        text.replace(name, &value.to_string())
    });
    assert_eq!(body, serde_json::from_str::<Value>(&recorded).unwrap());
    // Nothing is said twice, and nothing with more words; the order of members is free.
    assert_eq!(attest.body.len(), recorded.len());
}

#[tokio::test]
async fn evidence_is_about_the_hash_of_the_nonce_and_the_key() {
    let broker = exchange().await;
    check_report_data(&broker.asked_once(Step::Attest), &nonce(0), &SHA384);
}

#[tokio::test]
async fn the_sessions_cookie_goes_with_the_second_message_and_with_no_other() {
    let broker = exchange().await;
    let cookie_of = |step| broker.asked_once(step).header("cookie").map(str::to_owned);
    assert_eq!(cookie_of(Step::Auth), None);
    assert_eq!(cookie_of(Step::Attest), Some(cookie(0)));
    assert_eq!(cookie_of(Step::Resource), None);
}

#[tokio::test]
async fn a_resource_is_asked_for_at_its_path_with_the_token_alone() {
    let broker = exchange().await;
    let asked = broker.asked_once(Step::Resource);
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("GET", "/kbs/v0/resource/default/key/app")
    );
    let bearer = format!("Bearer {}", token(0, &json!({"iat": 1000, "exp": 1300})));
    assert_eq!(asked.header("authorization"), Some(bearer.as_str()));
    assert!(asked.body.is_empty());
    // Who hands out tokens sees none.
    for step in [Step::Auth, Step::Attest] {
        assert_eq!(broker.asked_once(step).header("authorization"), None);
    }
}

#[tokio::test]
async fn a_broker_below_a_path_is_asked_there() {
    let broker = Broker::honest().await;
    let url = format!("{}/behind/a/gateway/", broker.url);
    let options = KbsOptions {
        address: KbsAddress::parse(&url, false, "").unwrap(),
        ..options(&broker)
    };
    assert_eq!(secret(&client(options)).await.unwrap(), SECRET);
    let paths: Vec<_> = broker.asked().into_iter().map(|asked| asked.path).collect();
    let expected = ["auth", "attest", &format!("resource/{PATH}")]
        .map(|step| format!("/behind/a/gateway/kbs/v0/{step}"));
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn init_data_are_sent_byte_for_byte_or_not_at_all() {
    let toml = "version = \"0.1.0\"\r\nalgorithm = \"sha256\"\n[data]\ntenant = \"ä \\u0000\"\n";
    for (init_data, expected) in [
        (None, Value::Null),
        (
            Some(toml.to_owned()),
            json!({"format": "toml", "body": toml}),
        ),
        (Some(String::new()), json!({"format": "toml", "body": ""})),
    ] {
        let broker = Broker::honest().await;
        let options = KbsOptions {
            init_data,
            ..options(&broker)
        };
        secret(&client(options)).await.unwrap();
        let attest = broker.asked_once(Step::Attest);
        assert_eq!(attest.json()["init-data"], expected);
        // It is measured elsewhere: the report data are those of any attestation.
        check_report_data(&attest, &nonce(0), &SHA384);
    }
}

#[tokio::test]
async fn the_hash_that_a_challenge_chooses_is_the_one_that_is_made() {
    for (chosen, algorithm) in [
        ("sha256", &SHA256),
        ("sha384", &SHA384),
        ("sha512", &SHA512),
    ] {
        let broker = Broker::start(move |asked, honest| match asked.step() {
            Step::Auth => honest.challenge(&json!({"selected-hash-algorithm": chosen})),
            _ => honest.answer(asked),
        })
        .await;
        assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET, "{chosen}");
        check_report_data(&broker.asked_once(Step::Attest), &nonce(0), algorithm);
    }
}

#[cfg(feature = "tdx-attester")]
#[tokio::test]
async fn without_evidence_nothing_is_attested() {
    use propeller_attest::detect::Host;
    use propeller_attest::rcar::{Kbs, Prover};
    use propeller_attest::{Attester, Tee};

    let broker = Broker::honest().await;
    let empty = tempfile::tempdir().unwrap();
    let nothing = std::sync::Arc::new(Host::at(empty.path()));
    let attester = Attester::on(Tee::Tdx, nothing).unwrap();
    super::honest::provider();
    let kbs = Kbs::new(options(&broker), Prover::Own(std::sync::Arc::new(attester))).unwrap();
    assert_eq!(kbs.tee(), Tee::Tdx);
    let error = secret(&kbs).await.unwrap_err().to_string();
    assert!(error.starts_with("no evidence of the TEE: "), "{error}");
    // The kind was told, and sample evidence took nobody's place.
    assert_eq!(broker.asked_once(Step::Auth).json()["tee"], "tdx");
    assert_eq!(broker.counts(), [1, 0, 0]);
}
