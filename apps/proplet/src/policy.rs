//! What this proplet grants: its operator's policy file, held against what a task asks for.
//!
//! Nothing is allowed that no rule allows. Every refusal names the rule that came closest, so that
//! whoever sent the task knows whom to ask for what.

mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use propeller_model::{Access, Directory, Grants, Host, Profile};
use propeller_sandbox::{Capabilities, ReachableHost};

pub use file::PolicyError;

use crate::granted;

/// Variables that hold this service's own secrets; no rule grants them.
const OWN_VARIABLES: [&str; 3] = ["PROPLET_", "MANAGER_", "PROPELLER_"];

/// The rules of one proplet. Without a policy file there are none.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whether there is a file at all.
    there: bool,
    directories: Vec<DirectoryRule>,
    hosts: Vec<HostRule>,
    listen: Vec<ListenRule>,
    env: Vec<EnvRule>,
}

#[derive(Debug, Clone)]
struct DirectoryRule {
    name: String,
    /// Without symbolic links.
    path: PathBuf,
    access: Access,
}

#[derive(Debug, Clone)]
struct HostRule {
    name: String,
    /// Names, addresses, or `*.` and a name.
    names: Vec<String>,
    ports: Vec<u16>,
    private: bool,
}

#[derive(Debug, Clone)]
struct ListenRule {
    name: String,
    address: IpAddr,
    ports: Vec<u16>,
}

#[derive(Debug, Clone)]
struct EnvRule {
    name: String,
    /// Names, or the start of a name and `*`.
    names: Vec<String>,
}

/// A grant that this proplet refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant refused: {what}: {why}")]
pub struct Refused {
    what: String,
    why: String,
}

/// What a task was granted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Granted {
    pub(crate) capabilities: Capabilities,
    /// Variables of this process, with their values; what is not set is not there.
    pub(crate) env: Vec<(String, String)>,
}

impl Policy {
    /// Reads the file at `path`. No rule may reach into `own`, where the proplet keeps its reports.
    ///
    /// # Errors
    /// [`PolicyError`] with the rule that is wrong.
    pub fn read(path: &Path, own: &Path) -> Result<Self, PolicyError> {
        file::read(path, own)
    }

    /// Holds what a task asks for against the rules, and opens what it gets.
    ///
    /// The manager has checked that profile and grants fit each other; here that is held to, because
    /// a grant would end what a deterministic result promises.
    pub(crate) fn grant(&self, profile: Profile, asked: &Grants) -> Result<Granted, Refused> {
        if profile != Profile::Granted && !asked.is_empty() {
            return Err(Refused {
                what: "everything".to_owned(),
                why: format!("the task has the profile `{profile}`"),
            });
        }
        if let Err(error) = asked.check() {
            return Err(Refused {
                what: "everything".to_owned(),
                why: error.to_string(),
            });
        }
        let directories = asked.directories.iter().map(|one| self.directory(one));
        let hosts = asked.hosts.iter().map(|host| self.host(host));
        let listen = asked.ports.iter().map(|port| self.port(*port));
        for name in &asked.env {
            self.variable(name)?;
        }
        let env = asked.env.iter().filter_map(|name| {
            let value = propeller_settings::host_variable(name)?;
            Some((name.clone(), value))
        });
        Ok(Granted {
            capabilities: Capabilities {
                directories: directories.collect::<Result<_, _>>()?,
                hosts: hosts.collect::<Result<_, _>>()?,
                listen: listen.collect::<Result<_, _>>()?,
            },
            env: env.collect(),
        })
    }

    fn directory(&self, asked: &Directory) -> Result<propeller_sandbox::OpenDirectory, Refused> {
        let refused = |why| Refused {
            what: asked.to_string(),
            why,
        };
        if !self.there {
            return Err(refused(no_file()));
        }
        let names = || self.directories.iter().map(|rule| rule.name.as_str());
        // What is not there and what is not allowed look the same to whoever asks.
        let nothing = || refused(no_rule("directories", names()));
        let path = std::fs::canonicalize(&asked.host).map_err(|_| nothing())?;
        let within = |rule: &&DirectoryRule| path.starts_with(&rule.path);
        let rules = self.directories.iter().filter(within);
        let rule = rules.max_by_key(|rule| rule.access).ok_or_else(nothing)?;
        if rule.access < asked.access {
            let (name, access) = (&rule.name, rule.access);
            return Err(refused(format!("rule `directory.{name}` allows {access}")));
        }
        granted::open(&path, asked).map_err(|_| nothing())
    }

    fn host(&self, asked: &Host) -> Result<ReachableHost, Refused> {
        let refused = |why| Refused {
            what: format!("host {asked}"),
            why,
        };
        if !self.there {
            return Err(refused(no_file()));
        }
        let named = || self.hosts.iter().filter(|rule| rule.matches(&asked.name));
        let mut fitting = named()
            .filter(|rule| rule.ports.contains(&asked.port))
            .peekable();
        if fitting.peek().is_some() {
            return Ok(ReachableHost {
                host: asked.clone(),
                private: fitting.any(|rule| rule.private),
            });
        }
        Err(refused(match named().next() {
            Some(rule) => {
                let (name, ports) = (&rule.name, listed(&rule.ports));
                format!("rule `host.{name}` allows the ports {ports}")
            }
            None => no_rule("hosts", self.hosts.iter().map(|rule| rule.name.as_str())),
        }))
    }

    fn port(&self, asked: u16) -> Result<SocketAddr, Refused> {
        let mut rules = self.listen.iter();
        if let Some(rule) = rules.find(|rule| rule.ports.contains(&asked)) {
            return Ok(SocketAddr::new(rule.address, asked));
        }
        Err(Refused {
            what: format!("port {asked}"),
            why: match (self.there, self.listen.first()) {
                (false, _) => no_file(),
                (true, Some(rule)) => {
                    let (name, ports) = (&rule.name, listed(&rule.ports));
                    format!("rule `listen.{name}` allows the ports {ports}")
                }
                (true, None) => no_rule("ports", std::iter::empty()),
            },
        })
    }

    fn variable(&self, asked: &str) -> Result<(), Refused> {
        let refused = |why| Refused {
            what: format!("variable {asked}"),
            why,
        };
        if OWN_VARIABLES.iter().any(|own| asked.starts_with(own)) {
            return Err(refused(
                "no rule can grant a service's own settings".to_owned(),
            ));
        }
        if !self.there {
            return Err(refused(no_file()));
        }
        if self.env.iter().any(|rule| rule.matches(asked)) {
            return Ok(());
        }
        let names = self.env.iter().map(|rule| rule.name.as_str());
        Err(refused(no_rule("env", names)))
    }
}

impl HostRule {
    fn matches(&self, asked: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            // Addresses have no names below them.
            Some(end) => {
                asked.len() > end.len() && asked.ends_with(end) && asked.parse::<IpAddr>().is_err()
            }
            None => name == asked,
        })
    }
}

impl EnvRule {
    fn matches(&self, asked: &str) -> bool {
        self.names.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => asked.starts_with(start),
            None => name == asked,
        })
    }
}

fn no_file() -> String {
    "this proplet grants nothing: its operator has set no PROPLET_POLICY_FILE".to_owned()
}

fn no_rule<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> String {
    let section = match kind {
        "directories" => "directory",
        "hosts" => "host",
        "ports" => "listen",
        kind => kind,
    };
    let names: Vec<String> = names.map(|name| format!("`{section}.{name}`")).collect();
    if names.is_empty() {
        return format!("this proplet's policy has no rule for {kind}");
    }
    format!(
        "none of this proplet's rules for {kind} allows it: {}",
        names.join(", ")
    )
}

fn listed(ports: &[u16]) -> String {
    const SHOWN_MAX: usize = 8;
    let shown = ports.iter().take(SHOWN_MAX).map(ToString::to_string);
    let more = if ports.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
