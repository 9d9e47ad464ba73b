//! Messages open with their recipients' keys, whole, and not otherwise.

use data_encoding::BASE64URL_NOPAD;
use propeller_jose::{Curve, Message, PrivateKey, PublicKey, seal};
use serde_json::{Value, json};

use super::rfcs::{
    MESSAGES, decoded, ec, opened, private, private_keys, public_half, rsa, vector, with, without,
};

#[test]
fn messages_of_the_rfcs_open_with_their_keys_and_with_no_other() {
    for name in MESSAGES {
        let vector = vector(name);
        let plain = vector["plaintext"].as_str().unwrap();
        // The general form, of which the flattened one is short for one recipient.
        let mut general = without(&vector["message"], "encrypted_key");
        let recipient = json!({"encrypted_key": vector["message"]["encrypted_key"]});
        general["recipients"] = json!([recipient]);
        for jwk in private_keys() {
            let expected = (jwk == vector["key"]).then(|| plain.as_bytes().to_vec());
            let key = private(&jwk);
            for message in [&vector["message"], &general] {
                assert_eq!(opened(message, &key), expected, "{name}, {key:?}");
            }
        }
    }
}

#[test]
fn a_message_opens_whole_or_not_at_all() {
    for name in MESSAGES {
        let vector = vector(name);
        let key = private(&vector["key"]);
        for member in ["protected", "encrypted_key", "iv", "ciphertext", "tag"] {
            let bytes = decoded(&vector["message"][member]);
            let places = [0, bytes.len() / 2, bytes.len() - 1];
            let flipped = places.map(|at| {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                flipped
            });
            let cut = bytes[..bytes.len() - 1].to_vec();
            for changed in flipped.into_iter().chain([cut, Vec::new()]) {
                let changed = BASE64URL_NOPAD.encode(&changed);
                let message = with(&vector["message"], member, changed);
                assert_eq!(opened(&message, &key), None, "{name}: {member}");
            }
        }
    }
}

#[test]
fn what_is_no_message_in_a_json_form_is_not_read() {
    let message = vector("rfc7516-a1")["message"].clone();
    let compact = ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
        .map(|member| message[member].as_str().unwrap())
        .join(".");
    for none in [
        json!(compact),
        json!([message]),
        json!({}),
        without(&message, "iv"),
        without(&message, "ciphertext"),
        without(&message, "tag"),
        with(&message, "recipients", json!([])),
        // A parameter in two headers at once (RFC 7516, section 7.2.1).
        with(&message, "unprotected", json!({"alg": "RSA-OAEP"})),
        with(&message, "header", json!({"enc": "A256GCM"})),
        with(&message, "tag", "a+b/"),
        with(&message, "tag", "AAAAAAAAAAAAAAAAAAAAAA=="),
        with(&message, "protected", "e30x"),
    ] {
        let text = none.to_string();
        assert!(Message::read(text.as_bytes()).is_none(), "{text}");
    }
    for none in [&b""[..], b"{", compact.as_bytes(), b"\xff"] {
        assert!(Message::read(none).is_none(), "{}", none.escape_ascii());
    }
}

#[test]
fn what_is_sealed_to_a_public_key_opens_with_the_private_one() {
    for jwk in private_keys() {
        let half = public_half(&jwk);
        let (line, public) = match jwk["crv"].as_str() {
            Some(curve) => (format!("ECDH-ES+A256KW {curve}"), half),
            None => ("RSA-OAEP-256".into(), with(&half, "alg", "RSA-OAEP-256")),
        };
        let public = PublicKey::from_bytes(public.to_string().as_bytes()).unwrap();
        let message = seal(b"a secret", &[public]).unwrap();
        assert!(Message::read(&message).unwrap().describe().eq([line]));
        let message = serde_json::from_slice(&message).unwrap();
        assert_eq!(opened(&message, &private(&jwk)).unwrap(), b"a secret");
    }
}

#[test]
fn an_rsa_key_that_names_no_algorithm_is_for_the_one_that_ocicrypt_writes() {
    let unnamed = without(&public_half(&rsa()), "alg");
    let public = PublicKey::from_bytes(unnamed.to_string().as_bytes()).unwrap();
    let message = Message::read(&seal(b"x", &[public]).unwrap()).unwrap();
    assert!(message.describe().eq(["RSA-OAEP"]));
}

#[test]
fn each_of_several_recipients_opens_and_nobody_else_does() {
    let third = vector("rfc7520-5.4")["key"].clone();
    let keys = [ec(), without(&rsa(), "alg"), third];
    let public = keys.each_ref().map(|jwk| {
        let half = public_half(jwk).to_string();
        PublicKey::from_bytes(half.as_bytes()).unwrap()
    });
    let message = seal(b"a secret", &public).unwrap();
    assert_eq!(Message::read(&message).unwrap().recipients(), 3);
    let message: Value = serde_json::from_slice(&message).unwrap();
    // go-jose's way: the first one's key once more, which strict writers leave out.
    let first = &message["recipients"][0]["encrypted_key"];
    assert_eq!(&message["encrypted_key"], first);
    let strict = without(&message, "encrypted_key");
    for jwk in &keys {
        assert_eq!(opened(&message, &private(jwk)).unwrap(), b"a secret");
        assert_eq!(opened(&strict, &private(jwk)).unwrap(), b"a secret");
    }
    let stranger = PrivateKey::generate(Curve::P256).unwrap();
    assert_eq!(opened(&message, &stranger), None);
}
