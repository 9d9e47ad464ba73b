//! The program `propeller-proxy`, started as an operator starts it.
#![cfg(test)]

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use propeller_envelope::WorkloadKey;
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propeller-proxy"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

fn text(output: Output) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.success(), text)
}

#[test]
fn it_says_what_it_is_and_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = WorkloadKey::generate().unwrap().to_hex().to_string();
    for (args, said) in [
        (&["--help"][..], "PROXY_* variables"),
        (
            &["--version"],
            concat!("propeller-proxy ", env!("CARGO_PKG_VERSION")),
        ),
        (&["config", "show"], "quay.example"),
    ] {
        let mut command = program(folder.path());
        command.args(args);
        command.env("PROXY_REGISTRIES", "quay.example");
        command.env("PROXY_WORKLOAD_KEY", &key);
        let (success, text) = text(command.output().unwrap());
        assert!(success && text.contains(said), "{args:?}: {text}");
        assert!(!text.contains(&key), "{args:?}: {text}");
    }
}

#[test]
fn without_a_key_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (success, text) = text(program(folder.path()).output().unwrap());
    assert!(!success && text.contains("PROXY_WORKLOAD_KEY"), "{text}");
}

#[test]
fn it_dumps_no_core_and_ends_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // Nobody listens there: it tries again and again, and runs.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = program(folder.path())
        .env(
            "PROXY_WORKLOAD_KEY",
            WorkloadKey::generate().unwrap().to_hex().as_str(),
        )
        .env("PROXY_MQTT_ADDRESS", format!("tcp://{nobody}"))
        .env("PROXY_HTTP_PORT", "0")
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let logged = || std::fs::read_to_string(&log).unwrap();
    let begun = Instant::now();
    while !logged().contains("no connection to broker") {
        assert!(begun.elapsed() < PATIENCE, "{}", logged());
        std::thread::sleep(Duration::from_millis(10));
    }
    if let Ok(limits) = std::fs::read_to_string(format!("/proc/{}/limits", child.id())) {
        let core = limits.lines().find(|line| line.contains("core file size"));
        let words: Vec<&str> = core.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success(), "{}", logged());
    assert!(logged().contains("proxy stopped"), "{}", logged());
}
