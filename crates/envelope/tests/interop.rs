//! What Python seals we open, and what we seal Python opens.
#![cfg(test)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use propeller_envelope::{Context, Keyring, WorkloadKey, open, seal};
use serde_json::{Value, json};

/// The independent implementation's answers to `requests`, or `None` if there is no Python.
fn python(requests: &[Value]) -> Option<Vec<Value>> {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the `cryptography` package: run the tests with `cargo xtask test`");
        return None;
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/independent/envelope.py");
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
    Some(
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect(),
    )
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

const TASK: [u8; 16] = [9; 16];

fn context() -> (Context<'static>, Value) {
    let rust = Context::Result {
        tenant: "default",
        task: TASK,
        attempt: 3,
        proplet: "edge-1",
    };
    let python = json!({
        "kind": "result", "tenant": "default", "task": hex(&TASK), "attempt": 3, "proplet": "edge-1",
    });
    (rust, python)
}

fn plains() -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(1);
    [0, 1, 1000, 65_535, 65_536, 65_537, 200_000]
        .iter()
        .map(|len| (0..*len).map(|_| rng.u8(..)).collect())
        .collect()
}

#[test]
fn what_python_seals_we_open() {
    let key = WorkloadKey::generate().unwrap();
    let (rust, context) = context();
    let requests: Vec<Value> = plains()
        .iter()
        .map(|plain| json!({"op": "seal", "key": *key.to_hex(), "context": context, "plain": hex(plain)}))
        .collect();
    let Some(answers) = python(&requests) else {
        return;
    };
    let ring = Keyring::new(key);
    for (plain, answer) in plains().iter().zip(&answers) {
        let sealed = answer["ok"].as_str().unwrap();
        let sealed = data_encoding::HEXLOWER.decode(sealed.as_bytes()).unwrap();
        assert_eq!(*open(&ring, &rust, &sealed).unwrap(), *plain);
    }
    assert_eq!(answers.len(), plains().len());
}

#[test]
fn what_we_seal_python_opens() {
    let key = WorkloadKey::generate().unwrap();
    let ring = Keyring::new(key.clone());
    let (rust, context) = context();
    let requests: Vec<Value> = plains()
        .iter()
        .map(|plain| {
            let sealed = seal(&ring, &rust, plain).unwrap();
            json!({"op": "open", "keys": [*key.to_hex()], "context": context, "sealed": hex(&sealed)})
        })
        .collect();
    let Some(answers) = python(&requests) else {
        return;
    };
    let opened: Vec<String> = answers
        .iter()
        .map(|a| a["ok"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(opened, plains().iter().map(|p| hex(p)).collect::<Vec<_>>());
}
