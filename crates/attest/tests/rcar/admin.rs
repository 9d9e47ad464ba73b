//! The administrator's client: what was written is known, and goes nowhere else.

use aws_lc_rs::signature::Ed25519KeyPair;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use propeller_attest::rcar::BODY_BYTES_MAX;
use propeller_attest::rcar::admin::{Admin, AdminError, AdminKey};
use serde_json::{Value, json};

use super::broker::{Answer, Broker, Then, refusal};
use super::honest::{path, provider};

const NOW: u64 = 1_790_000_000;

fn key() -> AdminKey {
    let key = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let text = BASE64.encode(key.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    AdminKey::from_pem(pem.as_bytes()).unwrap()
}

fn admin(broker: &Broker) -> Admin {
    provider();
    Admin::new(broker.address(), &[], key(), "writer").unwrap()
}

/// What is told of a secret that is written to a broker that answers so.
async fn failure(mut answer: impl FnMut() -> Answer + Send + 'static) -> (AdminError, String) {
    let broker = Broker::start(move |_, _| answer()).await;
    let error = admin(&broker).put_resource(&path(), b"a secret", NOW).await;
    let error = error.unwrap_err();
    let told = error.to_string().replace(&broker.url, "KBS");
    assert_eq!(broker.asked().len(), 1, "{told}");
    assert!(!told.contains("a secret"), "{told}");
    (error, told)
}

#[tokio::test]
async fn a_secret_is_written_and_deleted_with_a_token_of_the_role() {
    let broker = Broker::start(|_, _| Answer::new(200, &[("content-type", "text/xml")], "")).await;
    let admin = admin(&broker);
    admin
        .put_resource(&path(), b"\0a secret\xff", NOW)
        .await
        .unwrap();
    admin.delete_resource(&path(), NOW).await.unwrap();
    let asked = broker.asked();
    for (asked, method, body) in [
        (&asked[0], "POST", &b"\0a secret\xff"[..]),
        (&asked[1], "DELETE", b""),
    ] {
        assert_eq!(asked.method, method);
        assert_eq!(asked.path, "/kbs/v0/resource/default/key/app");
        assert_eq!(asked.body, body);
        assert_eq!(asked.header("if-none-match"), None);
        let bearer = asked.header("authorization").unwrap();
        let payload = bearer
            .strip_prefix("Bearer ")
            .unwrap()
            .split('.')
            .nth(1)
            .unwrap();
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let expected = json!({
            "iss": "propeller", "sub": "writer", "aud": ["KBS"], "role": "writer",
            "iat": NOW, "exp": NOW + 120,
        });
        assert_eq!(payload, expected);
    }
}

#[tokio::test]
async fn an_administrator_that_is_unknown_is_told_from_other_refusals() {
    for name in ["AdminAuthInitialization", "AdminAuthAccess"] {
        let (error, told) = failure(move || Answer::refusal(name, "Admin auth error")).await;
        assert!(matches!(error, AdminError::Denied { .. }));
        assert_eq!(
            told,
            "key broker KBS: default/key/app was not changed, because writer may not, or its key is \
             unknown there: Admin auth error"
        );
    }
    for (status, body, said) in [
        (401, refusal("PluginInternalError", "no"), "401: no"),
        (
            413,
            "payload reached size limit".to_owned(),
            "413: payload reached size limit",
        ),
        (404, String::new(), "404: "),
        (302, String::new(), "302: "),
        (500, "\u{1b}[2J".to_owned(), "500:  [2J"),
    ] {
        let (error, told) = failure(move || Answer::new(status, &[], &body)).await;
        assert!(matches!(error, AdminError::Refused { .. }));
        let begin = "key broker KBS: default/key/app was not changed: HTTP status ";
        assert_eq!(told, format!("{begin}{said}"));
    }
}

#[tokio::test]
async fn a_secret_that_is_to_be_new_is_written_on_that_condition() {
    let mut answers = [200, 412].into_iter();
    let broker = Broker::start(move |_, _| Answer::new(answers.next().unwrap(), &[], "")).await;
    let admin = admin(&broker);
    admin.add_resource(&path(), b"a secret", NOW).await.unwrap();
    let error = admin.add_resource(&path(), b"another", NOW).await;
    let error = error.unwrap_err();
    assert!(matches!(error, AdminError::Exists { .. }), "{error}");
    assert_eq!(
        error.to_string().replace(&broker.url, "KBS"),
        "key broker KBS: another key is kept as default/key/app already, and was not changed"
    );
    let asked = broker.asked();
    let conditions = asked.iter().map(|asked| asked.header("if-none-match"));
    assert_eq!(conditions.collect::<Vec<_>>(), [Some("*"); 2]);
}

#[tokio::test]
async fn a_secret_follows_nobody_elsewhere() {
    let elsewhere = Broker::start(|_, _| Answer::new(200, &[], "")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url.clone();
        let (error, _) = failure(move || Answer::new(status, &[("location", &location)], "")).await;
        assert!(matches!(error, AdminError::Refused { status: found, .. } if found == status));
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn nobody_is_told_that_a_secret_is_there_who_does_not_know_it() {
    for answer in [&b""[..], b"HTTP/1.1 200", b"garbage\r\n\r\n"] {
        let (error, told) = failure(move || Answer::raw(answer)).await;
        assert!(matches!(error, AdminError::Network { .. }));
        assert_eq!(told, "key broker KBS: no answer about default/key/app");
    }
}

#[tokio::test]
async fn words_that_never_end_are_not_read_on() {
    let (_, told) =
        failure(|| Answer::raw("HTTP/1.1 500 x\r\n\r\n").then(Then::Again(vec![b'x'; 64 << 10])))
            .await;
    assert!(told.len() < 1000, "{} bytes", told.len());
}

#[tokio::test]
async fn what_no_broker_takes_is_not_sent() {
    let broker = Broker::start(|_, _| Answer::new(200, &[], "")).await;
    let admin = admin(&broker);
    let error = admin
        .put_resource(&path(), &vec![7; BODY_BYTES_MAX + 1], NOW)
        .await;
    assert!(matches!(error, Err(AdminError::TooLong { bytes }) if bytes == BODY_BYTES_MAX + 1));
    assert!(broker.asked().is_empty());
    admin
        .put_resource(&path(), &vec![7; BODY_BYTES_MAX], NOW)
        .await
        .unwrap();
    assert_eq!(broker.asked()[0].body.len(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn a_file_without_a_certificate_is_no_authority() {
    let broker = Broker::start(|_, _| Answer::new(200, &[], "")).await;
    provider();
    let roots = [b"not PEM".to_vec()];
    let made = Admin::new(broker.address(), &roots, key(), "writer");
    assert!(matches!(made, Err(AdminError::Setup(_))));
}
