//! The module for Go, where there is a Go.

use std::process::Command;

use crate::installed::{Installed, has, run, workspace};

#[test]
fn the_go_modules_own_tests_pass() {
    if !has("go", "version") || !has("cc", "--version") || !has("pkg-config", "--version") {
        return;
    }
    let installed = Installed::new();
    let cache = tempfile::tempdir().unwrap();
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command
            .args(arguments)
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
        command.env_remove("CES_ENCRYPTION_KEY");
        run(command)
    };
    go(&["vet", "./..."]);
    let printed = String::from_utf8(go(&["test", "-count=1", "-v", "./..."])).unwrap();
    let passed = printed.matches("--- PASS: ").count();
    assert!(passed >= 10, "only {passed} tests:\n{printed}");
}
