//! What `cargo metadata` says: packages, their dependencies, where things are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::run;

/// The workspace without its resolved graph, which costs nothing to ask for.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// By name, what each switches on.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
}

/// Cargo leaves the kind of a normal dependency out.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
}

/// Every package that the workspace needs, with the edges that features switched on.
#[derive(Deserialize)]
pub(crate) struct Graph {
    pub(crate) packages: Vec<Package>,
    pub(crate) resolve: Resolve,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeEdge>,
}

#[derive(Deserialize)]
pub(crate) struct NodeEdge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
pub(crate) struct EdgeKind {
    pub(crate) kind: Option<Kind>,
}

impl Metadata {
    /// Asks cargo about the workspace that the current folder is in.
    pub(crate) fn load() -> Result<Self, String> {
        ask(Path::new("."), &["--no-deps"])
    }

    /// Asks cargo for the whole graph, as this machine would build it.
    pub(crate) fn graph(&self) -> Result<Graph, String> {
        let host = host()?;
        ask(&self.workspace_root, &["--filter-platform", &host])
    }
}

impl Package {
    /// The name as ARCHITECTURE.md writes it: without the product's prefix.
    pub(crate) fn short_name(&self) -> &str {
        short_name(&self.name)
    }

    /// The manifest's path inside the workspace.
    pub(crate) fn manifest(&self, root: &Path) -> String {
        let path = self.manifest_path.strip_prefix(root);
        path.unwrap_or(&self.manifest_path)
            .to_string_lossy()
            .into_owned()
    }
}

/// A package's name without the product's prefix; the binary crate has none.
pub(crate) fn short_name(name: &str) -> &str {
    name.strip_prefix("propeller-").unwrap_or(name)
}

fn ask<T: serde::de::DeserializeOwned>(folder: &Path, args: &[&str]) -> Result<T, String> {
    let mut command = run::cargo(folder);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    command.args(args);
    let json = run::output(command)?;
    serde_json::from_slice(&json)
        .map_err(|error| format!("cannot read the output of `cargo metadata`: {error}"))
}

fn host() -> Result<String, String> {
    let mut command = run::cargo(Path::new("."));
    command.args(["--version", "--verbose"]);
    let text = String::from_utf8_lossy(&run::output(command)?).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "`cargo --version --verbose` does not name its host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_the_prefix_and_the_binary_crate_keeps_its_name() {
        assert_eq!(short_name("propeller-model"), "model");
        assert_eq!(short_name("propeller"), "propeller");
        assert_eq!(short_name("xtask"), "xtask");
    }

    #[test]
    fn a_dependency_without_a_kind_is_a_normal_one() {
        let json = r#"{ "name": "a", "kind": null }"#;
        let dependency: Dependency = serde_json::from_str(json).unwrap();
        assert!(dependency.kind.is_none());
    }
}
