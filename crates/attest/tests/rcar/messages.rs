//! Released resources: for this key, whole, and from this attestation, or not at all.

use data_encoding::BASE64URL_NOPAD;
use propeller_attest::rcar::Step;
use propeller_jose::{Curve, Jwk, PrivateKey};
use serde_json::{Value, json};

use super::broker::{Answer, Broker};
use super::hand;
use super::honest::{SECRET, kbs, sealed, secret, told};

const UNOPENABLE: &str = "key broker KBS: what it sent as default/key/app does not open with the \
                          key that was attested";
const NO_MESSAGE: &str = "key broker KBS: its answer to resource is not what the protocol says: it is no JWE for one key";
const MEMBERS: [&str; 5] = ["protected", "encrypted_key", "iv", "ciphertext", "tag"];

/// A broker that sends this for the key that was attested.
async fn sending(message: impl Fn(&Jwk) -> Value + Send + 'static) -> Broker {
    Broker::start(move |asked, honest| match asked.step() {
        Step::Resource => Answer::json(&message(&honest.keys[0])),
        _ => honest.answer(asked),
    })
    .await
}

/// What comes of a message: its secret, or what is told. There is no second try.
async fn outcome(message: impl Fn(&Jwk) -> Value + Send + 'static) -> Result<Vec<u8>, String> {
    let broker = sending(message).await;
    let outcome = secret(&kbs(&broker)).await;
    assert_eq!(broker.counts(), [1, 1, 1]);
    outcome.map_err(|error| told(&broker, &error))
}

/// A message by hand with this header around the message's own key.
async fn with_header(header: fn(&Value) -> String) -> Result<Vec<u8>, String> {
    outcome(move |key| hand::sealed(SECRET, key, header)).await
}

/// A header that no library writes, and every one reads.
fn spaced(epk: &Value) -> String {
    format!("{{ \"enc\" : \"A256GCM\",\n\t\"epk\": {epk:#}, \"alg\":\"ECDH-ES+A256KW\" }} ")
}

fn decoded(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().as_bytes();
    BASE64URL_NOPAD.decode(text).unwrap()
}

fn unopenable() -> Result<Vec<u8>, String> {
    Err(UNOPENABLE.to_owned())
}

fn no_message() -> Result<Vec<u8>, String> {
    Err(NO_MESSAGE.to_owned())
}

#[tokio::test]
async fn a_message_made_by_hand_opens_as_one_of_the_librarys_does() {
    assert_eq!(with_header(hand::header).await.unwrap(), SECRET);
    let library = outcome(|key| sealed(SECRET, key)).await;
    assert_eq!(library.unwrap(), SECRET);
}

#[tokio::test]
async fn a_secret_has_any_length_that_fits() {
    for len in [0, 1, 16, 1_500_000] {
        let long = vec![7; len];
        let expected = long.clone();
        let found = outcome(move |key| sealed(&long, key)).await.unwrap();
        assert!(found == expected, "{} of {len} bytes", found.len());
    }
}

#[tokio::test]
async fn the_header_is_authenticated_as_it_was_written_and_not_as_we_would_write_it() {
    let headers: [fn(&Value) -> String; 4] = [
        spaced,
        |epk| format!(r#"{{"alg":"\u0045CDH-ES+A256KW","enc":"A256GCM","epk":{epk}}}"#),
        |epk| {
            let more = r#""typ":"JOSE","kid":"ä","apu":"","apv":"""#;
            format!(r#"{{{more},"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{epk}}}"#)
        },
        |epk| {
            let mut epk = epk.clone();
            epk["kid"] = json!("of the message");
            hand::header(&epk)
        },
    ];
    for header in headers {
        assert_eq!(with_header(header).await.unwrap(), SECRET);
    }
    // The same header with other spaces in it authenticates nothing.
    let reworded = outcome(|key| {
        let mut message = hand::sealed(SECRET, key, spaced);
        let header: Value = serde_json::from_slice(&decoded(&message["protected"])).unwrap();
        message["protected"] = json!(BASE64URL_NOPAD.encode(header.to_string().as_bytes()));
        message
    });
    assert_eq!(reworded.await, unopenable());
}

#[tokio::test]
async fn a_message_with_one_bit_changed_does_not_open_and_nobody_is_told_why() {
    for member in MEMBERS.into_iter().skip(1) {
        for place in 0..3 {
            let changed = outcome(move |key| {
                let mut message = sealed(SECRET, key);
                let mut bytes = decoded(&message[member]);
                let at = place * (bytes.len() - 1) / 2;
                bytes[at] ^= 1;
                message[member] = json!(BASE64URL_NOPAD.encode(&bytes));
                message
            });
            assert_eq!(changed.await, unopenable(), "{member} {place}");
        }
    }
}

#[tokio::test]
async fn a_header_that_is_changed_and_still_reads_does_not_open() {
    let changes: [fn(&mut Value); 6] = [
        |header| header["typ"] = json!("JOSE"),
        |header| header["apu"] = json!("QWxpY2U"),
        |header| header["enc"] = json!("A128GCM"),
        |header| header["alg"] = json!("ECDH-ES+A128KW"),
        |header| {
            let other = PrivateKey::generate(Curve::P256).unwrap();
            let other = serde_json::to_value(Jwk::of(&other).unwrap()).unwrap();
            header["epk"] = other;
        },
        |header| header["epk"]["y"] = header["epk"]["x"].clone(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let changed = outcome(move |key| {
            let mut message = sealed(SECRET, key);
            let mut header = serde_json::from_slice(&decoded(&message["protected"])).unwrap();
            change(&mut header);
            message["protected"] = json!(BASE64URL_NOPAD.encode(header.to_string().as_bytes()));
            message
        });
        assert_eq!(changed.await, unopenable(), "{number}");
    }
}

/// All of these are authentic: what is refused is what they ask for.
#[tokio::test]
async fn what_a_header_asks_for_that_cannot_be_done_is_not_done() {
    let headers: [fn(&Value) -> String; 9] = [
        |epk| format!(r#"{{"alg":"ECDH-ES+A256KW","enc":"A256GCM","zip":"DEF","epk":{epk}}}"#),
        |epk| {
            format!(
                r#"{{"alg":"ECDH-ES+A256KW","enc":"A256GCM","crit":["exp"],"exp":0,"epk":{epk}}}"#
            )
        },
        |epk| format!(r#"{{"alg":"ECDH-ES+A256KW","enc":"A256GCM","crit":[],"epk":{epk}}}"#),
        |epk| format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","epk":{epk}}}"#),
        |epk| format!(r#"{{"alg":"dir","enc":"A256GCM","epk":{epk}}}"#),
        |epk| format!(r#"{{"alg":"RSA-OAEP-256","enc":"A256GCM","epk":{epk}}}"#),
        |epk| format!(r#"{{"alg":"ECDH-ES+A256KW","enc":"A256CBC-HS512","epk":{epk}}}"#),
        |epk| format!(r#"{{"enc":"A256GCM","epk":{epk}}}"#),
        |_| r#"{"alg":"ECDH-ES+A256KW","enc":"A256GCM"}"#.to_owned(),
    ];
    for header in headers {
        let shown = header(&json!({}));
        assert_eq!(with_header(header).await, unopenable(), "{shown}");
    }
}

#[tokio::test]
async fn a_message_for_somebody_elses_key_does_not_open() {
    let other = Jwk::of(&PrivateKey::generate(Curve::P256).unwrap()).unwrap();
    let hand_made = other.clone();
    let of_library = outcome(move |_| sealed(SECRET, &other));
    assert_eq!(of_library.await, unopenable());
    let by_hand = outcome(move |_| hand::sealed(SECRET, &hand_made, hand::header));
    assert_eq!(by_hand.await, unopenable());
    // Whoever is told so by somebody on the way asks the broker again, within the same session.
    let mut swapped = false;
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Resource if !std::mem::replace(&mut swapped, true) => {
            let other = PrivateKey::generate(Curve::P256).unwrap();
            Answer::json(&sealed(b"another secret", &Jwk::of(&other).unwrap()))
        }
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    let error = secret(&kbs).await.unwrap_err();
    assert_eq!(told(&broker, &error), UNOPENABLE);
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    assert_eq!(broker.counts(), [1, 1, 2]);
}

#[tokio::test]
async fn an_answer_of_an_earlier_session_does_not_open_in_the_next_one() {
    let mut recorded = None;
    let broker = Broker::start(move |asked, honest| match honest.session(asked) {
        Some(0) if recorded.is_none() => {
            let message = honest.sealed(0);
            recorded = Some(message.clone());
            Answer::json(&message)
        }
        Some(0) => Answer::refusal("TokenNotFound", ""),
        // The key was rotated since, and somebody wants the old one to be used.
        Some(_) => Answer::json(recorded.as_ref().unwrap()),
        None => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
    let error = secret(&kbs).await.unwrap_err();
    assert_eq!(told(&broker, &error), UNOPENABLE);
    assert_eq!(broker.counts(), [2, 2, 3]);
}

/// Each further recipient would cost as much as the only one.
#[tokio::test]
async fn a_message_is_for_one_key_and_for_no_other_besides() {
    let general = outcome(|key| {
        let mut message = sealed(SECRET, key);
        message["recipients"] = json!([{"encrypted_key": message["encrypted_key"]}]);
        message
    });
    assert_eq!(general.await.unwrap(), SECRET);
    let several = outcome(|key| {
        let other = Jwk::of(&PrivateKey::generate(Curve::P256).unwrap()).unwrap();
        let both = [key, &other].map(|key| key.to_key().unwrap());
        serde_json::from_slice(&propeller_jose::seal(SECRET, &both).unwrap()).unwrap()
    });
    assert_eq!(several.await, no_message());
}

#[tokio::test]
async fn a_message_without_one_of_its_members_is_none_or_does_not_open() {
    for member in MEMBERS {
        let without = outcome(move |key| {
            let mut message = sealed(SECRET, key);
            message.as_object_mut().unwrap().remove(member).unwrap();
            message
        });
        let expected = match member {
            // Other forms of a message do without them.
            "protected" | "encrypted_key" => unopenable(),
            _ => no_message(),
        };
        assert_eq!(without.await, expected, "{member}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_told_from_one_that_does_not_open() {
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!("a.b.c.d.e"),
        json!(7),
    ] {
        let shown = body.to_string();
        assert_eq!(
            outcome(move |_| body.clone()).await,
            no_message(),
            "{shown}"
        );
    }
    // In the compact form, with padding, in the other alphabet, and with a short nonce or tag.
    let changes: [fn(Value) -> Value; 6] = [
        |message| {
            json!(
                MEMBERS
                    .map(|member| message[member].as_str().unwrap())
                    .join(".")
            )
        },
        |message| changed(message, "tag", |text| format!("{text}==")),
        |message| changed(message, "encrypted_key", |_| "a+b/".to_owned()),
        |message| changed(message, "iv", |text| text[..11].to_owned()),
        |message| changed(message, "tag", |_| "AAAA".to_owned()),
        |message| changed(message, "protected", |_| "e30x".to_owned()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let changed = outcome(move |key| change(sealed(SECRET, key)));
        assert_eq!(changed.await, no_message(), "{number}");
    }
}

fn changed(mut message: Value, member: &str, change: fn(&str) -> String) -> Value {
    message[member] = json!(change(message[member].as_str().unwrap()));
    message
}
