//! Counts what the test binaries report, and what could not run.

use std::fmt::{self, Write as _};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    /// Ignored by an attribute: counted by the test binaries, never as passed.
    ignored: u64,
    /// Recorded by tests that returned early, which the test binaries count as passed.
    recorded: u64,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    /// Takes in one line of `cargo test`.
    pub(super) fn read_line(&mut self, line: &str) {
        if let Some((_, counts)) = line.split_once("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
        } else if let Some((name, result)) = report(line) {
            if result == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = result.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let reason = if reason.is_empty() { "ignored" } else { reason };
                self.skips.push(format!("{name}: {reason}"));
            }
        }
    }

    /// Takes in the file to which tests that cannot run append `SKIPPED name: reason`.
    pub(super) fn record_skips(&mut self, text: &str) {
        let mut skips: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("SKIPPED "))
            .collect();
        skips.sort_unstable();
        // A test that looks for two missing things is still one test.
        skips.dedup_by_key(|skip| name_of(skip));
        for skip in skips {
            self.recorded += 1;
            self.skips.push(skip.to_owned());
        }
    }

    /// One line per failed and per skipped test.
    pub(super) fn details(&self) -> String {
        let mut text = String::new();
        for name in &self.failures {
            writeln!(text, "failed: {name}").expect("a string takes every write");
        }
        for skip in &self.skips {
            writeln!(text, "skipped: {skip}").expect("a string takes every write");
        }
        text
    }

    /// Why the run as a whole did not pass.
    pub(super) fn verdict(&self, cargo_passed: bool) -> Result<(), &'static str> {
        if self.failed > 0 {
            Err("some tests failed")
        } else if !cargo_passed {
            Err(
                "`cargo test` failed outside of a test: it did not build, or a test program crashed",
            )
        } else if self.really_passed() == 0 {
            Err("no test ran")
        } else {
            Ok(())
        }
    }

    fn really_passed(&self) -> u64 {
        self.passed.saturating_sub(self.recorded)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.really_passed();
        let skipped = self.ignored + self.recorded;
        write!(
            f,
            "{passed} passed, {} failed, {skipped} skipped",
            self.failed
        )
    }
}

/// The number before `word` in `ok. 5 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    counts
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        .unwrap_or(0)
}

/// The name and the result in `test NAME ... RESULT`.
fn report(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

/// Names of tests contain `::`, so the colon that ends one is followed by a space.
fn name_of<'a>(skip: &&'a str) -> &'a str {
    skip.split_once(": ").map_or(*skip, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str, skips: &str) -> Tally {
        let mut tally = Tally::default();
        for line in output.lines() {
            tally.read_line(line);
        }
        tally.record_skips(skips);
        tally
    }

    fn check(output: &str, skips: &str, expected: &str) {
        assert_eq!(tally(output, skips).to_string(), expected);
    }

    const GOOD: &str = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out";

    #[test]
    fn the_counts_of_all_binaries_are_added() {
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        let both = format!("{GOOD}\nrunning 5 tests\n{bad}");
        check(&both, "", "8 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_skip_is_not_a_pass() {
        let skips = "SKIPPED a::b: no broker\nSKIPPED a::c: no Python\n";
        check(GOOD, skips, "3 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn a_test_that_misses_two_things_is_skipped_once() {
        let skips = "SKIPPED a::b: no broker\nSKIPPED a::b: no Python\nnoise\n";
        check(GOOD, skips, "4 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn every_failure_and_every_skip_is_named() {
        let output = "test a ... ok\ntest b ... FAILED\ntest c ... ignored, needs a TEE\n\
                      test d - (line 3) ... ignored";
        let details = tally(output, "SKIPPED e: no broker").details();
        assert_eq!(
            details,
            "failed: b\nskipped: c: needs a TEE\nskipped: d - (line 3): ignored\n\
             skipped: e: no broker\n"
        );
    }

    #[test]
    fn a_run_passes_only_if_a_test_passed_and_cargo_agrees() {
        assert_eq!(tally(GOOD, "").verdict(true), Ok(()));
        assert!(tally(GOOD, "").verdict(false).is_err());
        assert_eq!(tally("", "").verdict(true), Err("no test ran"));
        let failed = tally("test result: FAILED. 1 passed; 1 failed; 0 ignored", "");
        assert_eq!(failed.verdict(false), Err("some tests failed"));
    }
}
