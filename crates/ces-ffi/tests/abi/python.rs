//! The package for Python, where a Python is named.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::installed::{Installed, run, skipped, workspace};

fn python() -> Option<OsString> {
    let python = std::env::var_os("PROPELLER_TEST_PYTHON");
    if python.is_none() {
        skipped("no Python: run the tests with `cargo xtask test`");
    }
    python
}

/// Runs the package's tests; `packages` is where it is.
fn passes(python: &OsString, packages: &Path, library: Option<&Path>) {
    run(tests(python, packages, library));
}

fn tests(python: &OsString, packages: &Path, library: Option<&Path>) -> Command {
    let sdk = workspace().join("sdks/python");
    let mut command = Command::new(python);
    command.args([
        "-B", "-W", "error", "-m", "unittest", "discover", "-v", "-s",
    ]);
    command.arg(sdk.join("tests")).current_dir(&sdk);
    command
        .env_remove("PROPELLER_TEST_LARGE")
        .env("PYTHONPATH", packages)
        .env_remove("CES_ENCRYPTION_KEY");
    command.env(
        "PROPELLER_TEST_VECTORS",
        workspace().join("testdata/vectors"),
    );
    command.env_remove("PROPELLER_CES_LIBRARY");
    if let Some(library) = library {
        command.env("PROPELLER_CES_LIBRARY", library);
    }
    command
}

#[test]
fn the_python_packages_own_tests_pass() {
    if let Some(python) = python() {
        let installed = Installed::new();
        let sources = workspace().join("sdks/python/src");
        passes(&python, &sources, Some(&installed.shared()));
    }
}

#[test]
#[ignore = "takes 9 GiB of memory: run by `cargo xtask soak`"]
fn soak_more_than_two_gibibytes_come_back_in_python() {
    // Any will do: this test needs no packages.
    let named = std::env::var_os("PROPELLER_TEST_PYTHON");
    let python = named.unwrap_or_else(|| "python3".into());
    let installed = Installed::new();
    let sources = workspace().join("sdks/python/src");
    let mut command = tests(&python, &sources, Some(&installed.shared()));
    command.args(["-k", "test_more_than_two_gibibytes_come_back"]);
    command.env("PROPELLER_TEST_LARGE", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("Ran 1 test") && !said.contains("skipped"),
        "{said}"
    );
}

#[test]
fn pip_installs_the_package_with_the_library_in_it() {
    let Some(python) = python() else {
        return;
    };
    let mut proof = Command::new(&python);
    // The first one that makes wheels by itself.
    proof.args(["-c", "import setuptools.command.bdist_wheel, pip"]);
    if !proof
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return skipped("the Python lacks pip, or setuptools from 70.1 on");
    }
    let installed = Installed::new();
    let folder = tempfile::tempdir().unwrap();
    // pip builds where the sources are: a copy, because this must leave nothing there.
    let copy = folder.path().join("sdk");
    let mut command = Command::new("cp");
    command
        .arg("-r")
        .arg(workspace().join("sdks/python"))
        .arg(&copy);
    run(command);
    let packages = folder.path().join("packages");
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]);
    pip.args([
        "--no-index",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]);
    pip.arg("--target").arg(&packages).arg(&copy);
    pip.env("PROPELLER_CES_LIBRARY", installed.shared());
    run(pip);
    passes(&python, &packages, None);
}
