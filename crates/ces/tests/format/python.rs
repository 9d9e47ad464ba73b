//! The second implementation, where there is a Python that can run it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

const MODULES: &str = "import blake3, cryptography, nacl.bindings, zstandard";

/// The script with these arguments, or `None` if nothing can run it.
pub(crate) fn script(arguments: &[&str]) -> Option<Command> {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the script's modules: run the tests with `cargo xtask test`");
        return None;
    };
    let mut proof = Command::new(&python);
    proof.args(["-c", MODULES]).stderr(Stdio::null());
    if !proof.status().is_ok_and(|status| status.success()) {
        skipped("the Python lacks one of blake3, cryptography, PyNaCl and zstandard");
        return None;
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/independent/ces.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(path).args(arguments);
    Some(command)
}

/// The script's answers to `requests`, or `None` if nothing can run it.
pub(crate) fn answers(requests: &[Value]) -> Option<Vec<Value>> {
    let mut child = script(&[])?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = requests
        .iter()
        .map(|request| format!("{request}\n"))
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), requests.len());
    Some(answers)
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
