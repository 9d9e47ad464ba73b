//! Where something was measured: without it a number means nothing.

use std::fs;
use std::process::Command;

use crate::report::section;

/// Prints the machine and the build.
pub(crate) fn print() {
    let cpuinfo = read("/proc/cpuinfo");
    let model = value(&cpuinfo, "model name");
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor"));
    let processor = format!("{model}, {} cores", processors.count());
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    let rustc = said(Command::new("rustc").arg("--version"));
    let profile = match cfg!(debug_assertions) {
        true => "debug: these numbers mean nothing",
        false => "release",
    };
    let mut commit = Command::new("git");
    commit.args(["describe", "--always", "--dirty", "--abbrev=12"]);
    let commit = said(&mut commit);
    let rows = [
        ["processor", &processor],
        ["memory", &memory],
        ["kernel", kernel.trim()],
        ["rustc", &rustc],
        ["profile", profile],
        ["commit", &commit],
        ["load average", &load.join(" ")],
    ];
    let rows = rows.map(|row| row.map(ToOwned::to_owned).to_vec());
    section("Environment", &["what", "value"], &rows);
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn value(text: &str, name: &str) -> String {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned()
}

/// What a program says on standard output.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|out| out.status.success());
    output.map_or_else(
        || "unknown".to_owned(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    )
}
