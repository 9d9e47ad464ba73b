//! `cargo xtask soak`: long randomised runs of the fuzz targets, in a release build.

use std::process::ExitCode;

use crate::{metadata::Metadata, run};

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    let mut command = run::cargo(&metadata.workspace_root);
    command.args(["run", "--release", "--locked", "-p", "propeller-fuzz", "--"]);
    command.args(args);
    run::pass_through(command)
}
