//! Challenges: nonces, hashes and cookies, in every form that brokers give them.

use aws_lc_rs::digest::SHA384;
use propeller_attest::rcar::Step;
use serde_json::{Value, json};

use super::broker::{Answer, Broker};
use super::honest::{SECRET, challenge, cookie, failure_at, kbs, nonce, secret};
use super::sent::check_report_data;

/// A broker with one challenge for everybody.
async fn challenging(body: Value, cookies: Vec<String>) -> Broker {
    Broker::start(move |asked, honest| match asked.step() {
        Step::Auth => {
            let cookies: Vec<_> = cookies.iter().map(String::as_str).collect();
            challenge(&body, &cookies)
        }
        _ => honest.answer(asked),
    })
    .await
}

async fn accepted(body: Value) -> Broker {
    let broker = challenging(body.clone(), vec![cookie(0)]).await;
    assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET, "{body}");
    broker
}

#[tokio::test]
async fn a_challenge_has_many_ways_to_choose_no_hash() {
    let mut bodies = vec![json!({"nonce": nonce(0)})];
    for extra in [
        json!(""),
        json!({}),
        json!(null),
        json!([]),
        json!({"another": "sha512"}),
    ] {
        bodies.push(json!({"nonce": nonce(0), "extra-params": extra}));
    }
    for body in bodies {
        let broker = accepted(body).await;
        check_report_data(&broker.asked_once(Step::Attest), &nonce(0), &SHA384);
    }
}

#[tokio::test]
async fn a_hash_that_is_not_had_is_refused_before_there_is_evidence() {
    for (chosen, shown) in [
        (json!("sm3"), "sm3"),
        (json!("SHA384"), "SHA384"),
        (json!(""), ""),
        (json!(384), "384"),
        (json!("\u{1b}[2Jsha\u{e9}"), " [2Jsha "),
    ] {
        let extra = json!({"selected-hash-algorithm": chosen});
        let body = json!({"nonce": nonce(0), "extra-params": extra});
        let (told, broker) = failure_at(Step::Auth, move || challenge(&body, &[&cookie(0)])).await;
        assert_eq!(
            told,
            format!(
                "key broker KBS: its answer to auth is not what the protocol says: it chooses the \
                 hash {shown}, which is not had here"
            )
        );
        assert_eq!(broker.counts(), [1, 0, 0]);
    }
}

#[tokio::test]
async fn a_nonce_is_echoed_byte_for_byte() {
    let long = "n".repeat(4096);
    for nonce in [
        "eqSZvrhG29vLRzbSSCF+BrQdu50LNgNNxG3wtImHHbM=",
        "fD/SWuvoiDJvOwfK9k+fRAZWDm7i6PEWLbuKNQlHpP8=",
        "not/base64=at==all",
        " with spaces ",
        "\"quoted\" and \\ escaped \\u0041",
        "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}",
        "\u{e9}\u{2028}\u{2029}\u{fffd}\u{10ffff}",
        // Neither normalised nor put in order.
        "e\u{301}\u{e9}",
        "{\"nonce\":\"x\"}",
        &long,
    ] {
        let broker = accepted(json!({"nonce": nonce, "extra-params": ""})).await;
        check_report_data(&broker.asked_once(Step::Attest), nonce, &SHA384);
    }
}

#[tokio::test]
async fn a_nonce_that_is_none_is_refused() {
    let why = |why: &str| {
        format!("key broker KBS: its answer to auth is not what the protocol says: {why}")
    };
    for (body, expected) in [
        (json!({"nonce": "n".repeat(4097)}), "its nonce is too long"),
        (json!({"extra-params": ""}), "no such JSON (Data)"),
        (json!({"nonce": 7}), "no such JSON (Data)"),
        (json!({"nonce": null}), "no such JSON (Data)"),
        (json!({"nonce": [1, 2]}), "no such JSON (Data)"),
        (json!("eqSZ"), "no such JSON (Data)"),
    ] {
        let (told, broker) = failure_at(Step::Auth, move || challenge(&body, &[&cookie(0)])).await;
        assert_eq!(told, why(expected));
        assert_eq!(broker.counts(), [1, 0, 0]);
    }
    // Half of a pair is no character, and two nonces are one too many.
    for (body, expected) in [
        (r#"{"nonce":"\ud800"}"#, "no such JSON (Syntax)"),
        (r#"{"nonce":"a","nonce":"b"}"#, "no such JSON (Data)"),
    ] {
        let answer = move || Answer::new(200, &[("set-cookie", &cookie(0))], body);
        assert_eq!(failure_at(Step::Auth, answer).await.0, why(expected));
    }
}

#[tokio::test]
async fn of_all_cookies_the_sessions_is_sent_back_and_none_of_its_attributes() {
    let whole = format!(
        "{}; Path=/kbs; HttpOnly; Secure; Expires=Mon, 30 Nov 2026 12:00:00 GMT",
        cookie(7)
    );
    for cookies in [
        vec![cookie(7)],
        vec![whole.clone()],
        vec![format!("  {} ;Path=/", cookie(7))],
        vec![
            "route=a; Path=/".to_owned(),
            whole.clone(),
            "z=kbs-session-id".to_owned(),
        ],
        vec![
            "kbs-session-id-other=1".to_owned(),
            "x-kbs-session-id=2".to_owned(),
            "KBS-SESSION-ID=3".to_owned(),
            "other=1; kbs-session-id=4".to_owned(),
            whole,
        ],
    ] {
        let broker = challenging(json!({"nonce": nonce(0)}), cookies.clone()).await;
        assert_eq!(secret(&kbs(&broker)).await.unwrap(), SECRET, "{cookies:?}");
        let attest = broker.asked_once(Step::Attest);
        assert_eq!(
            attest.header("cookie"),
            Some(cookie(7).as_str()),
            "{cookies:?}"
        );
    }
}

#[tokio::test]
async fn without_its_cookie_a_challenge_is_of_no_use() {
    for cookies in [
        vec![],
        vec!["route=a".to_owned()],
        vec!["kbs-session-id".to_owned()],
        vec!["kbs-session-id; x=1".to_owned()],
        vec![format!("kbs-session-id={}", "0".repeat(257))],
    ] {
        let broker = challenging(json!({"nonce": nonce(0)}), cookies.clone()).await;
        let error = secret(&kbs(&broker)).await.unwrap_err().to_string();
        let why =
            "its answer to auth is not what the protocol says: it has no cookie kbs-session-id";
        assert!(error.ends_with(why), "{cookies:?}: {error}");
        assert_eq!(broker.counts(), [1, 0, 0]);
    }
}
