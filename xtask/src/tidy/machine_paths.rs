//! No path of one person's machine in a file that everybody gets.

use super::{Finding, Tree};

/// Folders that exist on one machine only; each stands at the start of a path.
const FOLDERS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "bash_jobs"),
];
/// Followed by somebody's name.
const HOMES: &str = concat!("/ho", "me/");

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(place) = place(line) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: index + 1,
                    what: format!("a path under `{place}`"),
                    why: "it exists on one machine only",
                    fix: "make it relative, or derive it".to_owned(),
                });
            }
        }
    }
    findings
}

fn place(line: &str) -> Option<&'static str> {
    FOLDERS
        .into_iter()
        .find(|folder| !starts(line, folder).is_empty())
        .or_else(|| {
            starts(line, HOMES)
                .into_iter()
                .any(names_somebody)
                .then_some(HOMES)
        })
}

/// What follows each `folder` that begins a path.
fn starts<'a>(line: &'a str, folder: &str) -> Vec<&'a str> {
    line.match_indices(folder)
        .filter(|(at, _)| !line[..*at].ends_with(is_path))
        .map(|(at, _)| &line[at + folder.len()..])
        .collect()
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || "._-~$}>*".contains(c)
}

fn names_somebody(after: &str) -> bool {
    let name = after.split('/').next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() < after.len() && !name.is_empty() && name.chars().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str, expected: usize) {
        let found = check(&Tree::of(&[("a.md", line)])).len();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn paths_of_the_project_and_of_every_system_pass() {
        check_line("crates/wire/src and /usr/sbin and /tmp/x", 0);
        check_line(&format!("https://example.org{}", FOLDERS[1]), 0);
        check_line(&format!("..{} $HOME/x", FOLDERS[0]), 0);
        check_line(&format!("{HOMES} alone, {HOMES}<name>/"), 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in FOLDERS {
            check_line(&format!("see `{folder}x`"), 1);
        }
        check_line(&format!("cd {HOMES}ann/src"), 1);
    }
}
