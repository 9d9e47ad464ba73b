//! Relative links in Markdown lead to files that exist.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        if !file.path.ends_with(".md") {
            continue;
        }
        for (line, target) in links(text) {
            if leads_nowhere(tree, &file.path, &target) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line,
                    what: format!("the link `{target}` leads nowhere"),
                    why: "a reader who follows it is lost",
                    fix: "correct the path or drop the link".to_owned(),
                });
            }
        }
    }
    findings
}

fn leads_nowhere(tree: &Tree, from: &str, target: &str) -> bool {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    if path.is_empty() || is_absolute(target) {
        return false;
    }
    let path = path.replace("%20", " ");
    resolve(from, &path).is_none_or(|path| !tree.has(&path))
}

fn is_absolute(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// The path from the root; `None` when it leaves the project.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Targets with their lines, outside of code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for opening in ["](", "src=\"", "href=\""] {
            let close = if opening == "](" { ')' } else { '"' };
            let targets = line
                .split(opening)
                .skip(1)
                .filter_map(|rest| rest.split(close).next());
            found.extend(targets.map(|target| (number, bare(target))));
        }
        let definition = line.trim_start().strip_prefix('[');
        if let Some((label, target)) = definition.and_then(|rest| rest.split_once("]:"))
            && !label.contains(']')
        {
            found.push((number, bare(target)));
        }
    }
    found
}

/// A target without its title and its angle brackets.
fn bare(target: &str) -> String {
    let target = target.trim();
    match target
        .strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
    {
        Some((inner, _)) => inner.to_owned(),
        None => target
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// The numbered lines of a Markdown text without code blocks and code spans.
pub(super) fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|m| start.starts_with(m));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (Some(_), _) => {}
            (None, None) => lines.push((index + 1, without_code(line))),
        }
    }
    lines
}

/// A line without what it puts between backticks.
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: &[&str]) {
        let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", "")]);
        let found = check(&tree);
        let found: Vec<&str> = found.iter().map(|finding| &*finding.what).collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|target| format!("the link `{target}` leads nowhere"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        check_text(
            "[b](b.md) ![x](../README.md \"title\") [d](../docs/#part)",
            &[],
        );
        check_text("[b]: ./b.md\n<img src=\"/README.md\"> [here](#here)", &[]);
    }

    #[test]
    fn other_places_are_not_ours_to_check() {
        check_text("[w](https://example.org/a) [m](mailto:a@example.org)", &[]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check_text("[c](c.md#part)", &["c.md#part"]);
        check_text("[up](../../up.md)", &["../../up.md"]);
        check_text("[c]: c.md\n<a href=\"d.md\">", &["c.md", "d.md"]);
    }

    #[test]
    fn code_is_not_a_link() {
        check_text("`[c](c.md)`\n```\n[c](c.md)\n```\n", &[]);
    }
}
