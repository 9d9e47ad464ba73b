//! A generated file is what its program prints.

use std::io::{self, ErrorKind};

use super::Finding;

const FIX: &str = "run `cargo xtask generate` and commit the result";

/// Compares a file as it was read with what its program printed.
pub(super) fn check(path: &str, read: io::Result<Vec<u8>>, expected: &[u8]) -> Option<Finding> {
    let (line, what) = match read {
        Ok(actual) if actual == expected => return None,
        Ok(actual) => (
            first_difference(&actual, expected),
            "the generated file is stale".to_owned(),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            (1, "the generated file is missing".to_owned())
        }
        Err(error) => (1, format!("the generated file cannot be read: {error}")),
    };
    Some(Finding {
        path: path.to_owned(),
        line,
        what,
        why: "readers trust it to match the program",
        fix: FIX.to_owned(),
    })
}

pub(super) fn cannot_print(path: &str, reason: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line: 1,
        what: format!("generated files cannot be compared: {reason}"),
        why: "nobody knows whether they are fresh",
        fix: "make the program build and print".to_owned(),
    }
}

fn first_difference(actual: &[u8], expected: &[u8]) -> usize {
    let same = actual
        .split(|byte| *byte == b'\n')
        .zip(expected.split(|byte| *byte == b'\n'));
    1 + same
        .take_while(|(actual, expected)| actual == expected)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(read: io::Result<Vec<u8>>, expected: Option<(usize, &str)>) {
        let found = check("a.json", read, b"a\nb\n");
        let found = found.as_ref().map(|finding| (finding.line, &*finding.what));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_fresh_file_passes() {
        check_file(Ok(b"a\nb\n".to_vec()), None);
    }

    #[test]
    fn a_stale_file_is_found_at_its_first_difference() {
        let stale = "the generated file is stale";
        check_file(Ok(b"a\nc\n".to_vec()), Some((2, stale)));
        check_file(Ok(b"a\nb\nc\n".to_vec()), Some((3, stale)));
    }

    #[test]
    fn a_missing_file_is_found() {
        let missing = Err(ErrorKind::NotFound.into());
        check_file(missing, Some((1, "the generated file is missing")));
    }

    #[test]
    fn a_program_that_does_not_build_is_reported() {
        let finding = cannot_print("a.json", "it does not build");
        assert!(finding.what.ends_with("it does not build"));
    }
}
