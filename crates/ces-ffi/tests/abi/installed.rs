//! The library, installed into a temporary folder as `install.sh` does it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn workspace() -> PathBuf {
    crate_folder().join("../..").canonicalize().unwrap()
}

/// Where cargo put the libraries that this test was built with: beside the test.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let is_there = |folder: &Path| folder.join("libpropeller_ces_ffi.a").is_file();
    let found = [folder, folder.parent().unwrap()]
        .into_iter()
        .find(|folder| is_there(folder));
    found
        .expect("cargo builds the libraries beside the test")
        .to_owned()
}

/// A folder with `lib` and `include`.
pub(crate) struct Installed {
    pub(crate) folder: TempDir,
}

impl Installed {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut install = Command::new("sh");
        install.arg(crate_folder().join("install.sh"));
        install.arg("--prefix").arg(folder.path());
        install.arg("--libraries").arg(built()).arg("--pangea");
        run(install);
        Self { folder }
    }

    pub(crate) fn lib(&self) -> PathBuf {
        self.folder.path().join("lib")
    }

    pub(crate) fn include(&self) -> PathBuf {
        self.folder.path().join("include")
    }

    pub(crate) fn shared(&self) -> PathBuf {
        let names = ["libpropeller_ces.so", "libpropeller_ces.dylib"];
        let found = names
            .map(|name| self.lib().join(name))
            .into_iter()
            .find(|path| path.exists());
        found.expect("the shared library is installed")
    }
}

/// What the command printed; panics with all of it if it failed.
pub(crate) fn run(mut command: Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether `program` runs; tells that the test is skipped if it does not.
pub(crate) fn has(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let is_there = command.status().is_ok_and(|status| status.success());
    if !is_there {
        skipped(&format!("there is no {program}"));
    }
    is_there
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

#[test]
fn what_cannot_be_installed_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["--prefix"], "--prefix needs a folder after it"),
        (&["--prefix", ""], "--prefix needs a folder after it"),
        (&["--pangea", "--libraries"], "--libraries needs a folder"),
        (&["--prefix", "here"], "from / on"),
        (&["--prefix", "/tmp/with space"], "does not carry"),
        (&["--prefix", "/tmp/a|b&c"], "does not carry"),
        (&["--frobnicate"], "unknown argument: --frobnicate"),
    ];
    for (arguments, expected) in cases {
        let mut install = Command::new("sh");
        install.arg(crate_folder().join("install.sh"));
        install.args(arguments).current_dir(folder.path());
        let output = install.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// With `CDPATH`, `cd` goes elsewhere, and prints where.
#[test]
fn a_relative_name_and_a_cdpath_install_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut install = Command::new("sh");
    install.args(["crates/ces-ffi/install.sh", "--libraries"]);
    install.arg(built()).current_dir(workspace());
    install.args(["--prefix", "/opt/ces"]);
    install
        .env("DESTDIR", folder.path())
        .env("CDPATH", workspace());
    run(install);
    let config = folder.path().join("opt/ces/lib/pkgconfig/propeller-ces.pc");
    let config = std::fs::read_to_string(config).unwrap();
    assert!(config.starts_with("prefix=/opt/ces\n"), "{config}");
}
