//! `cargo xtask tidy`: the project's rules as pure checks over its files.
//!
//! A check takes what was read and returns findings; reading, running and printing happen here.

mod architecture;
mod edges;
mod escaped;
mod fresh;
mod heads;
mod links;
mod lockfile;
mod machine_paths;
mod markers;
mod names;
mod placeholders;
mod purity;
mod rust;
mod sizes;
mod tree;
mod unsafe_code;
mod vectors;

use std::{fmt, process::ExitCode};

use crate::{generate, metadata::Metadata};
use tree::{File, Tree};

/// One broken rule: where, what, why that is bad, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    why: &'static str,
    fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            what,
            why,
            fix,
        } = self;
        write!(f, "{path}:{line}: {what}, {why}, {fix}")
    }
}

pub(crate) fn run(metadata: &Metadata, args: &[String]) -> Result<ExitCode, String> {
    if let Some(extra) = args.first() {
        return Err(format!("takes no arguments, got `{extra}`"));
    }
    let root = &metadata.workspace_root;
    let tree = Tree::read(root)?;
    let mut findings = of_files(&tree);
    findings.extend(edges::check(metadata, &tree));
    findings.extend(purity::check(&metadata.graph()?, root, metadata));
    findings.extend(generated(metadata));
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to say", tree.files.len());
            Ok(ExitCode::SUCCESS)
        }
        count => {
            println!("tidy: {count} findings");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn of_files(tree: &Tree) -> Vec<Finding> {
    [
        escaped::check(tree),
        heads::check(tree),
        sizes::check(tree),
        names::check(tree),
        unsafe_code::check(tree),
        links::check(tree),
        markers::check(tree),
        machine_paths::check(tree),
        placeholders::check(tree),
        lockfile::check(tree),
        vectors::check(tree),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn generated(metadata: &Metadata) -> Vec<Finding> {
    let root = &metadata.workspace_root;
    if let Err(reason) = generate::build(root) {
        return vec![fresh::cannot_print("Cargo.toml", &reason)];
    }
    generate::GENERATED
        .iter()
        .filter_map(|file| match file.print(root) {
            Ok(expected) => fresh::check(file.path, std::fs::read(root.join(file.path)), &expected),
            Err(reason) => Some(fresh::cannot_print(file.path, &reason)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_an_editor_can_open() {
        let finding = Finding {
            path: "src/a.rs".to_owned(),
            line: 7,
            what: "it is bad".to_owned(),
            why: "bad is not good",
            fix: "make it good".to_owned(),
        };
        let line = "src/a.rs:7: it is bad, bad is not good, make it good";
        assert_eq!(finding.to_string(), line);
    }
}
