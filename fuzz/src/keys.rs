//! Keys and what is encrypted to them: JWK, JWE, and secrets that a key broker releases.

use std::sync::LazyLock;

use propeller_attest::rcar::{key_bytes, private_key};
use propeller_jose::{Jwk, Message, PrivateKey, PublicKey, seal};
use serde_json::Value;

use crate::images::plain;

/// Of the vectors: nobody's.
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    let pem = include_bytes!("../../testdata/vectors/ocicrypt/keys/p256.pem");
    PrivateKey::from_bytes(pem).expect("it is one")
});

static PUBLIC: LazyLock<PublicKey> = LazyLock::new(|| {
    let pem = include_bytes!("../../testdata/vectors/ocicrypt/keys/p256.pub.pem");
    PublicKey::from_bytes(pem).expect("it is one")
});

/// A message is read and opened, and what is sealed opens whole or not at all.
pub(crate) fn jwe(data: &[u8]) {
    if let Some(message) = Message::read(data) {
        assert_ne!(message.recipients(), 0);
        assert_eq!(message.describe().count(), message.recipients());
        // Of the messages that are mutated here, each has JSON in it.
        if let Some(plain) = opened(data, &KEY) {
            assert!(serde_json::from_slice::<Value>(&plain).is_ok(), "forged");
        }
    }
    let sealed = seal(data, std::slice::from_ref(&*PUBLIC)).expect("there is randomness");
    assert_eq!(opened(&sealed, &KEY).as_deref(), Some(data));
    let forged = forged(&sealed, data);
    assert_eq!(opened(&forged, &KEY), None, "a changed message opens");
}

fn opened(message: &[u8], key: &PrivateKey) -> Option<Vec<u8>> {
    let opened = Message::read(message)?.open(std::slice::from_ref(key));
    opened.map(|plain| plain.to_vec())
}

/// The message with one character of one member changed, which `data` chooses.
fn forged(sealed: &[u8], data: &[u8]) -> Vec<u8> {
    const MEMBERS: [&str; 5] = ["protected", "encrypted_key", "iv", "ciphertext", "tag"];
    let sum = data.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let mut message: Value = serde_json::from_slice(sealed).expect("it is JSON");
    let mut members = MEMBERS.into_iter().cycle().skip(sum % MEMBERS.len());
    let has_text = |name: &&str| message[*name].as_str().is_some_and(|text| !text.is_empty());
    let member = members.find(has_text).expect("not all are empty");
    let mut text = message[member].as_str().expect("it is a text").to_owned();
    let at = sum / MEMBERS.len() % text.len();
    let other = if text[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    text.replace_range(at..=at, other);
    message[member] = text.into();
    message.to_string().into_bytes()
}

/// A key of any form is one that works, or is refused in few plain words.
pub(crate) fn jwk(data: &[u8]) {
    match PublicKey::from_bytes(data) {
        Ok(key) => works(&key),
        Err(error) => plain(&error),
    }
    match PrivateKey::from_bytes(data) {
        Ok(key) => {
            let public = Jwk::of(&key).expect("it has a public half");
            let public = public.to_key().expect("it is a key");
            let sealed = seal(data, &[public]).expect("there is randomness");
            assert_eq!(opened(&sealed, &key).as_deref(), Some(data));
        }
        Err(error) => plain(&error),
    }
    match serde_json::from_slice::<Jwk>(data).map(|jwk| jwk.to_key()) {
        Ok(Ok(key)) => works(&key),
        Ok(Err(error)) => plain(&error),
        Err(_) => {}
    }
}

/// Of RSA, the library looks at the exponent when it is used and not before.
fn works(key: &PublicKey) {
    if let Ok(sealed) = seal(b"x", std::slice::from_ref(key)) {
        let read = Message::read(&sealed).map(|message| message.recipients());
        assert_eq!(read, Some(1));
    }
}

/// A secret is a key in some form, and the same key in another form; or it is refused.
pub(crate) fn key_material(data: &[u8]) {
    if let Err(error) = private_key(data) {
        plain(&error);
    }
    match key_bytes(data) {
        Ok(key) => {
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            for form in [digits.to_ascii_uppercase(), digits] {
                assert_eq!(key_bytes(form.as_bytes()), Ok(key.clone()));
            }
        }
        Err(error) => plain(&error),
    }
}
