//! Every Rust file opens with `//!`, so that a reader learns first what it is.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| Finding {
            path: file.path.clone(),
            line: 1,
            what: "the file does not open with `//!`".to_owned(),
            why: "a reader wants to know first what a file is",
            fix: "begin it with one sentence that says so".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: usize) {
        assert_eq!(check(&Tree::of(&[("src/a.rs", text)])).len(), expected);
    }

    #[test]
    fn a_file_with_a_head_passes() {
        check_text("//! What it is.\n#![no_std]\n", 0);
    }

    #[test]
    fn code_an_attribute_and_a_shebang_are_no_head() {
        check_text("fn main() {}\n", 1);
        check_text("#![no_std]\n//! Too late.\n", 1);
        check_text("#!/usr/bin/env run\n//! Too late.\n", 1);
        check_text("", 1);
    }
}
