//! What the RFCs print, and what tests change in it.

use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use propeller_jose::{Message, PrivateKey};
use serde_json::Value;

/// RFC 7516, appendix A.1, and RFC 7520, sections 5.2 and 5.4.
pub(crate) const MESSAGES: [&str; 3] = ["rfc7516-a1", "rfc7520-5.2", "rfc7520-5.4"];

pub(crate) fn vector(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let json = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// RFC 7517, appendix A.2: on P-256.
pub(crate) fn ec() -> Value {
    vector("rfc7517-a2")["keys"][0].clone()
}

/// RFC 7517, appendix A.2: RSA of 2048 bits, for signatures.
pub(crate) fn rsa() -> Value {
    vector("rfc7517-a2")["keys"][1].clone()
}

/// Every private key of the RFCs.
pub(crate) fn private_keys() -> Vec<Value> {
    let messages = MESSAGES.map(|name| vector(name)["key"].clone());
    let keys = ["rfc7517-a2", "rfc7518-c", "rfc7520-3.2"].map(|name| vector(name)["keys"].clone());
    let keys = keys.iter().flat_map(|keys| keys.as_array().unwrap());
    messages.into_iter().chain(keys.cloned()).collect()
}

pub(crate) fn private(jwk: &Value) -> PrivateKey {
    PrivateKey::from_bytes(jwk.to_string().as_bytes()).unwrap()
}

/// The public half of a key, as a file has it.
pub(crate) fn public_half(jwk: &Value) -> Value {
    let mut public = jwk.clone();
    for secret in ["d", "p", "q", "dp", "dq", "qi"] {
        public.as_object_mut().unwrap().remove(secret);
    }
    public
}

pub(crate) fn opened(message: &Value, key: &PrivateKey) -> Option<Vec<u8>> {
    let message = Message::read(message.to_string().as_bytes())?;
    let plain = message.open(std::slice::from_ref(key));
    plain.map(|plain| plain.to_vec())
}

pub(crate) fn with(jwk: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut changed = jwk.clone();
    changed[member] = value.into();
    changed
}

pub(crate) fn without(jwk: &Value, member: &str) -> Value {
    let mut changed = jwk.clone();
    changed.as_object_mut().unwrap().remove(member).unwrap();
    changed
}

pub(crate) fn decoded(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().as_bytes();
    BASE64URL_NOPAD.decode(text).unwrap()
}
