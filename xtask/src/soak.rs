//! `cargo xtask soak`: what takes too long for every change, in a release build.

use std::process::ExitCode;

use crate::{metadata::Metadata, run};

/// Tests that are ignored otherwise: package, test binary, what their names have in common.
const TESTS: [(&str, &str, &str); 6] = [
    ("propeller", "e2e", "soak::"),
    ("propeller-sandbox", "process", "soak_a_thousand"),
    ("propeller-sandbox", "process", "soak_a_daemon"),
    ("propeller-ces", "stream", "soak_a_million"),
    ("propeller-ces", "memory", "soak_a_hundred_gigabytes"),
    ("propeller-ces-ffi", "abi", "soak_more_than_two_gibibytes"),
];

/// Runs the long tests, then the fuzz targets; with arguments only the fuzz targets, which the
/// arguments are for.
pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    if args.is_empty() {
        for (package, binary, name) in TESTS {
            let mut command = run::cargo(&metadata.workspace_root);
            command.args(["test", "--release", "--locked", "-p", package]);
            command.args(["--test", binary, "--", "--ignored", "--nocapture"]);
            // One after the other: they measure the memory of what they start.
            command.args(["--test-threads", "1", name]);
            let code = run::pass_through(command)?;
            if code != ExitCode::SUCCESS {
                return Ok(code);
            }
        }
    }
    let mut command = run::cargo(&metadata.workspace_root);
    command.args(["run", "--release", "--locked", "-p", "propeller-fuzz", "--"]);
    command.args(args);
    run::pass_through(command)
}
