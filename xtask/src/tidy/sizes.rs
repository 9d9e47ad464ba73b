//! Rust files are short; a longer one has a reason, and no reason reaches past the wall.

use std::collections::BTreeMap;

use super::{Finding, Tree};

/// What a reader takes in at one sitting.
const LINES: usize = 400;
/// The wall: a file this long has two subjects.
const LINES_MAX: usize = 600;

const ALLOWED: &str = "xtask/src/tidy/allow_long.txt";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (allowed, mut findings) = entries(tree.text(ALLOWED).unwrap_or_default());
    let sizes: BTreeMap<&str, usize> = tree
        .rust()
        .map(|(file, text)| (&*file.path, text.lines().count()))
        .collect();
    for (path, lines) in &sizes {
        if *lines > LINES_MAX {
            findings.push(too_long(path, *lines, LINES_MAX, "split it".to_owned()));
        } else if *lines > LINES && !allowed.contains_key(path) {
            let fix = format!("split it, or give the reason in {ALLOWED}");
            findings.push(too_long(path, *lines, LINES, fix));
        }
    }
    for (path, line) in allowed {
        if sizes.get(path).is_none_or(|lines| *lines <= LINES) {
            findings.push(Finding {
                path: ALLOWED.to_owned(),
                line,
                what: format!("`{path}` is not longer than {LINES} lines"),
                why: "a stale exception hides the next one",
                fix: "delete the entry".to_owned(),
            });
        }
    }
    findings
}

fn too_long(path: &str, lines: usize, limit: usize, fix: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line: limit + 1,
        what: format!("the file has {lines} lines of at most {limit}"),
        why: "a file that long has two subjects",
        fix,
    }
}

/// The entries `path: reason` with their lines, and a finding for each without a reason.
fn entries(text: &str) -> (BTreeMap<&str, usize>, Vec<Finding>) {
    let mut allowed = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, entry) in text.lines().enumerate() {
        if entry.trim().is_empty() || entry.starts_with('#') {
            continue;
        }
        let (path, reason) = entry.split_once(':').unwrap_or((entry, ""));
        if reason.trim().is_empty() {
            findings.push(Finding {
                path: ALLOWED.to_owned(),
                line: index + 1,
                what: format!("the entry of `{path}` gives no reason"),
                why: "an exception without a reason stays for ever",
                fix: "write `path: reason`".to_owned(),
            });
        }
        allowed.insert(path.trim(), index + 1);
    }
    (allowed, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_size(lines: usize, allowed: &str, expected: &[&str]) {
        let text = "//! A.\n".repeat(lines);
        let found = check(&Tree::of(&[("src/a.rs", &text), (ALLOWED, allowed)]));
        let found: Vec<&str> = found.iter().map(|finding| &*finding.what).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_short_file_passes() {
        check_size(400, "", &[]);
    }

    #[test]
    fn a_longer_file_needs_a_reason() {
        check_size(401, "", &["the file has 401 lines of at most 400"]);
        check_size(401, "# why\n\nsrc/a.rs: one table\n", &[]);
        check_size(
            401,
            "src/a.rs:\n",
            &["the entry of `src/a.rs` gives no reason"],
        );
    }

    #[test]
    fn no_reason_reaches_past_the_wall() {
        let expected = ["the file has 601 lines of at most 600"];
        check_size(601, "src/a.rs: one table\n", &expected);
    }

    #[test]
    fn a_stale_exception_is_found() {
        check_size(
            10,
            "src/a.rs: r\n",
            &["`src/a.rs` is not longer than 400 lines"],
        );
        check_size(
            10,
            "src/b.rs: r\n",
            &["`src/b.rs` is not longer than 400 lines"],
        );
    }
}
