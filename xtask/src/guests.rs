//! `cargo xtask guests`: rebuilds the committed guest programs from their sources.

use std::process::{Command, ExitCode};

use crate::{metadata::Metadata, run};

const SCRIPT: &str = "examples/guests/build.sh";

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    if !metadata.workspace_root.join(SCRIPT).is_file() {
        return Err(format!("there is no {SCRIPT}"));
    }
    let mut command = Command::new("bash");
    command.current_dir(&metadata.workspace_root);
    command.arg(SCRIPT).args(args);
    run::pass_through(command)
}
