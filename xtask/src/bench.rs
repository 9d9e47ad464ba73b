//! `cargo xtask bench`: measures a release build of the benchmark program.

use std::process::ExitCode;

use crate::{metadata::Metadata, run};

/// What is measured when no benchmark is named: the path of a whole task.
const DEFAULT: &str = "e2e";

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    let mut command = run::cargo(&metadata.workspace_root);
    command.args([
        "run",
        "--release",
        "--locked",
        "-p",
        "propeller-bench",
        "--",
    ]);
    command.args(arguments(args));
    run::pass_through(command)
}

/// The benchmark's name comes first; flags alone belong to the default one.
fn arguments(args: &[String]) -> Vec<&str> {
    let named = args.first().is_some_and(|first| !first.starts_with('-'));
    let default = (!named).then_some(DEFAULT);
    default
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[&str], expected: &[&str]) {
        let args: Vec<String> = input.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(arguments(&args), expected);
    }

    #[test]
    fn without_a_name_the_whole_path_is_measured() {
        check(&[], &["e2e"]);
        check(&["--tasks", "64"], &["e2e", "--tasks", "64"]);
    }

    #[test]
    fn a_name_is_passed_on() {
        check(&["e2e", "--json"], &["e2e", "--json"]);
    }
}
