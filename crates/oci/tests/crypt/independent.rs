//! What Python encrypts we decrypt, and what we encrypt Python decrypts.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use propeller_oci::crypt::{decrypt, encrypt};
use serde_json::{Value, json};

use crate::key_files::{PAIRS, file, private, public, skipped};

/// The independent implementation's answers to `requests`, or `None` if there is no Python.
fn python(requests: &[Value]) -> Option<Vec<Value>> {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the `cryptography` package: run the tests with `cargo xtask test`");
        return None;
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/independent/ocicrypt.py");
    let mut child = Command::new(python)
        .arg("-B")
        .arg(script)
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
    let text = String::from_utf8(output.stdout).unwrap();
    let answers = text.lines().map(|l| serde_json::from_str(l).unwrap());
    Some(answers.collect())
}

fn pem(file_name: &str) -> String {
    String::from_utf8(file(file_name)).unwrap()
}

fn layer(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// Whom a layer is encrypted to: every kind of key alone, and all of them.
fn audiences() -> Vec<Vec<&'static str>> {
    let mut audiences: Vec<Vec<_>> = PAIRS.iter().map(|pair| vec![*pair]).collect();
    audiences.push(PAIRS.to_vec());
    audiences
}

#[test]
fn what_python_encrypts_we_decrypt() {
    let plain = layer(70_000);
    let keys = |names: &[&str]| -> Vec<String> {
        names.iter().map(|n| pem(&format!("{n}.pub.pem"))).collect()
    };
    let requests: Vec<Value> = audiences()
        .iter()
        .map(|names| json!({"op": "encrypt", "keys": keys(names), "plain": BASE64.encode(&plain)}))
        .collect();
    let Some(answers) = python(&requests) else {
        return;
    };
    assert_eq!(answers.len(), requests.len());
    for (names, answer) in audiences().iter().zip(answers) {
        let annotations = serde_json::from_value(answer["annotations"].clone()).unwrap();
        let encrypted = answer["layer"].as_str().unwrap();
        for name in names {
            let cipher = BASE64.decode(encrypted.as_bytes()).unwrap();
            let opened = decrypt(cipher, &annotations, &[private(name)]).unwrap();
            assert_eq!(*opened.bytes, plain, "{name}");
            assert!(opened.is_intact(&[]));
        }
    }
}

#[test]
fn what_we_encrypt_python_decrypts() {
    let plain = layer(70_000);
    let mut requests = Vec::new();
    for names in audiences() {
        let publics: Vec<_> = names.iter().map(|name| public(name)).collect();
        let encrypted = encrypt(plain.clone(), &publics).unwrap();
        requests.extend(names.iter().map(|name| {
            json!({
                "op": "decrypt",
                "keys": [pem(&format!("{name}.pem"))],
                "layer": BASE64.encode(&encrypted.bytes),
                "annotations": encrypted.annotations,
            })
        }));
    }
    let Some(answers) = python(&requests) else {
        return;
    };
    assert_eq!(answers.len(), requests.len());
    for answer in answers {
        assert_eq!(
            answer["plain"],
            BASE64.encode(&plain),
            "{}",
            answer["error"]
        );
    }
}
