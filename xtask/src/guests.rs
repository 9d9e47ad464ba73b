//! `cargo xtask guests`: rebuilds the committed guest programs from their sources.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use wasi_preview1_component_adapter_provider as adapter;
use wit_component::ComponentEncoder;

use crate::{metadata::Metadata, run};

const SCRIPT: &str = "examples/guests/build.sh";
/// Where the committed guests are.
const GUESTS: &str = "examples/guests";
/// Guests in text that Debian's tools cannot read: a component.
const TEXTS: [(&str, &str); 1] = [(
    "examples/guests/greet/greet.wat",
    "examples/guests/greet.wasm",
)];
/// Guests that the script can only make modules of.
const COMPONENTS: [&str; 2] = ["dial.wasm", "web.wasm"];

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    if !metadata.workspace_root.join(SCRIPT).is_file() {
        return Err(format!("there is no {SCRIPT}"));
    }
    for (text, binary) in TEXTS {
        let from = metadata.workspace_root.join(text);
        let wasm = wat::parse_file(&from).map_err(|error| format!("{text}: {error}"))?;
        write(&metadata.workspace_root.join(binary), &wasm)?;
    }
    let modules = metadata.target_directory.join("guests");
    fs::create_dir_all(&modules)
        .map_err(|error| format!("cannot create {}: {error}", modules.display()))?;
    let mut command = Command::new("bash");
    command.current_dir(&metadata.workspace_root);
    command.arg(SCRIPT).args(args).env("MODULES", &modules);
    let code = run::pass_through(command)?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    for name in COMPONENTS {
        let component = component(&modules.join(name))?;
        write(&metadata.workspace_root.join(GUESTS).join(name), &component)?;
        println!("{:9} bytes  {name}, a component", component.len());
    }
    Ok(code)
}

/// The module as a component for WASI 0.2.
///
/// What std wants of preview 1, which is little more than a place for a panic's message, comes from
/// the smallest of the adapters: it gives no files, so the component asks its host for none.
fn component(module: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", module.display());
    let bytes = fs::read(module).map_err(|error| fail(&error))?;
    let name = adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let proxy = adapter::WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER;
    ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).adapter(name, proxy))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| fail(&format!("{error:#}")))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
