//! Builds or finds the runtimes that guests run on besides our own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::provision;
use crate::run;

/// How long one may take to build. On two cores wasmtime takes four minutes, wasmi one.
const BUILD_MAX: Duration = Duration::from_mins(12);

/// How often a build is asked whether it is done.
const PAUSE: Duration = Duration::from_millis(200);

/// A runtime from crates.io. What it prints is its version's own, so it is pinned.
struct Runtime {
    package: &'static str,
    program: &'static str,
    version: &'static str,
    /// The fewest that can run a module and call a function.
    features: &'static str,
}

const RUNTIMES: [Runtime; 2] = [
    Runtime {
        package: "wasmi_cli",
        program: "wasmi",
        version: "2.0.0",
        // Its other ways from instruction to instruction rely on an optimizer that is not asked to
        // do that much here, and run out of stack.
        features: "run,wasi,validate,portable-dispatch",
    },
    Runtime {
        package: "wasmtime-cli",
        program: "wasmtime",
        version: "48.0.8",
        features: "run,cranelift,component-model",
    },
];

/// The folder with the runtimes that could be had, and what could not.
pub(super) fn install(target: &Path, missing: &mut Vec<String>) -> PathBuf {
    let home = target.join("xtask-runtimes");
    for runtime in &RUNTIMES {
        if let Err(reason) = runtime.install(&home) {
            missing.push(format!("{}: {reason}", runtime.program));
        }
    }
    if run::find("node", &[]).is_none()
        && let Err(reason) = provision::apt(&["nodejs"])
    {
        missing.push(format!("node: {reason}"));
    }
    home.join("bin")
}

impl Runtime {
    fn install(&self, home: &Path) -> Result<(), String> {
        let program = home.join("bin").join(self.program);
        if self.is_there(&program) {
            return Ok(());
        }
        println!("building {} {} for tests", self.package, self.version);
        let build = home.join("build");
        let mut command = run::cargo(&env::temp_dir());
        command
            .args(["install", "--quiet", "--locked", "--force", "--root"])
            .arg(home)
            .arg("--target-dir")
            .arg(&build)
            .args(["--version", &format!("={}", self.version), self.package])
            .args(["--no-default-features", "--features", self.features])
            // The compiler runs for longer than the runtimes do.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env_remove("RUSTFLAGS");
        let built = bounded(command);
        // What it was built from is ten times as large, and of no more use.
        fs::remove_dir_all(&build).ok();
        built?;
        if self.is_there(&program) {
            return Ok(());
        }
        Err("the package brought another version".to_owned())
    }

    fn is_there(&self, program: &Path) -> bool {
        let mut command = Command::new(program);
        command.arg("--version");
        let told = run::output(command).unwrap_or_default();
        String::from_utf8_lossy(&told).trim() == format!("{} {}", self.program, self.version)
    }
}

/// Runs a build to its end, or ends it.
fn bounded(mut command: Command) -> Result<(), String> {
    let child = command.stdin(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("cannot start cargo: {error}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`cargo install` failed: {status}")),
            Ok(None) if begun.elapsed() < BUILD_MAX => thread::sleep(PAUSE),
            Ok(None) => {
                end(&mut child);
                return Err(format!("not built within {} s", BUILD_MAX.as_secs()));
            }
            Err(error) => {
                end(&mut child);
                return Err(format!("cannot wait for cargo: {error}"));
            }
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    child.kill().ok();
    child.wait().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_fails_says_so() {
        let failed = bounded(Command::new("false")).unwrap_err();
        assert!(failed.starts_with("`cargo install` failed"), "{failed}");
    }

    #[test]
    fn a_program_of_another_version_is_not_there() {
        let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        assert!(!RUNTIMES[0].is_there(&cargo));
    }
}
