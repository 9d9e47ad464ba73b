//! `cargo xtask generate`: writes the files that the product can print about itself.

use std::{collections::BTreeSet, fs, path::Path, process::ExitCode};

use crate::{metadata::Metadata, run};

/// A checked-in file and the program that prints it.
pub(crate) struct Generated {
    pub(crate) path: &'static str,
    pub(crate) package: &'static str,
    pub(crate) args: &'static [&'static str],
}

pub(crate) const GENERATED: [Generated; 3] = [
    Generated {
        path: "openapi/propeller.json",
        package: "propeller",
        args: &["print", "openapi"],
    },
    Generated {
        path: "docs/book/cli.md",
        package: "propeller",
        args: &["print", "cli"],
    },
    Generated {
        path: "docs/book/config.md",
        package: "propeller",
        args: &["print", "config"],
    },
];

pub(crate) fn run(metadata: &Metadata, _args: &[String]) -> Result<ExitCode, String> {
    let root = &metadata.workspace_root;
    build(root)?;
    for generated in &GENERATED {
        let content = generated.print(root)?;
        let path = root.join(generated.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| {
                format!("cannot create the folder of {}: {error}", generated.path)
            })?;
        }
        fs::write(&path, content)
            .map_err(|error| format!("cannot write {}: {error}", generated.path))?;
        println!("{}", generated.path);
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds what prints, so that a broken build is reported once and not per file.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    let packages: BTreeSet<&str> = GENERATED.iter().map(|file| file.package).collect();
    let mut command = run::cargo(root);
    command.args(["build", "--quiet", "--locked"]);
    for package in packages {
        command.args(["-p", package]);
    }
    run::output(command).map(drop)
}

impl Generated {
    /// What the file has to contain.
    pub(crate) fn print(&self, root: &Path) -> Result<Vec<u8>, String> {
        let mut command = run::cargo(root);
        command.args(["run", "--quiet", "--locked", "-p", self.package, "--"]);
        command.args(self.args);
        run::output(command)
    }
}
