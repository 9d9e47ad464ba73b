//! `inspect`: what a module is, what it needs, and how to run it; and what an image is. No manager
//! is asked.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_inspect::{
    BYTES_MAX, Call, Export, Format, Import, InspectError, ItemKind, Listed, Memory, Need,
    Obstacle, Report, Role, Verdict, inspect,
};
use propeller_oci::Reference;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::Ui;
use crate::error::{CliError, Exit};
use crate::images::{self, Failure, OpenArgs, RegistryArgs};
use crate::json::pretty;
use crate::table::{Facts, Side, Table};

/// A module or an image to look at.
#[derive(Debug, Args)]
pub struct Inspect {
    /// WebAssembly module or component, or an image: REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "FILE|REF")]
    target: PathBuf,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(crate) async fn run(args: Inspect, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let Inspect {
        target,
        open,
        registry,
    } = args;
    if let Some(reference) = image(&target)? {
        return images::look(&reference, &open, &registry, json, ui).await;
    }
    if let Some(flag) = open.given() {
        return Err(Failure::NoImage { path: target, flag }.into());
    }
    let bytes = module(&target).await?;
    let report = inspect(&bytes).map_err(|source| CliError::Inspect {
        path: target.clone(),
        source,
    })?;
    let run = |call: &Call| command_line(call, &report, &target);
    if json {
        ui.text(&pretty(&as_json(&target, &report, &run).to_string()))?;
    } else {
        ui.text(&as_text(&report, &run))?;
    }
    Ok(Exit::Success)
}

/// The image that is meant: what is there is a file, and so is what is called like one.
fn image(target: &Path) -> Result<Option<Reference>, Failure> {
    let Some(text) = target.to_str() else {
        return Ok(None);
    };
    let named = text.contains("://") || text.contains("@sha256:");
    let path = text.starts_with(['.', '/']) || target.extension().is_some_and(|it| it == "wasm");
    match !named && (path || target.exists()) {
        true => Ok(None),
        false => images::parse(text).map(Some),
    }
}

/// The module in a file.
pub(crate) async fn module(path: &Path) -> Result<Vec<u8>, CliError> {
    let path = path.to_owned();
    match read(&path).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(source)) => Err(CliError::Inspect { path, source }),
        Err(source) => Err(CliError::Read { path, source }),
    }
}

/// The content of a file, unless it is too large to be a module.
async fn read(path: &Path) -> io::Result<Result<Vec<u8>, InspectError>> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let max = BYTES_MAX as u64;
    let mut bytes = Vec::new();
    // A pipe has no length, and a file may grow.
    file.take(max + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > BYTES_MAX {
        let bytes = metadata.len().max(bytes.len() as u64);
        return Ok(Err(InspectError::TooLarge { bytes }));
    }
    Ok(Ok(bytes))
}

/// The command line that runs the module in the file `target`. Without --invoke, `run` calls the export
/// that is called like the file, if there is one.
fn command_line(call: &Call, report: &Report, target: &Path) -> String {
    let file = typed(target);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".wasm");
    let is_called = |export: &Export| export.kind == ItemKind::Function && export.name == name;
    let other = report.format == Format::Core && report.exports.items.iter().any(is_called);
    match call {
        Call::Command if other => format!("propeller run {file} --invoke _start -- ARGS"),
        Call::Chunks if other => {
            format!("propeller tasks create NAME --file {file} --stdin INPUT --wait")
        }
        _ => call.command_line(&file),
    }
}

/// The description of a module, which the command line that `run` makes of a call runs.
pub(crate) fn as_text(report: &Report, run: &dyn Fn(&Call) -> String) -> String {
    let mut facts = Facts::default();
    facts.add("kind", kind(report));
    facts.add("size", &format!("{} bytes", report.size_bytes));
    facts.add("digest", &report.digest.to_string());
    facts.add("memory", &memory(report.memory));
    if report.needs.is_empty() && report.missing.items.is_empty() {
        facts.add("needs", "nothing of the host");
    }
    if report.chunked {
        facts.add("chunks", CHUNKS);
    }
    match &report.verdict {
        Verdict::Runs(call) => {
            facts.add("run", &run(call));
        }
        Verdict::Refused(obstacles) => {
            for (index, obstacle) in obstacles.iter().enumerate() {
                let name = if index == 0 { "cannot run" } else { "" };
                facts.add(name, &obstacle.to_string());
            }
            let hint = obstacles.first().map_or("", hint);
            facts.add("hint", hint);
        }
    }
    let parts = [
        facts.render(),
        needs(&report.needs),
        imports(report.format, &report.imports),
        exports(&report.exports),
    ];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n")
}

const CHUNKS: &str = "its input is split, executed chunk by chunk, and merged; --invoke calls one of \
    the three";

fn kind(report: &Report) -> &'static str {
    match (report.format, report.role) {
        (Format::Core, Role::Command) => "core module, a command of WASI preview 1 (_start)",
        (Format::Core, Role::Reactor) => "core module, a reactor of WASI preview 1 (_initialize)",
        (Format::Core, _) => "core module, a library",
        (Format::Component, Role::Command) => "component, a command (wasi:cli/run)",
        (Format::Component, Role::Service) => "component, an HTTP service (wasi:http)",
        (Format::Component, _) => "component, a library",
    }
}

fn memory(memory: Memory) -> String {
    match memory {
        Memory {
            minimum_bytes: 0,
            maximum_bytes: Some(0),
        } => "none".to_owned(),
        Memory {
            minimum_bytes,
            maximum_bytes: Some(maximum),
        } => format!("{minimum_bytes} bytes, grows to {maximum} at most"),
        Memory { minimum_bytes, .. } => {
            format!("{minimum_bytes} bytes, grows up to the task's limit")
        }
    }
}

/// What to do about the first obstacle.
fn hint(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::SwitchedOff { .. } => "compile it without that proposal",
        Obstacle::OtherVersion { .. } => "build it for WASI 0.2, in Rust for wasm32-wasip2",
        Obstacle::Missing { .. } => {
            "build it for WASI preview 1 or 0.2, in Rust for wasm32-wasip1 or wasm32-wasip2"
        }
        _ => {
            "export a command's entry point, or functions of numbers; components may use any values"
        }
    }
}

/// A path as a shell takes it.
fn typed(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "_-./+=@:,%".contains(c);
    if path.chars().all(plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn needs(needs: &[Need]) -> String {
    if needs.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        ("NEEDS", Side::Left),
        ("IN PROPELLER", Side::Left),
        ("IMPORTED AS", Side::Left),
    ]);
    for Need {
        capability,
        imports,
    } in needs
    {
        table.add([
            capability.word().to_owned(),
            capability.answer().to_owned(),
            first(imports),
        ]);
    }
    table.render()
}

/// As many entries as fit a line.
fn first(list: &Listed<String>) -> String {
    const SHOWN_MAX: usize = 3;
    let shown = list.items.iter().take(SHOWN_MAX);
    let shown = shown.map(String::as_str).collect::<Vec<_>>().join(", ");
    match list.total().saturating_sub(SHOWN_MAX as u64) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn imports(format: Format, imports: &Listed<Import>) -> String {
    if imports.items.is_empty() {
        return String::new();
    }
    let mut table = Table::new([("IMPORT", Side::Left), ("TYPE", Side::Left)]);
    for import in &imports.items {
        let missing = if import.offered { "" } else { " (not offered)" };
        table.add([full_name(format, import), format!("{}{missing}", import.ty)]);
    }
    with_rest(&table, imports.more)
}

/// `module.name` in a core module, `interface#function` in a component.
fn full_name(format: Format, import: &Import) -> String {
    let Import { from, name, .. } = import;
    match (format, from) {
        (_, None) => name.clone(),
        (Format::Core, Some(module)) => format!("{module}.{name}"),
        (Format::Component, Some(interface)) => format!("{interface}#{name}"),
    }
}

fn exports(exports: &Listed<Export>) -> String {
    if exports.items.is_empty() {
        return String::new();
    }
    let mut table = Table::new([("EXPORT", Side::Left), ("TYPE", Side::Left)]);
    for export in &exports.items {
        let note = match (export.kind, export.callable) {
            (ItemKind::Function, false) => " (not callable)",
            _ => "",
        };
        table.add([export.name.clone(), format!("{}{note}", export.ty)]);
    }
    with_rest(&table, exports.more)
}

fn with_rest<const N: usize>(table: &Table<N>, more: u64) -> String {
    match more {
        0 => table.render(),
        more => format!("{}and {more} more\n", table.render()),
    }
}

/// As [`as_text`], of a module in a file.
pub(crate) fn as_json(file: &Path, report: &Report, run: &dyn Fn(&Call) -> String) -> Value {
    let memory = report.memory;
    json!({
        "file": file.to_string_lossy(),
        "format": report.format.word(),
        "role": report.role.word(),
        "chunked": report.chunked,
        "size_bytes": report.size_bytes,
        "digest": report.digest.to_string(),
        "memory": {
            "minimum_bytes": memory.minimum_bytes,
            "maximum_bytes": memory.maximum_bytes,
        },
        "imports": list(&report.imports, |import| json!({
            "from": import.from,
            "name": import.name,
            "kind": import.kind.to_string(),
            "type": import.ty,
            "offered": import.offered,
        })),
        "exports": list(&report.exports, |export| json!({
            "name": export.name,
            "kind": export.kind.to_string(),
            "type": export.ty,
            "callable": export.callable,
        })),
        "needs": report.needs.iter().map(|need| json!({
            "capability": need.capability.word(),
            "standing": need.capability.standing().word(),
            "imports": list(&need.imports, |import| json!(import)),
        })).collect::<Vec<_>>(),
        "missing": list(&report.missing, |import| json!(import)),
        "run": match &report.verdict {
            Verdict::Runs(call) => json!({
                "possible": true,
                "command": run(call),
                "obstacles": [],
            }),
            Verdict::Refused(obstacles) => json!({
                "possible": false,
                "command": null,
                "obstacles": obstacles.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        },
    })
}

fn list<T>(list: &Listed<T>, item: impl Fn(&T) -> Value) -> Value {
    let items: Vec<_> = list.items.iter().map(item).collect();
    json!({ "items": items, "more": list.more })
}
