//! Fetches what tests use from npm: an emulator of Azure Blob Storage, and Microsoft's client, which
//! looks at what is in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::provision;
use crate::run;

/// A package for Node. What a server does belongs to its version, so it is pinned.
struct Package {
    name: &'static str,
    version: &'static str,
}

const PACKAGES: [Package; 2] = [
    // The last one that runs on the Node of Debian 12.
    Package {
        name: "azurite",
        version: "3.35.0",
    },
    // The same holds for this one.
    Package {
        name: "@azure/storage-blob",
        version: "12.26.0",
    },
];

/// The folder in which Node finds the packages.
pub(super) fn install(target: &Path) -> Result<PathBuf, String> {
    let home = target.join("xtask-node");
    let modules = home.join("node_modules");
    let missing = || PACKAGES.iter().find(|package| !package.is_there(&modules));
    if missing().is_none() {
        return Ok(modules);
    }
    provision::in_path_or_installed("npm", "npm")?;
    let wanted = PACKAGES.iter();
    let wanted: Vec<String> = wanted
        .map(|Package { name, version }| format!("{name}@{version}"))
        .collect();
    println!("installing {} with npm", wanted.join(" and "));
    let mut command = Command::new("npm");
    command.args(["install", "--prefix"]).arg(&home);
    // None of them has to be built, and nobody asks for what else npm has to say.
    command.args(["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
    command.args(wanted);
    run::output(command)?;
    match missing() {
        Some(package) => Err(format!("npm brought no {}", package.name)),
        None => Ok(modules),
    }
}

impl Package {
    fn is_there(&self, modules: &Path) -> bool {
        let description = modules.join(self.name).join("package.json");
        fs::read_to_string(description).is_ok_and(|text| self.is_described(&text))
    }

    fn is_described(&self, text: &str) -> bool {
        let described = serde_json::from_str::<serde_json::Value>(text);
        described.is_ok_and(|described| described["version"] == self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_another_version_is_not_there() {
        let azurite = &PACKAGES[0];
        for (text, is_there) in [
            (r#"{"name": "azurite", "version": "3.35.0"}"#, true),
            (r#"{"name": "azurite", "version": "3.36.0"}"#, false),
            (r#"{"name": "azurite"}"#, false),
            ("", false),
        ] {
            assert_eq!(azurite.is_described(text), is_there, "{text}");
        }
        assert!(!azurite.is_there(Path::new("no-such-folder")));
    }
}
