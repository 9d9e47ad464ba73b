//! What Python signs we verify, what we sign Python verifies, and what it encrypts we open.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use propeller_model::Digest;
use propeller_oci::sign::{
    Candidate, KeyError, SIGNATURE, SigningKey, VerifyingKey, payload, verify,
};
use serde_json::{Value, json};

use crate::support::{key_file, skipped, tests_folder};

const IMAGE: Digest = Digest([7; 32]);
const REPOSITORY: &str = "registry.example:5000/team/app";

/// The independent implementation's answers to `requests`, or `None` if there is no Python.
fn python(requests: &[Value]) -> Option<Vec<Value>> {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the `cryptography` package: run the tests with `cargo xtask test`");
        return None;
    };
    let mut child = Command::new(python)
        .arg("-B")
        .arg(tests_folder().join("independent/sign.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = requests.iter().map(|r| format!("{r}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    Some(
        answers
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn signed(signature: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(SIGNATURE.to_owned(), signature.to_owned())])
}

#[test]
fn what_we_sign_we_verify_under_our_own_key_alone() {
    let key = SigningKey::from_pem(&key_file("ok-sec1.key"), None).unwrap();
    let stranger = VerifyingKey::from_pem(&key_file("stranger.pub")).unwrap();
    let payload = payload(REPOSITORY, IMAGE);
    let annotations = signed(&key.sign(&payload).unwrap());
    let candidates = [Candidate {
        payload: &payload,
        annotations: &annotations,
    }];
    let trusted = [stranger.clone(), key.verifying_key()];
    let verified = verify(&candidates, &trusted, IMAGE, Some(REPOSITORY)).unwrap();
    assert_eq!(verified.identity, REPOSITORY);
    assert_eq!(verified.key, key.verifying_key().fingerprint());
    assert!(verify(&candidates, &[stranger], IMAGE, Some(REPOSITORY)).is_err());
    assert!(verify(&candidates, &trusted, Digest([8; 32]), None).is_err());
}

#[test]
fn what_python_signs_we_verify() {
    let request = json!({
        "op": "sign",
        "key": String::from_utf8(key_file("ok-sigstore.key")).unwrap(),
        "passphrase": "correct horse",
        "identity": REPOSITORY,
        "manifest": IMAGE.to_string(),
    });
    let Some(answers) = python(&[request.clone(), request]) else {
        return;
    };
    let ours = [VerifyingKey::from_pem(&key_file("ours.pub")).unwrap()];
    for answer in &answers {
        let annotations = signed(answer["signature"].as_str().unwrap());
        let candidate = Candidate {
            payload: answer["payload"].as_str().unwrap().as_bytes(),
            annotations: &annotations,
        };
        verify(&[candidate], &ours, IMAGE, Some(REPOSITORY)).unwrap();
    }
    assert_ne!(answers[0], answers[1], "a signature is random");
}

#[test]
fn what_we_sign_python_verifies_unless_a_byte_changed() {
    let key = SigningKey::from_pem(&key_file("ok-sigstore.key"), Some(b"correct horse")).unwrap();
    let payload = String::from_utf8(payload(REPOSITORY, IMAGE)).unwrap();
    let mut request = json!({
        "op": "verify",
        "key": String::from_utf8(key_file("ours.pub")).unwrap(),
        "signature": key.sign(payload.as_bytes()).unwrap(),
        "payload": payload,
    });
    let good = request.clone();
    request["payload"] = json!(payload.replace("team", "teal"));
    let Some(answers) = python(&[good, request]) else {
        return;
    };
    assert_eq!(
        answers[0],
        json!({
            "ok": true, "identity": REPOSITORY, "manifest": IMAGE.to_string(),
            "type": "cosign container image signature",
        })
    );
    assert_eq!(answers[1], json!({"ok": false}));
}

#[test]
fn a_fresh_key_that_python_encrypts_opens_with_its_passphrase_alone() {
    let requests = [32_768, 65_536, 131_072]
        .map(|n| json!({"op": "fresh", "passphrase": "päss \u{1f511}", "n": n}));
    let Some(answers) = python(&requests) else {
        return;
    };
    for answer in &answers {
        let private = answer["private"].as_str().unwrap().as_bytes();
        let public = VerifyingKey::from_pem(answer["public"].as_str().unwrap().as_bytes()).unwrap();
        let key = SigningKey::from_pem(private, Some("päss \u{1f511}".as_bytes())).unwrap();
        assert_eq!(key.verifying_key().fingerprint(), public.fingerprint());
        let wrong = SigningKey::from_pem(private, Some(b"pass")).unwrap_err();
        assert_eq!(wrong, KeyError::Passphrase);
    }
    assert_eq!(answers.len(), 3);
}
