//! Refusals: told apart by their name, whatever their HTTP status is.

use propeller_attest::rcar::Step;
use serde_json::json;

use super::broker::{Answer, Broker, refusal};
use super::honest::{failure_at, kbs, secret};

const STEPS: [Step; 3] = [Step::Auth, Step::Attest, Step::Resource];

/// What was asked before and at a step that fails, if nothing is tried again.
fn counts(step: Step) -> [usize; 3] {
    match step {
        Step::Auth => [1, 0, 0],
        Step::Attest => [1, 1, 0],
        Step::Resource => [1, 1, 1],
    }
}

/// Refuses at a step, and holds what is told against `expected`; nothing is tried again.
async fn check(step: Step, answer: impl FnMut() -> Answer + Send + 'static, expected: &str) {
    let (told, broker) = failure_at(step, answer).await;
    assert_eq!(told, expected);
    assert_eq!(broker.counts(), counts(step), "{told}");
}

#[tokio::test]
async fn what_a_policy_refuses_is_refused_for_good_with_any_status() {
    for status in [401, 403, 404] {
        check(
            Step::Resource,
            move || {
                Answer::new(
                    status,
                    &[],
                    refusal("PolicyDeny", "Access denied by policy"),
                )
            },
            "key broker KBS: its policy does not release default/key/app to this TEE (sample: not \
             hardware): Access denied by policy",
        )
        .await;
    }
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_said_not_to_be_and_where() {
    for status in [401, 404] {
        check(
            Step::Resource,
            move || {
                let body = refusal("PluginInternalError", "Plugin internal error");
                Answer::new(status, &[], body)
            },
            "key broker KBS: default/key/app was not found there, or it could not read it: Plugin \
             internal error",
        )
        .await;
    }
}

#[tokio::test]
async fn another_version_of_the_protocol_is_told_in_the_brokers_words() {
    let detail = "Attestation error: RCAR handshake Auth failed: KBS Client Protocol Version \
                  Mismatch: expect =0.2.0 while the request is 0.4.0";
    check(
        Step::Auth,
        move || Answer::refusal("AttestationError", detail),
        &format!(
            "key broker KBS speaks another version of the protocol than 0.4.0 (Trustee from \
             v0.14.0): {detail}"
        ),
    )
    .await;
}

#[tokio::test]
async fn every_other_refusal_is_told_with_its_name_and_is_final() {
    let names = [
        "AttestationError",
        "PluginNotFound",
        "InvalidRequestPath",
        "AdminAuthAccess",
        "AdminAuthInitialization",
        "PolicyEngineError",
        "SomethingNew",
    ];
    for name in names {
        for step in STEPS {
            for status in [401, 404] {
                let body = refusal(name, "its reason");
                check(
                    step,
                    move || Answer::new(status, &[], &body),
                    &format!("key broker KBS: {step} was refused: {name}: its reason"),
                )
                .await;
            }
        }
    }
}

#[tokio::test]
async fn names_mean_something_at_their_own_step_only() {
    for name in [
        "TokenNotFound",
        "TokenVerifierError",
        "PolicyDeny",
        "PluginInternalError",
    ] {
        for step in [Step::Auth, Step::Attest] {
            check(
                step,
                move || Answer::refusal(name, ""),
                &format!("key broker KBS: {step} was refused: {name}: "),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_refusal_is_read_whatever_its_content_type_and_without_its_words() {
    let body = refusal("PolicyDeny", "no");
    for content_type in [
        None,
        Some("application/json"),
        Some("text/html; charset=utf-8"),
    ] {
        let headers: Vec<_> = content_type
            .map(|kind| ("content-type", kind))
            .into_iter()
            .collect();
        let body = body.clone();
        check(
            Step::Resource,
            move || Answer::new(401, &headers, &body),
            "key broker KBS: its policy does not release default/key/app to this TEE (sample: not \
             hardware): no",
        )
        .await;
    }
    check(
        Step::Attest,
        || Answer::new(401, &[], r#"{"type":"about:blank","more":1}"#),
        "key broker KBS: attest was refused: about:blank: ",
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_is_asked_too_often_says_so_and_is_not_asked_again() {
    let busy = "key broker KBS: it refuses to be asked this often: try again later";
    for step in STEPS {
        for body in [
            String::new(),
            "slow down".to_owned(),
            refusal("PolicyDeny", ""),
        ] {
            check(
                step,
                move || Answer::new(429, &[("retry-after", "1")], &body),
                busy,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_cannot_answer_now_is_told_from_one_that_refuses() {
    for step in STEPS {
        for status in [500, 502, 503] {
            for body in [
                "<html><h1>Bad gateway</h1></html>".to_owned(),
                refusal("PolicyDeny", "Access denied by policy"),
                refusal("TokenNotFound", ""),
            ] {
                check(
                    step,
                    move || Answer::new(status, &[], &body),
                    &format!("key broker KBS: it cannot answer now: HTTP status {status}"),
                )
                .await;
            }
        }
    }
}

#[tokio::test]
async fn a_status_without_a_reason_is_told_with_what_it_usually_means() {
    let no_broker = ", so there is no key broker at this address";
    let too_large = ", so the request is too large for it";
    let long_token = ", perhaps because its own token is too long for it (verbose_token)";
    let html = "<html><h1>Bad gateway</h1></html>";
    for (step, status, body, said, hint) in [
        (Step::Auth, 404, "", "404 Not Found", no_broker),
        (Step::Resource, 404, "{}", "404 Not Found", no_broker),
        (
            Step::Attest,
            413,
            "payload reached size limit",
            "413 Payload Too Large",
            too_large,
        ),
        (
            Step::Resource,
            400,
            "message head is too large",
            "400 Bad Request",
            long_token,
        ),
        (Step::Auth, 400, "", "400 Bad Request", ""),
        (Step::Resource, 401, "", "401 Unauthorized", ""),
        (Step::Resource, 403, html, "403 Forbidden", ""),
        (Step::Attest, 405, "\u{1b}[2J", "405 Method Not Allowed", ""),
    ] {
        check(
            step,
            move || Answer::new(status, &[("content-type", "text/html")], body),
            &format!(
                "key broker KBS: its answer to {step} is not what the protocol says: HTTP status \
                 {said} without a reason{hint}"
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn a_refusal_with_a_good_status_is_no_secret() {
    for name in ["PolicyDeny", "TokenNotFound"] {
        check(
            Step::Resource,
            move || Answer::new(200, &[], refusal(name, "")),
            "key broker KBS: its answer to resource is not what the protocol says: it is no JWE for one key",
        )
        .await;
    }
}

#[tokio::test]
async fn a_brokers_words_move_no_cursor_and_fill_no_log() {
    let words = format!("\u{1b}]0;title\u{7}\r\n\u{202e}{}", "x".repeat(100_000));
    for step in STEPS {
        for body in [
            json!({"type": words, "detail": "d"}),
            json!({"type": "t", "detail": words}),
        ] {
            let (told, broker) =
                failure_at(step, move || Answer::new(401, &[], body.to_string())).await;
            assert!(told.len() < 1000, "{} bytes", told.len());
            assert!(
                told.chars().all(|c| c.is_ascii_graphic() || c == ' '),
                "{told:?}"
            );
            assert_eq!(broker.counts(), counts(step));
        }
    }
}

/// By the name of its kind, and whether it may be otherwise later.
#[tokio::test]
async fn what_a_caller_has_to_know_about_a_failure_is_in_its_type() {
    let refusal = Answer::refusal;
    for (step, answer, kind, may_pass) in [
        (
            Step::Resource,
            refusal("PolicyDeny", ""),
            "PolicyDeny",
            false,
        ),
        (
            Step::Resource,
            refusal("PluginInternalError", ""),
            "NotFound",
            false,
        ),
        (
            Step::Resource,
            refusal("AttestationError", ""),
            "Refused",
            false,
        ),
        (Step::Resource, Answer::json(&json!({})), "Malformed", false),
        (
            Step::Resource,
            Answer::new(404, &[], ""),
            "Malformed",
            false,
        ),
        (
            Step::Auth,
            refusal("AttestationError", "Version Mismatch"),
            "Version",
            false,
        ),
        (Step::Auth, refusal("PluginNotFound", ""), "Refused", false),
        // The session of the first two steps may have ended between them.
        (
            Step::Attest,
            refusal("AttestationError", ""),
            "Refused",
            true,
        ),
        (Step::Attest, Answer::raw(""), "Network", true),
        (Step::Auth, Answer::new(503, &[], ""), "Unavailable", true),
        (Step::Auth, Answer::new(429, &[], ""), "Busy", true),
    ] {
        let mut answer = Some(answer);
        let broker = Broker::start(move |asked, honest| match asked.step() == step {
            true => answer.take().unwrap(),
            false => honest.answer(asked),
        })
        .await;
        let error = secret(&kbs(&broker)).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(shown.starts_with(&format!("{kind} {{")), "{shown}");
        assert_eq!(error.may_pass(), may_pass, "{shown}");
    }
}
