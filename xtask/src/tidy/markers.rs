//! A note to do something later names the issue that will do it.

use super::{
    Finding, Tree,
    links::{prose, without_code},
    rust::{Source, words},
};

const MARKERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Foreign bytes, where the words mean nothing.
const FOREIGN: [&str; 2] = ["testdata/", "LICENSE"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        if FOREIGN.iter().any(|prefix| file.path.starts_with(prefix)) {
            continue;
        }
        let notes = notes(&file.path, text);
        for marker in MARKERS {
            for (line, after) in words(&notes, marker) {
                if !names_an_issue(after) {
                    findings.push(Finding {
                        path: file.path.clone(),
                        line,
                        what: format!("`{marker}` without an issue"),
                        why: "nobody comes back to it",
                        fix: format!("do it, or write `{marker}(#N)`"),
                    });
                }
            }
        }
    }
    findings
}

fn names_an_issue(after: &str) -> bool {
    let number = after
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'));
    number
        .is_some_and(|(number, _)| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

/// The text in which the words count, line by line as in the file.
fn notes(path: &str, text: &str) -> String {
    if path.ends_with(".md") {
        let mut lines = vec![String::new(); text.lines().count()];
        for (number, line) in prose(text) {
            lines[number - 1] = line;
        }
        return lines.join("\n");
    }
    let text = match path.ends_with(".rs") {
        true => Source::parse(text).comments,
        false => text.to_owned(),
    };
    text.lines()
        .map(without_code)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: &str = MARKERS[0];

    fn check_text(path: &str, text: &str, expected: &[usize]) {
        let found = check(&Tree::of(&[(path, text)]));
        let found: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_note_with_an_issue_passes() {
        check_text("a.rs", &format!("// {LATER}(#12): later"), &[]);
    }

    #[test]
    fn a_note_without_an_issue_is_found() {
        check_text("a.rs", &format!("fn f() {{}}\n// {LATER}: later"), &[2]);
        check_text("a.sh", &format!("# {LATER}(me)"), &[1]);
        check_text("a.md", &format!("{} (#)", MARKERS[1]), &[1]);
    }

    #[test]
    fn a_word_that_is_quoted_or_part_of_another_is_no_note() {
        check_text("a.rs", &format!("f(\"{LATER}\"); // `{LATER}`"), &[]);
        check_text("a.md", &format!("`{LATER}` and {LATER}S"), &[]);
        check_text("testdata/a.txt", LATER, &[]);
    }
}
