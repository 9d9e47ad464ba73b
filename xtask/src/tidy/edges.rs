//! The edges between our crates are those that ARCHITECTURE.md lists, no more and no fewer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Tree, architecture};
use crate::metadata::{Kind, Metadata, Package, short_name};

const WHY: &str = "an edge is a decision";

/// A row of the table, with its line.
struct Row<'a> {
    line: usize,
    may: BTreeSet<&'a str>,
}

pub(super) fn check(metadata: &Metadata, tree: &Tree) -> Vec<Finding> {
    let rows = match table(tree) {
        Ok(rows) => rows,
        Err(finding) => return vec![finding],
    };
    let edges = edges(&metadata.packages);
    let mut findings: Vec<Finding> = edges
        .iter()
        .flat_map(|(name, needs)| of_crate(name, needs, rows.get(name)))
        .collect();
    for (name, row) in &rows {
        if !edges.contains_key(name) {
            findings.push(finding(
                row.line,
                format!("there is no crate `{name}`"),
                "delete its row".to_owned(),
            ));
        }
    }
    findings
}

fn of_crate(name: &str, needs: &BTreeSet<&str>, row: Option<&Row<'_>>) -> Vec<Finding> {
    let Some(Row { line, may }) = row else {
        let what = format!("crate `{name}` has no row");
        return vec![finding(1, what, "add it to the table".to_owned())];
    };
    let new = needs.difference(may).map(|other| {
        finding(
            *line,
            format!("`{name}` depends on `{other}`, which its row does not allow"),
            "drop the dependency, or write a decision record and add it to the row".to_owned(),
        )
    });
    let stale = may.difference(needs).map(|other| {
        finding(
            *line,
            format!("`{name}` does not depend on `{other}`"),
            "take it out of the row".to_owned(),
        )
    });
    new.chain(stale).collect()
}

fn finding(line: usize, what: String, fix: String) -> Finding {
    Finding {
        path: architecture::PATH.to_owned(),
        line,
        what,
        why: WHY,
        fix,
    }
}

fn edges(packages: &[Package]) -> BTreeMap<&str, BTreeSet<&str>> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| &*package.name).collect();
    packages
        .iter()
        .map(|package| {
            let needs = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != Some(Kind::Dev))
                .filter(|dependency| ours.contains(&*dependency.name))
                .map(|dependency| short_name(&dependency.name))
                .collect();
            (package.short_name(), needs)
        })
        .collect()
}

fn table(tree: &Tree) -> Result<BTreeMap<&str, Row<'_>>, Finding> {
    let block = architecture::block(tree, "edges")?;
    let rows = block.into_iter().filter_map(|(line, text)| {
        let mut cells = text.trim().strip_prefix('|')?.split('|').map(str::trim);
        let name = bare(cells.next()?);
        let may = cells.next()?.split(',').map(bare);
        let is_head = name == "crate" || name.starts_with(['-', ':']);
        (!is_head).then(|| {
            let may = may
                .filter(|cell| !matches!(*cell, "" | "–" | "-"))
                .collect();
            (name, Row { line, may })
        })
    });
    Ok(rows.collect())
}

fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "workspace_root": "/w", "target_directory": "/w/target",
        "packages": [
            { "id": "1", "name": "propeller-model", "manifest_path": "/w/m/Cargo.toml",
              "dependencies": [{ "name": "serde", "kind": null }] },
            { "id": "2", "name": "propeller-wire", "manifest_path": "/w/w/Cargo.toml",
              "dependencies": [{ "name": "propeller-model", "kind": "build" }] },
            { "id": "3", "name": "propeller", "manifest_path": "/w/p/Cargo.toml",
              "dependencies": [
                  { "name": "propeller-wire", "kind": null },
                  { "name": "propeller-model", "kind": "dev" }] }
        ] }"#;

    fn check_table(rows: &str, expected: &[&str]) {
        let text = format!(
            "<!-- edges:begin -->\n| crate | may depend on |\n|---|---|\n{rows}<!-- edges:end -->\n"
        );
        let metadata = serde_json::from_str(METADATA).unwrap();
        let found = check(&metadata, &Tree::of(&[(architecture::PATH, &text)]));
        let found: Vec<&str> = found.iter().map(|finding| &*finding.what).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_table_that_tells_the_truth_passes() {
        check_table(
            "| `model` | – |\n| wire | model |\n| propeller | `wire` |\n",
            &[],
        );
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found() {
        check_table(
            "| model | – |\n| wire | – |\n| propeller | wire |\n",
            &["`wire` depends on `model`, which its row does not allow"],
        );
    }

    #[test]
    fn an_edge_that_is_only_in_the_table_is_found() {
        check_table(
            "| model | – |\n| wire | model |\n| propeller | wire, model |\n",
            &["`propeller` does not depend on `model`"],
        );
    }

    #[test]
    fn missing_and_stale_rows_are_found() {
        check_table(
            "| model | – |\n| wire | model |\n| ghost | – |\n",
            &["crate `propeller` has no row", "there is no crate `ghost`"],
        );
    }

    #[test]
    fn no_table_is_one_finding() {
        let metadata = serde_json::from_str(METADATA).unwrap();
        assert_eq!(check(&metadata, &Tree::of(&[])).len(), 1);
    }
}
