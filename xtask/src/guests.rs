//! `cargo xtask guests`: rebuilds the committed guest programs from their sources.

use std::process::{Command, ExitCode};

use crate::{metadata::Metadata, run};

const SCRIPT: &str = "examples/guests/build.sh";
/// Guests in text that Debian's tools cannot read: a component.
const TEXTS: [(&str, &str); 1] = [(
    "examples/guests/greet/greet.wat",
    "examples/guests/greet.wasm",
)];

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    if !metadata.workspace_root.join(SCRIPT).is_file() {
        return Err(format!("there is no {SCRIPT}"));
    }
    for (text, binary) in TEXTS {
        let from = metadata.workspace_root.join(text);
        let wasm = wat::parse_file(&from).map_err(|error| format!("{text}: {error}"))?;
        std::fs::write(metadata.workspace_root.join(binary), wasm)
            .map_err(|error| format!("cannot write {binary}: {error}"))?;
    }
    let mut command = Command::new("bash");
    command.current_dir(&metadata.workspace_root);
    command.arg(SCRIPT).args(args);
    run::pass_through(command)
}
