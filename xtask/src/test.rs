//! `cargo xtask test`: installs what tests need, runs every test, and counts honestly.
//!
//! A test that cannot run on this machine says so in a file and passes.
//! Here it is taken out of the passed ones and shown with its reason.

mod packages;
mod provision;
mod runtimes;
mod tally;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use crate::{metadata::Metadata, run};
use provision::Provisions;
use tally::Tally;

/// Names the file to which a test that cannot run appends `SKIPPED name: reason`.
const SKIPS: &str = "PROPELLER_TEST_SKIPS";
/// Names a Python that has the module `cryptography` and, where they could be had, others.
const PYTHON: &str = "PROPELLER_TEST_PYTHON";
/// Names the mosquitto broker, which often lives outside of PATH.
const MOSQUITTO: &str = "PROPELLER_TEST_MOSQUITTO";
/// Names a folder in which Node finds packages.
const NODE_MODULES: &str = "PROPELLER_TEST_NODE_MODULES";
/// Names a folder with WebAssembly runtimes; others are looked for in PATH.
const RUNTIMES: &str = "PROPELLER_TEST_RUNTIMES";

/// The escaped guest, apart from all others: its feature must be in no program that is shipped. Of
/// the whole workspace, so that the dependencies are those that the other tests were built with.
const ESCAPE: [&str; 5] = [
    "--workspace",
    "--features",
    "propeller-sandbox/escaped-guest",
    "--test",
    "escape",
];

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    let target = &metadata.target_directory;
    fs::create_dir_all(target)
        .map_err(|error| format!("cannot create the target folder: {error}"))?;
    let skips = target.join("xtask-skips.txt");
    fs::write(&skips, "").map_err(|error| format!("cannot create the list of skips: {error}"))?;

    let provisions = provision::install(target);
    for missing in &provisions.missing {
        println!("not installed: {missing}; tests that need it are skipped");
    }

    let mut tally = Tally::default();
    let root = &metadata.workspace_root;
    let mut command = cargo_test(
        root,
        &["--workspace", "--no-fail-fast"],
        &provisions,
        &skips,
    );
    command.arg("--");
    command.args(args.iter().filter(|arg| *arg != "--"));
    let mut cargo_passed = stream(command, &mut tally)?;
    if args.is_empty() {
        let command = cargo_test(root, &ESCAPE, &provisions, &skips);
        cargo_passed &= stream(command, &mut tally)?;
    }
    let recorded = fs::read_to_string(&skips)
        .map_err(|error| format!("cannot read the list of skips: {error}"))?;
    tally.record_skips(&recorded);

    print!("\n{}", tally.details());
    match tally.verdict(cargo_passed) {
        Ok(()) => {
            println!("{tally}");
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            println!("{failure}\n{tally}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn cargo_test(root: &Path, which: &[&str], provisions: &Provisions, skips: &Path) -> Command {
    let mut command = run::cargo(root);
    command.args(["test", "--locked"]).args(which);
    command.env(SKIPS, skips);
    for variable in [PYTHON, MOSQUITTO, NODE_MODULES] {
        command.env_remove(variable);
    }
    if let Some(mosquitto) = &provisions.mosquitto {
        command.env(MOSQUITTO, mosquitto);
    }
    command.env(RUNTIMES, &provisions.runtimes);
    if let Some(modules) = &provisions.node_modules {
        command.env(NODE_MODULES, modules);
    }
    if let Some(python) = &provisions.python {
        command.env(PYTHON, &python.program);
        if let Some(modules) = &python.modules {
            command.env("PYTHONPATH", python_path(modules));
        }
    }
    command
}

fn python_path(modules: &Path) -> std::ffi::OsString {
    let old = env::var_os("PYTHONPATH").unwrap_or_default();
    let parts = std::iter::once(modules.to_owned()).chain(env::split_paths(&old));
    env::join_paths(parts).unwrap_or_else(|_| modules.as_os_str().to_owned())
}

/// Lets the output through while counting, and tells whether cargo was content.
fn stream(mut command: Command, tally: &mut Tally) -> Result<bool, String> {
    let failed = |error: io::Error| format!("cannot run `cargo test`: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(stdout) = child.stdout.take() {
        let mut terminal = io::stdout().lock();
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            terminal.write_all(&line).map_err(failed)?;
            tally.read_line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    Ok(child.wait().map_err(failed)?.success())
}
