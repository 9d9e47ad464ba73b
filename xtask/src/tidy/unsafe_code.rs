//! `unsafe` lives in the files that ARCHITECTURE.md lists with a reason each.

use std::collections::BTreeMap;

use super::{
    Finding, Tree, architecture,
    rust::{Source, words},
};

const KEYWORD: &str = "unsafe";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let block = match architecture::block(tree, "unsafe") {
        Ok(block) => block,
        Err(finding) => return vec![finding],
    };
    let listed: BTreeMap<&str, usize> = block
        .iter()
        .flat_map(|(number, line)| architecture::code_spans(line).map(|path| (path, *number)))
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect();
    let used: BTreeMap<&str, usize> = tree
        .rust()
        .filter_map(|(file, text)| Some((&*file.path, first_use(text)?)))
        .collect();
    let unlisted = used
        .iter()
        .filter(|(path, _)| !listed.contains_key(*path))
        .map(|(path, line)| Finding {
            path: (*path).to_owned(),
            line: *line,
            what: "`unsafe` in a file that is not listed for it".to_owned(),
            why: "a reviewer has to know every place",
            fix: format!("write it safely, or list it in {}", architecture::PATH),
        });
    let stale = listed
        .iter()
        .filter(|(path, _)| !used.contains_key(*path))
        .map(|(path, line)| Finding {
            path: architecture::PATH.to_owned(),
            line: *line,
            what: format!("`{path}` has no `unsafe`"),
            why: "a stale exception hides the next one",
            fix: "take it off the list".to_owned(),
        });
    unlisted.chain(stale).collect()
}

fn first_use(text: &str) -> Option<usize> {
    let code = Source::parse(text).code;
    words(&code, KEYWORD).map(|(line, _)| line).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "<!-- unsafe:begin -->\n- `src/a.rs`: a reason\n<!-- unsafe:end -->\n";

    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let mut all = vec![(architecture::PATH, LIST)];
        all.extend(files);
        let found = check(&Tree::of(&all));
        let found: Vec<String> = found
            .iter()
            .map(|finding| format!("{}:{}", finding.path, finding.line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_listed_file_may_use_it() {
        check_files(&[("src/a.rs", "unsafe { f() }")], &[]);
    }

    #[test]
    fn a_word_in_a_comment_a_string_or_a_lint_is_no_use() {
        let text = "#![forbid(unsafe_code)]\n// unsafe\nf(\"unsafe\");";
        let files = [("src/a.rs", "unsafe fn f() {}"), ("src/b.rs", text)];
        check_files(&files, &[]);
    }

    #[test]
    fn an_unlisted_file_is_found() {
        let files = [
            ("src/a.rs", "unsafe {}"),
            ("src/b.rs", "fn f() {\n unsafe {} }"),
        ];
        check_files(&files, &["src/b.rs:2"]);
    }

    #[test]
    fn a_stale_entry_is_found() {
        check_files(&[("src/a.rs", "fn f() {}")], &["ARCHITECTURE.md:2"]);
    }
}
