//! Test vectors say something, and every folder of them says what.

use std::collections::BTreeSet;

use super::{File, Finding, Tree};

const ROOT: &str = "testdata/vectors/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files: Vec<&File> = tree
        .files
        .iter()
        .filter(|file| file.path.starts_with(ROOT))
        .collect();
    let empty = files
        .iter()
        .filter(|file| file.is_empty())
        .map(|file| Finding {
            path: file.path.clone(),
            line: 1,
            what: "the vector is empty".to_owned(),
            why: "it tests nothing",
            fix: "write its header, or delete it".to_owned(),
        });
    let folders: BTreeSet<&str> = files.iter().flat_map(|file| folders(&file.path)).collect();
    let unexplained = folders
        .into_iter()
        .map(|folder| format!("{folder}/README.md"))
        .filter(|readme| !tree.has(readme))
        .map(|readme| Finding {
            path: readme,
            line: 1,
            what: "the folder's README.md is missing".to_owned(),
            why: "a second implementation starts from it",
            fix: "say what the vectors are and how they are read".to_owned(),
        });
    empty.chain(unexplained).collect()
}

/// The folders below the root that a path goes through.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter(|(at, _)| *at >= ROOT.len())
        .map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let found = check(&Tree::of(files));
        let found: Vec<&str> = found.iter().map(|finding| &*finding.path).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn vectors_with_a_readme_pass() {
        check_files(
            &[
                ("testdata/vectors/envelope/README.md", "What."),
                ("testdata/vectors/envelope/truncated", "expect: truncated"),
                ("testdata/other/empty", ""),
            ],
            &[],
        );
    }

    #[test]
    fn an_empty_vector_is_found() {
        check_files(
            &[
                ("testdata/vectors/envelope/README.md", "What."),
                ("testdata/vectors/envelope/good", ""),
            ],
            &["testdata/vectors/envelope/good"],
        );
    }

    #[test]
    fn a_folder_without_a_readme_is_found() {
        check_files(
            &[("testdata/vectors/a/b/good", "x")],
            &[
                "testdata/vectors/a/README.md",
                "testdata/vectors/a/b/README.md",
            ],
        );
    }
}
