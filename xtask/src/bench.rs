//! `cargo xtask bench`: measures a release build of the benchmark program (`e2e`, `registry`, `attested`), of the
//! sandbox, of pulls from a registry (`pull`), or of the CES pipeline (`ces`).

use std::process::ExitCode;

use crate::{metadata::Metadata, run};

/// What is measured when no benchmark is named: the path of a whole task.
const DEFAULT: &str = "e2e";

/// Those that stand beside what they measure, with their packages: no other crate may know the
/// engine, and the others need nothing else.
const BESIDE: [(&str, &str); 3] = [
    ("sandbox", "propeller-sandbox"),
    ("pull", "propeller-oci"),
    ("ces", "propeller-ces"),
];

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    let mut command = run::cargo(&metadata.workspace_root);
    command.args(arguments(args));
    run::pass_through(command)
}

/// What cargo is told. The benchmark's name comes first; flags alone belong to the default one.
fn arguments(args: &[String]) -> Vec<&str> {
    let args = args.iter().map(String::as_str);
    let name = args.clone().next().filter(|name| !name.starts_with('-'));
    let beside = BESIDE.iter().find(|(known, _)| Some(*known) == name);
    if let Some(&(bench, package)) = beside {
        let command = ["bench", "--locked", "-p", package, "--bench", bench, "--"];
        return command.into_iter().chain(args.skip(1)).collect();
    }
    let command = [
        "run",
        "--release",
        "--locked",
        "-p",
        "propeller-bench",
        "--",
    ];
    let default = name.is_none().then_some(DEFAULT);
    command.into_iter().chain(default).chain(args).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[&str], expected: &str) {
        let args: Vec<String> = input.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(arguments(&args).join(" "), expected);
    }

    #[test]
    fn without_a_name_the_whole_path_is_measured() {
        check(&[], "run --release --locked -p propeller-bench -- e2e");
        check(
            &["--tasks", "64"],
            "run --release --locked -p propeller-bench -- e2e --tasks 64",
        );
    }

    #[test]
    fn a_name_is_passed_on() {
        check(
            &["e2e", "--json"],
            "run --release --locked -p propeller-bench -- e2e --json",
        );
    }

    #[test]
    fn the_sandbox_is_measured_beside_its_engine() {
        check(
            &["sandbox", "cold"],
            "bench --locked -p propeller-sandbox --bench sandbox -- cold",
        );
    }
}
