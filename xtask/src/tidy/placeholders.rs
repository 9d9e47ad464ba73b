//! What is committed is done: no ignored tests without a reason, no code that gives up.

use super::{
    Finding, Tree,
    rust::{Source, words},
};

const MACROS: [&str; 2] = ["todo", "unimplemented"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|(file, text)| of_file(&file.path, &Source::parse(text).code))
        .collect()
}

fn of_file(path: &str, code: &str) -> Vec<Finding> {
    let ignored = words(code, "#[ignore")
        .filter(|(_, after)| after.trim_start().starts_with(']'))
        .map(|(line, _)| Finding {
            path: path.to_owned(),
            line,
            what: "a test is ignored without a reason".to_owned(),
            why: "nobody knows when it may run again",
            fix: "run it, or write `#[ignore = \"reason\"]`".to_owned(),
        });
    let unfinished = MACROS.into_iter().flat_map(|name| {
        words(code, name)
            .filter(|(_, after)| after.starts_with('!'))
            .map(move |(line, _)| Finding {
                path: path.to_owned(),
                line,
                what: format!("`{name}!` panics when it is reached"),
                why: "what is committed works",
                fix: "write it, or leave the whole feature out".to_owned(),
            })
    });
    ignored.chain(unfinished).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: &[usize]) {
        let found = check(&Tree::of(&[("a.rs", text)]));
        let found: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_reason_and_a_quoted_word_pass() {
        check_text("#[ignore = \"needs a TEE\"]\nfn a() {}", &[]);
        check_text("// todo!()\nf(\"todo!()\"); let todo = a[ignore];", &[]);
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_found() {
        check_text("#[test]\n#[ignore]\nfn a() {}", &[2]);
    }

    #[test]
    fn code_that_gives_up_is_found() {
        check_text(
            "fn a() {\n    todo!()\n}\nfn b() { unimplemented!(\"x\") }",
            &[2, 4],
        );
    }
}
