//! The module for Go, where there is a Go.

use std::process::Command;

use crate::installed::{Installed, has, run, workspace};

/// What `go` prints about the module with each of these arguments, in this environment; nothing where
/// something is missing that builds it, which is noted.
fn go(all: &[&[&str]], env: &[(&str, &str)]) -> Option<String> {
    if !has("go", "version") || !has("cc", "--version") || !has("pkg-config", "--version") {
        return None;
    }
    let installed = Installed::new();
    let cache = tempfile::tempdir().unwrap();
    let go = |arguments: &&[&str]| {
        let mut command = Command::new("go");
        command
            .args(*arguments)
            .current_dir(workspace().join("sdks/go"));
        // Nothing is fetched: the module has no dependencies.
        command
            .env("GOFLAGS", "-mod=mod")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local");
        command.env("GOCACHE", cache.path().join("cache"));
        command.env("GOPATH", cache.path().join("path"));
        command.env("PKG_CONFIG_PATH", installed.lib().join("pkgconfig"));
        command
            .env("LD_LIBRARY_PATH", installed.lib())
            .env("DYLD_LIBRARY_PATH", installed.lib());
        command
            .env_remove("CES_ENCRYPTION_KEY")
            .env_remove("PROPELLER_TEST_LARGE")
            .envs(env.iter().copied());
        String::from_utf8(run(command)).unwrap()
    };
    Some(all.iter().map(go).collect())
}

#[test]
fn the_go_modules_own_tests_pass() {
    let all: [&[&str]; 2] = [&["vet", "./..."], &["test", "-count=1", "-v", "./..."]];
    let Some(printed) = go(&all, &[]) else {
        return;
    };
    let passed = printed.matches("--- PASS: ").count();
    assert!(passed >= 10, "only {passed} tests:\n{printed}");
    let skipped = printed.matches("--- SKIP: ").count();
    let why = printed.matches("`cargo xtask soak` runs it").count();
    assert_eq!((skipped, why), (1, 1), "{printed}");
}

#[test]
#[ignore = "takes 9 GiB of memory: run by `cargo xtask soak`"]
fn soak_more_than_two_gibibytes_come_back_in_go() {
    let name = "TestMoreThanTwoGibibytesComeBack";
    let test: &[&str] = &["test", "-count=1", "-v", "-run", name, "."];
    let printed = go(&[test], &[("PROPELLER_TEST_LARGE", "1")]);
    let printed = printed.expect("a soak has a go, a cc and a pkg-config");
    assert!(printed.contains(&format!("--- PASS: {name}")), "{printed}");
}
