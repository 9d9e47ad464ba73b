//! Reads the lists that ARCHITECTURE.md keeps between markers, for people and for the checks.

use super::{Finding, Tree};

pub(super) const PATH: &str = "ARCHITECTURE.md";

/// The numbered lines between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
pub(super) fn block<'a>(tree: &'a Tree, name: &str) -> Result<Vec<(usize, &'a str)>, Finding> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    let text = tree.text(PATH).unwrap_or_default();
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let found = lines.any(|(_, line)| line.trim() == begin);
    let mut block = Vec::new();
    for (number, line) in lines {
        if line.trim() == end {
            return Ok(block);
        }
        block.push((number, line));
    }
    let what = if found { end } else { begin };
    Err(Finding {
        path: PATH.to_owned(),
        line: 1,
        what: format!("the line `{what}` is missing"),
        why: "a check reads the list at that place",
        fix: format!("put the list between `{name}:begin` and `{name}:end`"),
    })
}

/// The texts between backticks of a line.
pub(super) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_stands_between_its_markers() {
        let text = "# A\n<!-- list:begin -->\none\n<!-- list:end -->\n";
        let tree = Tree::of(&[(PATH, text)]);
        assert_eq!(block(&tree, "list").unwrap(), [(3, "one")]);
    }

    #[test]
    fn a_missing_marker_is_a_finding() {
        let tree = Tree::of(&[(PATH, "<!-- list:begin -->\none\n")]);
        assert!(block(&tree, "list").unwrap_err().what.contains("list:end"));
        assert!(
            block(&tree, "other")
                .unwrap_err()
                .what
                .contains("other:begin")
        );
        assert!(block(&Tree::of(&[]), "list").is_err());
    }

    #[test]
    fn a_line_yields_what_it_quotes() {
        assert!(code_spans("- `a.rs`: why, `b.rs`").eq(["a.rs", "b.rs"]));
    }
}
