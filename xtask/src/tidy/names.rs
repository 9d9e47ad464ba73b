//! No drawers: a file is named after what is in it.

use super::{Finding, Tree};

const BANNED: [&str; 7] = [
    "util.rs",
    "utils.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "misc.rs",
    "types.rs",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| BANNED.contains(&file.name()))
        .map(|file| Finding {
            path: file.path.clone(),
            line: 1,
            what: format!("`{}` is the name of a drawer", file.name()),
            why: "everything fits into a drawer and nothing is found there",
            fix: "name the concept, or move each item to its user".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_of_the_domain_passes() {
        let tree = Tree::of(&[("crates/model/src/task.rs", ""), ("src/subtypes.rs", "")]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn a_drawer_is_found_in_any_folder() {
        let tree = Tree::of(&[("util.rs", ""), ("crates/model/src/types.rs", "")]);
        assert_eq!(check(&tree).len(), 2);
    }
}
