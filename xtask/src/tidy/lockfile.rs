//! Dependencies come from a registry: a git source can change or vanish.

use serde::Deserialize;

use super::{Finding, Tree};

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    source: Option<String>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts()
        .filter(|(file, _)| file.name() == "Cargo.lock")
        .flat_map(|(file, text)| of_lock(&file.path, text))
        .collect()
}

fn of_lock(path: &str, text: &str) -> Vec<Finding> {
    let lock: Lock = match toml::from_str(text) {
        Ok(lock) => lock,
        Err(error) => {
            return vec![Finding {
                path: path.to_owned(),
                line: 1,
                what: format!("cannot be read: {}", error.message()),
                why: "builds have to be repeatable",
                fix: "run `cargo generate-lockfile`".to_owned(),
            }];
        }
    };
    lock.package
        .into_iter()
        .filter(|package| is_git(package.source.as_deref()))
        .map(|Locked { name, .. }| Finding {
            path: path.to_owned(),
            line: line_of(text, &name),
            what: format!("`{name}` comes from git"),
            why: "a git source can change or vanish",
            fix: "use a published release".to_owned(),
        })
        .collect()
}

fn is_git(source: Option<&str>) -> bool {
    source.is_some_and(|source| source.starts_with("git+"))
}

fn line_of(text: &str, name: &str) -> usize {
    let wanted = format!("name = \"{name}\"");
    let index = text.lines().position(|line| line == wanted);
    index.map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_lock(text: &str, expected: &[(usize, &str)]) {
        let found = check(&Tree::of(&[("Cargo.lock", text)]));
        let found: Vec<(usize, &str)> = found
            .iter()
            .map(|finding| (finding.line, &*finding.what))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn registry_and_path_packages_pass() {
        let text =
            "[[package]]\nname = \"a\"\nsource = \"registry+x\"\n[[package]]\nname = \"b\"\n";
        check_lock(text, &[]);
    }

    #[test]
    fn a_git_source_is_found() {
        let text = "[[package]]\nname = \"a\"\nsource = \"git+https://example.org/a#1\"\n";
        check_lock(text, &[(2, "`a` comes from git")]);
    }

    #[test]
    fn a_broken_lock_is_found() {
        assert_eq!(check(&Tree::of(&[("Cargo.lock", "[[")])).len(), 1);
    }
}
