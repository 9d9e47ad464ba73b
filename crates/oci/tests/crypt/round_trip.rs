//! What is encrypted comes back for its recipients, and for nobody else.

use std::collections::BTreeMap;
use std::io::Write as _;

use propeller_oci::Pieces;
use propeller_oci::crypt::{
    DecryptError, EncryptError, RECIPIENTS_MAX, decrypt, encrypt, recipients,
};

use crate::key_files::{PAIRS, private, public};

const JWE: &str = "org.opencontainers.image.enc.keys.jwe";
const PUBLIC_OPTIONS: &str = "org.opencontainers.image.enc.pubopts";

fn layer(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

fn decoded(annotations: &BTreeMap<String, String>, name: &str) -> serde_json::Value {
    let json = data_encoding::BASE64
        .decode(annotations[name].as_bytes())
        .unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[test]
fn every_kind_of_key_opens_what_is_encrypted_to_it() {
    for pair in PAIRS {
        for len in [0, 1, 15, 16, 17, 65_537] {
            let encrypted = encrypt(layer(len), &[public(pair)]).unwrap();
            assert_eq!(encrypted.bytes.len(), len);
            let opened = decrypt(encrypted.bytes, &encrypted.annotations, &[private(pair)]);
            let opened = opened.unwrap();
            assert_eq!(*opened.bytes, layer(len), "{pair} {len}");
            assert!(opened.digest.is_some() && opened.is_intact(&[]));
        }
    }
}

#[test]
fn a_layer_in_pieces_opens_as_one_in_one_piece_does() {
    for len in [1 << 20, (3 << 20) + 5] {
        let encrypted = encrypt(layer(len), &[public("p256")]).unwrap();
        let mut pieces = Pieces::with_capacity(len).unwrap();
        pieces.write_all(&encrypted.bytes).unwrap();
        assert!(pieces.slices().count() >= len >> 20);
        let opened = decrypt(pieces, &encrypted.annotations, &[private("p256")]).unwrap();
        assert!(
            *opened.bytes == layer(len) && opened.is_intact(&[]),
            "{len}"
        );
    }
}

#[test]
fn every_one_of_several_recipients_opens_the_layer_alone() {
    let encrypted = encrypt(layer(1000), &PAIRS.map(public)).unwrap();
    for pair in PAIRS {
        let opened = decrypt(
            encrypted.bytes.clone(),
            &encrypted.annotations,
            &[private("p256-other"), private(pair)],
        );
        assert_eq!(*opened.unwrap().bytes, layer(1000), "{pair}");
    }
}

#[test]
fn a_stranger_opens_nothing_and_learns_for_whom_it_is() {
    let encrypted = encrypt(layer(9), &[public("rsa2048"), public("p384")]).unwrap();
    let strangers = [private("rsa2048-other"), private("p256"), private("p521")];
    let error = decrypt(encrypted.bytes, &encrypted.annotations, &strangers).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no key given opens this layer: it is encrypted for 2 recipients \
         (jwe RSA-OAEP, jwe ECDH-ES+A256KW P-384)"
    );
}

#[test]
fn without_a_key_nothing_opens() {
    let encrypted = encrypt(layer(9), &[public("p256")]).unwrap();
    let error = decrypt(encrypted.bytes, &encrypted.annotations, &[]).unwrap_err();
    assert!(matches!(error, DecryptError::NoKey(_)));
}

#[test]
fn two_encryptions_of_one_layer_share_nothing() {
    let one = encrypt(layer(64), &[public("p256")]).unwrap();
    let other = encrypt(layer(64), &[public("p256")]).unwrap();
    assert_ne!(one.bytes, other.bytes);
    assert_ne!(one.annotations, other.annotations);
    let error = decrypt(one.bytes, &other.annotations, &[private("p256")]).unwrap_err();
    assert_eq!(error, DecryptError::Mac);
}

#[test]
fn one_recipient_is_written_flat_and_several_with_the_first_key_twice() {
    let one = encrypt(layer(9), &[public("rsa2048")]).unwrap();
    let jwe = decoded(&one.annotations, JWE);
    assert!(jwe["encrypted_key"].is_string() && jwe["recipients"].is_null());
    // {"alg":"RSA-OAEP","enc":"A256GCM"}
    assert_eq!(
        jwe["protected"],
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ"
    );

    let two = encrypt(layer(9), &[public("p256"), public("rsa2048")]).unwrap();
    let jwe = decoded(&two.annotations, JWE);
    assert_eq!(jwe["recipients"].as_array().unwrap().len(), 2);
    assert_eq!(jwe["encrypted_key"], jwe["recipients"][0]["encrypted_key"]);
    // {"enc":"A256GCM"}
    assert_eq!(jwe["protected"], "eyJlbmMiOiJBMjU2R0NNIn0");
}

#[test]
fn the_public_options_are_those_of_skopeo() {
    let encrypted = encrypt(layer(9), &[public("p256")]).unwrap();
    let options = decoded(&encrypted.annotations, PUBLIC_OPTIONS);
    assert_eq!(options["cipher"], "AES_256_CTR_HMAC_SHA256");
    assert_eq!(options["cipheroptions"], serde_json::json!({}));
    assert_eq!(options.as_object().unwrap().len(), 3);
}

#[test]
fn a_layer_needs_a_recipient_and_has_no_more_than_a_reader_tries() {
    let error = encrypt(layer(9), &[]).unwrap_err();
    assert_eq!(error, EncryptError::NoRecipient);
    let many: Vec<_> = (0..=RECIPIENTS_MAX).map(|_| public("p256")).collect();
    let error = encrypt(layer(9), &many).unwrap_err();
    assert_eq!(error, EncryptError::TooMany(RECIPIENTS_MAX + 1));
    let most = encrypt(layer(9), &many[1..]).unwrap();
    decrypt(most.bytes, &most.annotations, &[private("p256")]).unwrap();
}

#[test]
fn an_oversized_annotation_is_not_read() {
    for name in [JWE, PUBLIC_OPTIONS] {
        let mut encrypted = encrypt(layer(9), &[public("p256")]).unwrap();
        let long = "A".repeat(128 * 1024 + 1);
        encrypted.annotations.insert(name.to_owned(), long);
        let error = decrypt(encrypted.bytes, &encrypted.annotations, &[private("p256")]);
        assert!(matches!(
            error.unwrap_err(),
            DecryptError::TooMuch { what: "bytes", .. }
        ));
    }
}

#[test]
fn recipients_are_told_without_a_key() {
    let encrypted = encrypt(layer(9), &[public("p521"), public("rsa2048")]).unwrap();
    let mut annotations = encrypted.annotations;
    let kid = r#"{"kid":"kbs:///default/key/\u001b[31mkek1"}"#;
    annotations.insert(
        "org.opencontainers.image.enc.keys.provider.attestation-agent".to_owned(),
        data_encoding::BASE64.encode(kid.as_bytes()),
    );
    annotations.insert(
        "org.opencontainers.image.enc.keys.pkcs7".to_owned(),
        "AAAA,AAAA".to_owned(),
    );
    let expected = [
        "jwe ECDH-ES+A256KW P-521",
        "jwe RSA-OAEP",
        "pkcs7",
        "pkcs7",
        "provider.attestation-agent kbs:///default/key/[31mkek1 (not supported)",
    ];
    assert_eq!(recipients(&annotations), expected);
}

#[test]
fn recipients_of_nothing_are_none_and_of_too_much_are_a_line() {
    assert!(recipients(&BTreeMap::new()).is_empty());
    let many = BTreeMap::from([(JWE.to_owned(), "AAAA,".repeat(65))]);
    let expected = "the annotations of the encrypted layer have more than 64 recipients";
    assert_eq!(recipients(&many), [expected]);
}
