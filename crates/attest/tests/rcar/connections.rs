//! Connections: refused, dropped, slow, endless, sent elsewhere, and not HTTP at all.

use std::process::Stdio;
use std::time::Duration;

use propeller_attest::rcar::{BODY_BYTES_MAX, KbsAddress, KbsError, KbsOptions, Step};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::broker::{Answer, Broker, Then};
use super::honest::{
    SECRET, challenge, client, cookie, failure_at, kbs, nonce, options, secret, token, told,
};

const STEPS: [Step; 3] = [Step::Auth, Step::Attest, Step::Resource];

/// What was asked before and at a step that fails, if nothing is tried again.
fn counts(step: Step) -> [usize; 3] {
    match step {
        Step::Auth => [1, 0, 0],
        Step::Attest => [1, 1, 0],
        Step::Resource => [1, 1, 1],
    }
}

/// An answer that a step may have, for as far as it is looked at.
fn good(step: Step) -> Answer {
    match step {
        Step::Auth => challenge(&json!({"nonce": nonce(0)}), &[&cookie(0)]),
        Step::Attest => Answer::json(&json!({"token": token(0, &json!({}))})),
        Step::Resource => Answer::json(&json!({"protected": "e30", "iv": "", "tag": ""})),
    }
}

/// A head without a length, so that the body ends with the connection.
const UNTOLD: &str = "HTTP/1.1 200 x\r\nset-cookie: kbs-session-id=1\r\n\r\n";

#[tokio::test]
async fn a_broker_that_is_down_is_named_with_the_step() {
    let broker = Broker::honest().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = KbsOptions {
        address: KbsAddress::parse(&url, false, "").unwrap(),
        ..options(&broker)
    };
    let error = secret(&client(options)).await.unwrap_err();
    let begin = format!("key broker {url}: no answer to auth: ");
    assert!(error.to_string().starts_with(&begin), "{error}");
    assert!(matches!(
        error,
        KbsError::Network {
            step: Step::Auth,
            ..
        }
    ));
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_an_error_of_its_step_and_not_tried_again() {
    for step in STEPS {
        let whole = good(step).len();
        // Before anything, in the status, in the head, and one byte before the end.
        for len in [0, 5, 30, whole - 1] {
            let (told, broker) = failure_at(step, move || good(step).cut(len)).await;
            let begin = format!("key broker KBS: no answer to {step}: ");
            assert!(told.starts_with(&begin), "{len} bytes: {told}");
            assert_eq!(broker.counts(), counts(step));
        }
    }
}

#[tokio::test]
async fn a_session_outlives_a_connection_that_is_dropped() {
    let mut asked_before = false;
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Resource if !std::mem::replace(&mut asked_before, true) => Answer::raw(""),
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    assert!(secret(&kbs).await.is_err());
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    assert_eq!(broker.counts(), [1, 1, 2]);
}

/// With a clock that runs whenever everybody waits.
async fn given_up(step: Step, answer: fn() -> Answer) -> (KbsError, Broker) {
    let broker = Broker::start(move |asked, honest| match asked.step() == step {
        true => answer(),
        false => honest.answer(asked),
    })
    .await;
    let client = kbs(&broker);
    let begun = tokio::time::Instant::now();
    // Whoever waits for ever is stopped after an hour, which passes at once.
    let asking = tokio::time::timeout(Duration::from_secs(3600), secret(&client));
    let (outcome, ()) = tokio::join!(asking, async {
        broker.reached(step).await;
        tokio::time::pause();
    });
    let outcome = outcome.unwrap();
    let waited = begun.elapsed().as_secs();
    assert!((29..=40).contains(&waited), "{waited} s");
    (outcome.unwrap_err(), broker)
}

async fn check_given_up(step: Step, answer: fn() -> Answer) {
    let (error, broker) = given_up(step, answer).await;
    let said = told(&broker, &error);
    assert!(
        said.starts_with(&format!("key broker KBS: no answer to {step}: ")),
        "{said}"
    );
    let KbsError::Network { source, .. } = error else {
        panic!("{said}");
    };
    assert!(source.is_timeout(), "{source:?}");
    assert_eq!(broker.counts(), counts(step));
}

#[tokio::test]
async fn a_challenge_that_does_not_come_is_given_up() {
    check_given_up(Step::Auth, || Answer::raw("").then(Then::Nothing)).await;
}

#[tokio::test]
async fn a_token_that_does_not_come_is_given_up() {
    check_given_up(Step::Attest, || Answer::raw("").then(Then::Nothing)).await;
}

#[tokio::test]
async fn a_resource_whose_end_does_not_come_is_given_up() {
    check_given_up(Step::Resource, || {
        good(Step::Resource).cut(60).then(Then::Nothing)
    })
    .await;
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_given_up() {
    check_given_up(Step::Resource, || Answer::raw(UNTOLD).then(Then::Drip)).await;
}

#[tokio::test]
async fn what_never_ends_is_not_read_on() {
    for step in STEPS {
        let (told, broker) = failure_at(step, || {
            Answer::raw(UNTOLD).then(Then::Again(vec![b' '; 64 << 10]))
        })
        .await;
        assert_eq!(
            told,
            format!(
                "key broker KBS: its answer to {step} is not what the protocol says: it has more \
                 than {BODY_BYTES_MAX} bytes"
            )
        );
        assert_eq!(broker.counts(), counts(step));
    }
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_not_read_on_either() {
    let head = "HTTP/1.1 401 x\r\n\r\n";
    let (told, _) = failure_at(Step::Resource, move || {
        Answer::raw(head).then(Then::Again(vec![b' '; 64 << 10]))
    })
    .await;
    assert!(told.ends_with("it has more than 2097152 bytes"), "{told}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_read_on() {
    let (told, broker) = failure_at(Step::Auth, || {
        Answer::raw("HTTP/1.1 200 x\r\n").then(Then::Again(b"x-more: of the same\r\n".repeat(1000)))
    })
    .await;
    assert!(
        told.starts_with("key broker KBS: no answer to auth: "),
        "{told}"
    );
    assert_eq!(broker.counts(), [1, 0, 0]);
}

#[tokio::test]
async fn two_mebibytes_are_read_and_one_byte_more_is_not() {
    // JSON may end in white space.
    let padded = |len: usize| {
        let mut body = json!({"nonce": nonce(0)}).to_string();
        body.push_str(&" ".repeat(len - body.len()));
        body
    };
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Auth => Answer::new(200, &[("set-cookie", &cookie(0))], padded(BODY_BYTES_MAX)),
        _ => honest.answer(asked),
    })
    .await;
    assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET);
    let too_long = "key broker KBS: its answer to auth is not what the protocol says: it has more \
                    than 2097152 bytes";
    let told_to_be =
        |len: u64| UNTOLD.replace("\r\n\r\n", &format!("\r\ncontent-length: {len}\r\n\r\n"));
    for answer in [
        // One that comes, one that was told and does not come, and one that nobody could hold.
        format!("{UNTOLD}{}", padded(BODY_BYTES_MAX + 1)),
        told_to_be(BODY_BYTES_MAX as u64 + 1),
        told_to_be(9_000_000_000_000),
    ] {
        let (told, _) = failure_at(Step::Auth, move || {
            Answer::raw(answer.clone()).then(Then::Nothing)
        })
        .await;
        assert_eq!(told, too_long);
    }
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_least_of_all_with_a_token() {
    let elsewhere = Broker::honest().await;
    for step in STEPS {
        for status in [301, 302, 303, 307, 308] {
            let location = format!("{}/kbs/v0/{step}", elsewhere.url);
            let (told, broker) = failure_at(step, move || {
                let headers = [
                    ("location", location.as_str()),
                    ("set-cookie", "kbs-session-id=1"),
                ];
                Answer::new(status, &headers, "")
            })
            .await;
            let begin = format!(
                "key broker KBS: its answer to {step} is not what the protocol says: HTTP status {status} "
            );
            assert!(told.starts_with(&begin), "{told}");
            assert_eq!(broker.counts(), counts(step));
        }
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_web_page_is_no_answer() {
    let page = "<!doctype html><title>Sign in</title>";
    for (step, why) in [
        (Step::Auth, "no such JSON (Syntax)"),
        (Step::Attest, "no such JSON (Syntax)"),
        (Step::Resource, "it is no JWE for one key"),
    ] {
        let (told, broker) = failure_at(step, move || {
            let headers = [
                ("content-type", "text/html"),
                ("set-cookie", "kbs-session-id=1"),
            ];
            Answer::new(200, &headers, page)
        })
        .await;
        assert_eq!(
            told,
            format!("key broker KBS: its answer to {step} is not what the protocol says: {why}")
        );
        assert_eq!(broker.counts(), counts(step));
    }
}

#[tokio::test]
async fn what_speaks_no_http_is_no_broker() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let (told, _) = failure_at(Step::Auth, move || Answer::raw(bytes)).await;
        assert!(
            told.starts_with("key broker KBS: no answer to auth: "),
            "{}: {told}",
            bytes.escape_ascii()
        );
    }
}

/// HTTP is allowed to a broker on this machine because it stays on this machine.
#[tokio::test]
async fn what_is_not_encrypted_takes_no_way_through_a_proxy_of_the_environment() {
    const NAME: &str =
        "connections::what_is_not_encrypted_takes_no_way_through_a_proxy_of_the_environment";
    const BEHIND: &str = "PROPELLER_TEST_RCAR_BEHIND_A_PROXY";
    if std::env::var_os(BEHIND).is_some() {
        let broker = Broker::honest().await;
        assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET);
        return;
    }
    // The same test again, in an environment whose proxy is an eavesdropper.
    let proxy = Broker::honest().await;
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", NAME]);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(variable, &proxy.url);
    }
    for variable in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        again.env_remove(variable);
    }
    let again = again.env(BEHIND, "1").stderr(Stdio::null()).output();
    let output = again.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(proxy.asked().is_empty(), "{said}");
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}
