//! Heavy and impure dependencies stay where they belong.
//!
//! `wasmtime` is known to `sandbox` alone.
//! What decides or encrypts reaches no runtime, no network and no randomness, not even through others.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
};

use super::Finding;
use crate::metadata::{Graph, Kind, Metadata, Package};

const WASMTIME: &str = "wasmtime";
const WASMTIME_OWNER: &str = "sandbox";
const PURE: [&str; 3] = ["model", "scheduler", "envelope"];
const IMPURE: [&str; 3] = ["tokio", "reqwest", "rand"];

pub(super) fn check(graph: &Graph, root: &Path, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest(root);
        let name = package.short_name();
        if name != WASMTIME_OWNER && embeds_wasmtime(package) {
            findings.push(Finding {
                path: manifest.clone(),
                line: 1,
                what: format!("`{name}` depends on {WASMTIME}"),
                why: "one crate embeds the engine and knows its traps",
                fix: format!("go through `{WASMTIME_OWNER}`"),
            });
        }
        if PURE.contains(&name) {
            findings.extend(impurities(graph, package, &manifest));
        }
    }
    findings
}

fn embeds_wasmtime(package: &Package) -> bool {
    package.dependencies.iter().any(|dependency| {
        let name = &*dependency.name;
        let is_wasmtime = name == WASMTIME || name.starts_with("wasmtime-");
        is_wasmtime && dependency.kind != Some(Kind::Dev)
    })
}

fn impurities(graph: &Graph, package: &Package, manifest: &str) -> Vec<Finding> {
    routes(graph, &package.id)
        .into_iter()
        .filter(|route| route.last().is_some_and(|name| IMPURE.contains(name)))
        .map(|route| Finding {
            path: manifest.to_owned(),
            line: 1,
            what: format!("reaches an impure crate: {}", route.join(" > ")),
            why: "what decides has no effects",
            fix: "pass the effect in as an argument, or turn the feature off".to_owned(),
        })
        .collect()
}

/// The shortest way to each package that `start` needs to run, as names.
fn routes<'a>(graph: &'a Graph, start: &'a str) -> Vec<Vec<&'a str>> {
    let names: BTreeMap<&str, &str> = graph
        .packages
        .iter()
        .map(|package| (&*package.id, &*package.name))
        .collect();
    let nodes: BTreeMap<&str, _> = graph
        .resolve
        .nodes
        .iter()
        .map(|node| (&*node.id, node))
        .collect();
    let name = |id: &'a str| names.get(id).copied().unwrap_or(id);
    let mut seen = BTreeMap::from([(start, vec![name(start)])]);
    let mut queue = VecDeque::from([start]);
    while let Some(id) = queue.pop_front() {
        let route = seen.get(id).cloned().unwrap_or_default();
        for edge in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let normal = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if normal && !seen.contains_key(&*edge.pkg) {
                let mut longer = route.clone();
                longer.push(name(&edge.pkg));
                seen.insert(&edge.pkg, longer);
                queue.push_back(&edge.pkg);
            }
        }
    }
    seen.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(name: &str, needs: &[(&str, Value)]) -> Value {
        let needs: Vec<Value> = needs
            .iter()
            .map(|(name, kind)| json!({ "name": name, "kind": kind }))
            .collect();
        let path = format!("/w/{name}/Cargo.toml");
        json!({ "id": name, "name": name, "manifest_path": path, "dependencies": needs })
    }

    fn check_packages(ours: &[Value], others: &[Value], expected: &[&str]) {
        let all = [ours, others].concat();
        let nodes: Vec<Value> = all
            .iter()
            .map(|package| {
                let needs = package["dependencies"].as_array().unwrap();
                let deps: Vec<Value> = needs
                    .iter()
                    .map(|need| json!({ "pkg": need["name"], "dep_kinds": [need] }))
                    .collect();
                json!({ "id": package["id"], "deps": deps })
            })
            .collect();
        let graph = json!({ "packages": all, "resolve": { "nodes": nodes } });
        let graph = serde_json::from_value(graph).unwrap();
        let metadata =
            json!({ "packages": ours, "workspace_root": "/w", "target_directory": "/t" });
        let metadata = serde_json::from_value(metadata).unwrap();
        let found = check(&graph, Path::new("/w"), &metadata);
        let found: Vec<&str> = found.iter().map(|finding| &*finding.what).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_engine_in_the_sandbox_is_fine() {
        let sandbox = package("propeller-sandbox", &[("wasmtime", Value::Null)]);
        check_packages(&[sandbox], &[package("wasmtime", &[])], &[]);
    }

    #[test]
    fn the_engine_anywhere_else_is_found() {
        let proplet = package("propeller-proplet", &[("wasmtime-wasi", Value::Null)]);
        let expected = ["`proplet` depends on wasmtime"];
        check_packages(&[proplet], &[package("wasmtime-wasi", &[])], &expected);
    }

    #[test]
    fn an_impure_crate_is_found_through_another_one() {
        let model = package("propeller-model", &[("uuid", Value::Null)]);
        let uuid = package("uuid", &[("rand", Value::Null)]);
        let expected = ["reaches an impure crate: propeller-model > uuid > rand"];
        check_packages(&[model], &[uuid, package("rand", &[])], &expected);
    }

    #[test]
    fn tests_and_build_scripts_may_be_impure() {
        let needs = [("rand", json!("dev")), ("tokio", json!("build"))];
        let model = package("propeller-model", &needs);
        let others = [package("rand", &[]), package("tokio", &[])];
        check_packages(&[model], &others, &[]);
    }
}
