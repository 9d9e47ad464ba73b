//! The escaped guest is in a test and in nothing that is shipped.
//!
//! Its feature lets a child run a function in place of a guest. No manifest but the sandbox's may
//! name it, that one in no other feature, and nobody but its test may call what it adds: so even a
//! build with all features has no program in which a guest is let out.

use super::{Finding, Tree};

/// The feature.
const FEATURE: &str = concat!("escaped", "-guest");
/// What it adds.
const ENTRY: &str = concat!("enter", "_with");
/// The crate that has both.
const HOME: &str = "crates/sandbox/";
/// Who runs the test.
const RUNS: &str = "xtask/src/test.rs";
/// How lines of the crate's own manifest may begin that name the feature.
const DECLARES: [&str; 3] = [
    "#",
    "required-features = [",
    concat!("escaped", "-guest = ["),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let texts = tree.texts().filter(|(file, _)| !file.path.ends_with(".md"));
    let findings = texts.flat_map(|(file, text)| {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| escapes(&file.path, line));
        lines.map(|(index, _)| Finding {
            path: file.path.clone(),
            line: index + 1,
            what: "the escaped guest outside of its test".to_owned(),
            why: "a program that is shipped must not be able to let a guest out",
            fix: "keep it in the sandbox's test `escape`".to_owned(),
        })
    });
    findings.collect()
}

/// Whether `line` of the file at `path` brings the escaped guest to where it may not be.
fn escapes(path: &str, line: &str) -> bool {
    let named = line.contains(FEATURE);
    match path.strip_prefix(HOME) {
        Some("Cargo.toml") => named && !DECLARES.iter().any(|begin| line.starts_with(begin)),
        Some(_) => false,
        None => line.contains(ENTRY) || (named && path != RUNS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, line: &str, expected: bool) {
        let line = line.replace("FEATURE", FEATURE).replace("ENTRY", ENTRY);
        assert_eq!(escapes(path, &line), expected, "{path}: {line}");
    }

    #[test]
    fn no_manifest_turns_it_on() {
        let on = r#"propeller-sandbox = { workspace = true, features = ["FEATURE"] }"#;
        check("apps/proplet/Cargo.toml", on, true);
        check("Cargo.toml", on, true);
        check(
            "apps/proplet/Cargo.toml",
            r#"all = ["propeller-sandbox/FEATURE"]"#,
            true,
        );
        check(
            "crates/sandbox/Cargo.toml",
            r#"default = ["FEATURE"]"#,
            true,
        );
        check("crates/sandbox/Cargo.toml", r#"    "FEATURE","#, true);
        check(
            "crates/sandbox/Cargo.toml",
            r#"FEATURE = ["wasmtime"]"#,
            false,
        );
        check(
            "crates/sandbox/Cargo.toml",
            r#"required-features = ["FEATURE"]"#,
            false,
        );
    }

    #[test]
    fn nobody_else_calls_it() {
        check("apps/proplet/src/main.rs", "ENTRY(Locks::ALL, free);", true);
        check(
            "crates/sandbox/tests/escape/main.rs",
            "ENTRY(locks, escaped);",
            false,
        );
        check("xtask/src/test.rs", "\"propeller-sandbox/FEATURE\",", false);
        check(
            ".ci/run",
            "cargo build --features propeller-sandbox/FEATURE",
            true,
        );
    }
}
