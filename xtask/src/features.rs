//! `cargo xtask features`: the proplet builds with each of its features alone.
//!
//! Everything else is built with all of them, in which nobody sees that one needs another.

use std::process::ExitCode;

use crate::metadata::{Metadata, Package};
use crate::run;

/// Whose features people choose from, to leave out what their machines cannot use.
const PACKAGE: &str = "propeller-proplet";
/// The feature that stands for others.
const DEFAULT: &str = "default";
/// Engines, of which a proplet needs one; the first is the smaller, and goes with everything else.
const ENGINES: [&str; 2] = ["interpreter", "wasmtime"];

pub(crate) fn run(metadata: &Metadata, _args: &[String]) -> Result<ExitCode, String> {
    let package = metadata.packages.iter().find(|one| one.name == PACKAGE);
    let package = package.ok_or_else(|| format!("there is no package {PACKAGE}"))?;
    let sets = sets(package);
    for set in &sets {
        println!("{PACKAGE} with {set}");
        let mut command = run::cargo(&metadata.workspace_root);
        command.args(["clippy", "--locked", "--quiet", "--package", PACKAGE]);
        command.args(["--no-default-features", "--features", set]);
        command.args(["--", "--deny", "warnings"]);
        if run::pass_through(command)? != ExitCode::SUCCESS {
            return Err(format!("{PACKAGE} does not build with {set} alone"));
        }
    }
    println!("{} sets of features build", sets.len());
    Ok(ExitCode::SUCCESS)
}

/// Each engine alone, and each other feature with the smaller one.
fn sets(package: &Package) -> Vec<String> {
    let others = package.features.keys().map(String::as_str);
    let others = others.filter(|name| *name != DEFAULT && !ENGINES.contains(name));
    let with_engine = others.map(|name| format!("{},{name}", ENGINES[0]));
    ENGINES
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(with_engine)
        .collect()
}
