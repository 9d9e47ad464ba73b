//! Keys are read in every form that OpenSSL writes, and what is no key is told by name.

use propeller_oci::crypt::{KeyError, PrivateKey, PublicKey, decrypt, encrypt};

use crate::key_files::{file, public};

fn opens(private: &[u8], pair: &str) {
    let encrypted = encrypt(b"a layer".to_vec(), &[public(pair)]).unwrap();
    let key = PrivateKey::from_bytes(private).unwrap();
    let opened = decrypt(encrypted.bytes, &encrypted.annotations, &[key]).unwrap();
    assert_eq!(*opened.bytes, b"a layer");
}

fn der(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    data_encoding::BASE64.decode(base64.as_bytes()).unwrap()
}

#[track_caller]
fn refused_as_public(bytes: &[u8], expected: KeyError) {
    assert_eq!(PublicKey::from_bytes(bytes).unwrap_err(), expected);
}

#[track_caller]
fn refused_as_private(bytes: &[u8], expected: KeyError) {
    assert_eq!(PrivateKey::from_bytes(bytes).unwrap_err(), expected);
}

#[test]
fn a_private_key_is_read_as_pkcs1_pkcs8_and_sec1_in_pem_and_in_der() {
    opens(&file("rsa2048.pem"), "rsa2048");
    opens(&file("rsa2048.pkcs1.pem"), "rsa2048");
    opens(&der(&file("rsa2048.pem")), "rsa2048");
    opens(&der(&file("rsa2048.pkcs1.pem")), "rsa2048");
    opens(&file("p256.pkcs8.der"), "p256");
    opens(&file("p384.sec1.pem"), "p384");
}

#[test]
fn a_public_key_is_read_in_pem_and_in_der() {
    for pair in crate::key_files::PAIRS {
        let pem = file(&format!("{pair}.pub.pem"));
        let shown = format!("{:?}", PublicKey::from_bytes(&pem).unwrap());
        let key = PublicKey::from_bytes(&der(&pem)).unwrap();
        assert_eq!(format!("{key:?}"), shown);
    }
}

#[test]
fn a_key_of_the_other_half_is_told_by_name() {
    refused_as_public(&file("p256.pem"), KeyError::Private);
    refused_as_public(&file("rsa2048.pkcs1.pem"), KeyError::Private);
    refused_as_public(&file("p256.pkcs8.der"), KeyError::Private);
    refused_as_private(&file("p256.pub.pem"), KeyError::Public);
}

#[test]
fn what_is_no_usable_key_is_told_by_name() {
    refused_as_private(&file("p256.passphrase.pem"), KeyError::Passphrase);
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    refused_as_private(old, KeyError::Passphrase);
    refused_as_public(
        b" {\"kty\":\"EC\"}",
        KeyError::Jwk("`crv` has to be P-256, P-384 or P-521"),
    );
    refused_as_private(b"{\"kty\":\"EC\"}", KeyError::Public);
    let certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    refused_as_public(certificate, KeyError::Certificate);
    refused_as_private(certificate, KeyError::Certificate);
    refused_as_public(b"-----BEGIN PUBLIC KEY-----\nAAAA\n", KeyError::Pem);
    refused_as_public(
        b"-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----",
        KeyError::Pem,
    );
}

#[test]
fn weak_and_foreign_keys_are_refused() {
    refused_as_public(&file("rsa1024.pub.pem"), KeyError::UnusablePublic);
    refused_as_private(&file("rsa1024.pem"), KeyError::UnusablePrivate);
    refused_as_public(&file("x25519.pub.pem"), KeyError::UnusablePublic);
    refused_as_private(&file("x25519.pem"), KeyError::UnusablePrivate);
    refused_as_public(b"", KeyError::UnusablePublic);
    refused_as_private(b"", KeyError::UnusablePrivate);
}

#[test]
fn a_bare_point_is_no_public_key() {
    let spki = der(&file("p256.pub.pem"));
    refused_as_public(&spki[spki.len() - 65..], KeyError::UnusablePublic);
}

#[test]
fn a_file_that_is_no_key_by_its_length_is_not_read() {
    let (bytes, max) = (64 * 1024 + 1, 64 * 1024);
    let error = PrivateKey::from_bytes(&vec![b'-'; bytes]).unwrap_err();
    assert_eq!(error, KeyError::TooLong { bytes, max });
}

#[test]
fn a_private_key_shows_only_what_kind_it_is() {
    let key = PrivateKey::from_bytes(&file("rsa2048.pem")).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(RSA 2048)");
    let key = PrivateKey::from_bytes(&file("p521.pem")).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(EC P-521)");
}
