//! The policy file, in TOML: `[directory.NAME]`, `[host.NAME]`, `[listen.NAME]`, `[env.NAME]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use propeller_model::Access;
use serde::Deserialize;

use super::{DirectoryRule, EnvRule, HostRule, ListenRule, OWN_VARIABLES, Policy};

/// The largest file that is read, in bytes: thousands of rules.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Why a policy file does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the policy file")]
    Read(#[source] std::io::Error),
    /// Larger than any policy.
    #[error("the policy file has more than {FILE_LEN_MAX} bytes")]
    TooLarge,
    /// It is no TOML, or has a field that there is not.
    #[error("the policy file is malformed: {0}")]
    Malformed(String),
    /// A rule that cannot mean what it says.
    #[error("rule `{rule}`: {why}")]
    Rule {
        /// Section and name.
        rule: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct File {
    directory: BTreeMap<String, DirectorySection>,
    host: BTreeMap<String, HostSection>,
    listen: BTreeMap<String, ListenSection>,
    env: BTreeMap<String, EnvSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectorySection {
    path: PathBuf,
    #[serde(default)]
    access: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostSection {
    names: Vec<String>,
    ports: Vec<u16>,
    #[serde(default)]
    private: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenSection {
    #[serde(default)]
    address: Option<IpAddr>,
    ports: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvSection {
    names: Vec<String>,
}

pub(super) fn read(path: &Path, own: &Path) -> Result<Policy, PolicyError> {
    let len = std::fs::metadata(path).map_err(PolicyError::Read)?.len();
    if len > FILE_LEN_MAX {
        return Err(PolicyError::TooLarge);
    }
    let text = std::fs::read_to_string(path).map_err(PolicyError::Read)?;
    parse(&text, own)
}

/// The rules in `text`.
pub(super) fn parse(text: &str, own: &Path) -> Result<Policy, PolicyError> {
    let malformed = |error: toml::de::Error| PolicyError::Malformed(error.message().to_owned());
    let file: File = toml::from_str(text).map_err(malformed)?;
    let own = real(own);
    let directories = file.directory.into_iter();
    let hosts = file.host.into_iter();
    let listen = file.listen.into_iter();
    let env = file.env.into_iter();
    Ok(Policy {
        there: true,
        directories: directories
            .map(|(name, section)| directory(name, section, &own))
            .collect::<Result<_, _>>()?,
        hosts: hosts
            .map(|(name, section)| host(name, section))
            .collect::<Result<_, _>>()?,
        listen: listen
            .map(|(name, section)| ports(name, section))
            .collect::<Result<_, _>>()?,
        env: env
            .map(|(name, section)| variables(name, section))
            .collect::<Result<_, _>>()?,
    })
}

fn wrong(section: &str, name: &str, why: impl Into<String>) -> PolicyError {
    PolicyError::Rule {
        rule: format!("{section}.{name}"),
        why: why.into(),
    }
}

/// Where a folder is or will be: before the first start it is not there yet, its path may be relative,
/// and what is there of it may be a link.
fn real(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find_map(|part| {
        let rest = absolute.strip_prefix(part).ok()?;
        Some(std::fs::canonicalize(part).ok()?.join(rest))
    });
    there.unwrap_or(absolute)
}

fn directory(
    name: String,
    section: DirectorySection,
    own: &Path,
) -> Result<DirectoryRule, PolicyError> {
    let wrong = |why: String| wrong("directory", &name, why);
    if !section.path.is_absolute() {
        return Err(wrong("path has to be absolute".to_owned()));
    }
    let path = std::fs::canonicalize(&section.path).map_err(|error| wrong(error.to_string()))?;
    if path.starts_with(own) || own.starts_with(&path) {
        return Err(wrong(
            "the proplet's own data directory is in its reach".to_owned(),
        ));
    }
    let access = section
        .access
        .as_deref()
        .map_or(Ok(Access::Read), str::parse);
    let access = access.map_err(|_| wrong("access is `read` or `read-write`".to_owned()))?;
    Ok(DirectoryRule { access, path, name })
}

fn host(name: String, section: HostSection) -> Result<HostRule, PolicyError> {
    let wrong = |why: &str| wrong("host", &name, why);
    let names = section
        .names
        .into_iter()
        .map(|one| one.to_ascii_lowercase());
    let names: Vec<String> = names.collect();
    for one in &names {
        let rest = one.strip_prefix("*.").unwrap_or(one);
        let fits = match rest.parse::<IpAddr>() {
            Ok(_) => rest == one,
            Err(_) => format!("{rest}:1").parse::<propeller_model::Host>().is_ok(),
        };
        if !fits {
            return Err(wrong(
                "names are host names, addresses, or `*.` and a host name",
            ));
        }
    }
    if names.is_empty() || section.ports.is_empty() || section.ports.contains(&0) {
        return Err(wrong(
            "names and ports have to be there, and a port is 1 to 65535",
        ));
    }
    Ok(HostRule {
        names,
        ports: section.ports,
        private: section.private,
        name,
    })
}

fn ports(name: String, section: ListenSection) -> Result<ListenRule, PolicyError> {
    if section.ports.is_empty() || section.ports.contains(&0) {
        return Err(wrong("listen", &name, "ports have to be there, 1 to 65535"));
    }
    Ok(ListenRule {
        name,
        address: section.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ports: section.ports,
    })
}

fn variables(name: String, section: EnvSection) -> Result<EnvRule, PolicyError> {
    // What matches anything else would match nothing, and whoever wrote it would not learn that.
    let beginning = |one: &String| one.strip_suffix('*').unwrap_or(one).to_owned();
    let fits = |beginning: String| !beginning.is_empty() && !beginning.contains('*');
    if section.names.is_empty() || !section.names.iter().map(beginning).all(fits) {
        return Err(wrong(
            "env",
            &name,
            "names have to be there, and `*` stands for an end only",
        ));
    }
    let mut own = section.names.iter();
    if own.any(|one| OWN_VARIABLES.iter().any(|own| one.starts_with(own))) {
        return Err(wrong(
            "env",
            &name,
            "a service's own settings cannot be granted",
        ));
    }
    Ok(EnvRule {
        name,
        names: section.names,
    })
}
