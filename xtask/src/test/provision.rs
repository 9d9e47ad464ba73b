//! Finds or installs what tests use: a broker, a second implementation's Python, runtimes, a
//! registry, and servers of object stores.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::{packages, runtimes};
use crate::run;

/// Where Debian puts servers; a person's PATH often lacks it.
const SERVER_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Seconds to wait for another package installation, and for a silent mirror.
const APT_OPTIONS: [&str; 6] = [
    "-o",
    "DPkg::Lock::Timeout=60",
    "-o",
    "Acquire::http::Timeout=30",
    "-o",
    "Acquire::Retries=1",
];

/// A package for Python.
struct Module {
    /// What to ask pip for.
    requirement: &'static str,
    /// What fails where the package is not there, or is for another platform.
    proof: &'static str,
}

/// What our second implementation needs.
const CRYPTOGRAPHY: Module = Module {
    requirement: "cryptography",
    // The compiled half of the module is what a wrong platform breaks.
    proof: "import cryptography.hazmat.primitives.ciphers.aead",
};

/// What fewer tests need; each of them skips by itself where its module is not there.
const FURTHER: [Module; 6] = [
    // A broker that knows only MQTT 3.1.1. A broker's quirks belong to its version, so it is pinned.
    Module {
        requirement: "amqtt==0.12.1",
        proof: "import amqtt.broker",
    },
    // The second implementation of CES.
    Module {
        requirement: "blake3",
        proof: "import blake3",
    },
    Module {
        requirement: "PyNaCl",
        proof: "import nacl.bindings",
    },
    Module {
        requirement: "zstandard",
        proof: "import zstandard",
    },
    // What builds the Python package; pip looks for it beside the package, without the network.
    Module {
        requirement: "setuptools>=70.1",
        // In this order: the other way round, pip hides what is not there.
        proof: "import setuptools.command.bdist_wheel, pip",
    },
    // A server that speaks S3.
    Module {
        requirement: "moto[server]",
        proof: "import moto.server",
    },
];

/// Debian packages with a program of the same name: a registry, another tool for images, a TPM, and
/// what finds a C program's mistakes with memory.
const TOOLS: [&str; 4] = ["docker-registry", "skopeo", "swtpm", "valgrind"];

/// Compilers of the languages that have bindings, and what finds a library for them, by program and
/// package.
const COMPILERS: [(&str, &str); 3] = [
    ("go", "golang-go"),
    ("c++", "g++"),
    ("pkg-config", "pkg-config"),
];

/// What tests may use, and what they have to do without, each with the reason.
pub(super) struct Provisions {
    pub(super) mosquitto: Option<PathBuf>,
    pub(super) python: Option<Python>,
    pub(super) runtimes: PathBuf,
    /// Where Node finds packages.
    pub(super) node_modules: Option<PathBuf>,
    pub(super) missing: Vec<String>,
}

/// An interpreter that can import at least what our second implementation needs.
pub(super) struct Python {
    pub(super) program: PathBuf,
    /// Where the module lies if the interpreter does not know by itself.
    pub(super) modules: Option<PathBuf>,
    /// What of the further modules it has not, each with the reason: some ask for a newer Python.
    without: Vec<String>,
}

pub(super) fn install(target: &Path) -> Provisions {
    let mut missing = Vec::new();
    let mut keep = |name: &str, reason: String| missing.push(format!("{name}: {reason}"));
    let mosquitto = mosquitto().map_err(|reason| keep("mosquitto", reason)).ok();
    let python = python(target)
        .map_err(|reason| keep("python3 with cryptography", reason))
        .ok();
    let without = python.iter().flat_map(|python| &python.without);
    without.for_each(|reason| keep("a module for python3", reason.clone()));
    let runtimes = runtimes::install(target, &mut missing);
    let node_modules = packages::install(target)
        .map_err(|reason| missing.push(format!("packages for node: {reason}")))
        .ok();
    for package in TOOLS {
        if let Err(reason) = in_path_or_installed(package, package) {
            missing.push(format!("{package}: {reason}"));
        }
    }
    for (program, package) in COMPILERS {
        if let Err(reason) = in_path_or_installed(program, package) {
            missing.push(format!("{package}: {reason}"));
        }
    }
    Provisions {
        mosquitto,
        python,
        runtimes,
        node_modules,
        missing,
    }
}

fn mosquitto() -> Result<PathBuf, String> {
    let find = || run::find("mosquitto", &SERVER_FOLDERS);
    if let Some(found) = find() {
        return Ok(found);
    }
    apt(&["mosquitto"])?;
    find().ok_or_else(|| "the package brought no program of that name".to_owned())
}

pub(super) fn in_path_or_installed(program: &str, package: &str) -> Result<(), String> {
    if run::find(program, &SERVER_FOLDERS).is_some() {
        return Ok(());
    }
    apt(&[package])
}

fn python(target: &Path) -> Result<Python, String> {
    let venv = target.join("xtask-venv");
    let modules = target.join("xtask-python");
    let in_venv = venv.join("bin").join("python3");
    let mut known = known(&in_venv, &modules);
    if let Some(complete) = known.iter().position(Python::is_complete) {
        return Ok(known.swap_remove(complete));
    }
    let without_apt = match run::find("python3", &[]) {
        Some(_) => with_modules(&venv, &modules),
        None => Err("there is no python3".to_owned()),
    };
    let made = without_apt.or_else(|first| {
        apt(&["python3", "python3-venv", "python3-pip"])
            .and_then(|()| with_modules(&venv, &modules))
            .map_err(|second| format!("{first}; {second}"))
    });
    made.or_else(|reason| {
        let half = known.into_iter().find(|p| p.import(&CRYPTOGRAPHY).is_ok());
        half.map(|python| python.lacking(&reason)).ok_or(reason)
    })
}

/// The interpreters worth a try, those of earlier runs included.
fn known(in_venv: &Path, modules: &Path) -> Vec<Python> {
    let chosen = env::var_os(super::PYTHON).map(PathBuf::from);
    let system = PathBuf::from("python3");
    [chosen, Some(system.clone()), Some(in_venv.to_owned())]
        .into_iter()
        .flatten()
        .map(Python::new)
        .chain([Python::new(system).with(modules)])
        .collect()
}

/// Fetches the modules into a virtual environment, or beside one where none can be made.
fn with_modules(venv: &Path, modules: &Path) -> Result<Python, String> {
    match in_venv(venv) {
        Ok(python) => Ok(python),
        Err(first) => beside(modules).map_err(|second| format!("{first}; {second}")),
    }
}

fn in_venv(venv: &Path) -> Result<Python, String> {
    let mut python = Python::new(venv.join("bin").join("python3"));
    let fetch = |module: &Module| pip(Command::new(venv.join("bin").join("python3")), module, &[]);
    // One of an earlier run may be there already, without what was not needed then.
    if python.import(&CRYPTOGRAPHY).is_err() {
        println!("making a virtual environment for Python");
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(venv);
        run::output(create)?;
        fetch(&CRYPTOGRAPHY)?;
        python.import(&CRYPTOGRAPHY)?;
    }
    python.without = further(&python, fetch);
    Ok(python)
}

/// Fetches what is not there of the further modules; what cannot be had, with the reason.
fn further(python: &Python, fetch: impl Fn(&Module) -> Result<(), String>) -> Vec<String> {
    let get = |module: &Module| match python.import(module) {
        Ok(()) => None,
        Err(_) => {
            let got = fetch(module).and_then(|()| python.import(module));
            got.err()
                .map(|why| format!("{}: {why}", module.requirement))
        }
    };
    FURTHER.iter().filter_map(get).collect()
}

fn beside(modules: &Path) -> Result<Python, String> {
    let place = modules.to_string_lossy();
    let python = || Command::new("python3");
    // Newer versions of pip insist on the flag, older ones do not know it.
    let fetch = |module: &Module| {
        pip(
            python(),
            module,
            &["--break-system-packages", "--target", &place],
        )
        .or_else(|_| pip(python(), module, &["--target", &place]))
    };
    let mut python = Python::new(PathBuf::from("python3")).with(modules);
    if python.import(&CRYPTOGRAPHY).is_err() {
        fetch(&CRYPTOGRAPHY)?;
        python.import(&CRYPTOGRAPHY)?;
    }
    python.without = further(&python, fetch);
    Ok(python)
}

fn pip(mut python: Command, module: &Module, args: &[&str]) -> Result<(), String> {
    println!("installing {} with pip", module.requirement);
    python.args(["-m", "pip", "install", "--quiet"]);
    python.arg("--disable-pip-version-check");
    python.args(args).arg(module.requirement);
    run::output(python).map(drop)
}

/// Installs Debian packages, refreshing the package lists only if that is needed.
pub(super) fn apt(packages: &[&str]) -> Result<(), String> {
    let wanted = packages.join(" ");
    if run::find("apt-get", &[]).is_none() {
        return Err(format!(
            "there is no apt-get here; install {wanted} by hand"
        ));
    }
    if !is_root()? {
        return Err(format!(
            "only root may install packages; run `sudo apt-get install {wanted}`"
        ));
    }
    println!("installing {wanted} with apt-get");
    let install = || {
        let mut command = apt_get("install");
        command
            .args(["-y", "--no-install-recommends"])
            .args(packages);
        run::output(command)
    };
    if install().is_ok() {
        return Ok(());
    }
    run::output(apt_get("update"))?;
    install().map(drop)
}

fn apt_get(verb: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.args(APT_OPTIONS).arg(verb);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> Result<bool, String> {
    let mut id = Command::new("id");
    id.arg("-u");
    Ok(run::output(id)?.trim_ascii() == b"0")
}

impl Python {
    fn new(program: PathBuf) -> Self {
        Self {
            program,
            modules: None,
            without: Vec::new(),
        }
    }

    fn with(self, modules: &Path) -> Self {
        Self {
            modules: Some(modules.to_owned()),
            ..self
        }
    }

    fn is_complete(&self) -> bool {
        let mut all = std::iter::once(&CRYPTOGRAPHY).chain(&FURTHER);
        all.all(|module| self.import(module).is_ok())
    }

    /// One that could not be completed, for a reason.
    fn lacking(mut self, reason: &str) -> Self {
        let missing = FURTHER.iter().filter(|module| self.import(module).is_err());
        let missing = missing.map(|module| format!("{}: {reason}", module.requirement));
        self.without = missing.collect();
        self
    }

    fn import(&self, module: &Module) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(["-c", module.proof]);
        if let Some(modules) = &self.modules {
            command.env("PYTHONPATH", modules);
        }
        run::output(command).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_does_not_exist_does_not_work() {
        let python = Python::new(PathBuf::from("no-such-python-here"));
        assert!(!python.is_complete());
    }

    #[test]
    fn the_systems_python_is_tried_before_one_of_ours() {
        let candidates = known(Path::new("venv/bin/python3"), Path::new("modules"));
        let programs: Vec<&Path> = candidates
            .iter()
            .map(|python| &*python.program)
            .filter(|program| !program.is_absolute())
            .collect();
        let expected = ["python3", "venv/bin/python3", "python3"].map(Path::new);
        assert!(programs.ends_with(&expected), "{programs:?}");
    }
}
