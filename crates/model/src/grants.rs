//! What a task asks a proplet for beyond its sandbox: the profile `granted`.
//!
//! Asking gives nothing. The proplet's policy decides, and a grant that it refuses ends the attempt
//! before it starts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many grants of each kind a task asks for at most.
pub const GRANTS_MAX: usize = 32;
/// How long a path or a name is at most, in bytes.
const TEXT_LEN_MAX: usize = 1024;

/// What a task asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Directories of the proplet's machine.
    pub directories: Vec<Directory>,
    /// Hosts to open connections to.
    pub hosts: Vec<Host>,
    /// TCP ports to listen on, at the address that the policy names.
    pub ports: Vec<u16>,
    /// Variables of the proplet's environment.
    pub env: Vec<String>,
}

impl Grants {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Checks what can be checked without a policy.
    ///
    /// # Errors
    /// The first thing that no proplet could grant, in words.
    pub fn check(&self) -> Result<(), GrantError> {
        let counts = [
            ("directories", self.directories.len()),
            ("hosts", self.hosts.len()),
            ("ports", self.ports.len()),
            ("env", self.env.len()),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count > GRANTS_MAX) {
            return Err(GrantError::TooMany { what });
        }
        for directory in &self.directories {
            directory.check()?;
        }
        for (index, directory) in self.directories.iter().enumerate() {
            let mut before = self.directories[..index].iter();
            if before.any(|other| other.guest == directory.guest) {
                return Err(GrantError::GuestPath(directory.guest.clone()));
            }
        }
        if self.ports.contains(&0) {
            return Err(GrantError::Port);
        }
        let mut names = self.env.iter();
        match names.find(|name| !is_text(name) || name.contains('=')) {
            Some(name) => Err(GrantError::Env(name.clone())),
            None => Ok(()),
        }
    }
}

/// A directory and everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Where it is on the proplet's machine, absolute.
    pub host: String,
    /// Where the guest finds it.
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
}

impl Directory {
    fn check(&self) -> Result<(), GrantError> {
        if !is_text(&self.host) || !self.host.starts_with('/') {
            return Err(GrantError::HostPath(self.host.clone()));
        }
        if !is_text(&self.guest) {
            return Err(GrantError::GuestPath(self.guest.clone()));
        }
        Ok(())
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory {} ({})", self.host, self.access)
    }
}

/// What a guest may do in a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Read and list.
    #[default]
    Read,
    /// Also create, change and remove.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        })
    }
}

impl FromStr for Access {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self::Read),
            "read-write" => Ok(Self::ReadWrite),
            _ => Err(GrantError::Access),
        }
    }
}

/// A host and a TCP port, `api.example.com:443`, `192.0.2.7:80` or `[2001:db8::1]:80`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// A name in lower case or an address, without brackets.
    pub name: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            return write!(f, "[{}]:{}", self.name, self.port);
        }
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl FromStr for Host {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || GrantError::Host(text.chars().take(TEXT_LEN_MAX).collect());
        let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let name = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            None if is_host_name(name) => name,
            _ => return Err(wrong()),
        };
        let port = port.parse().ok().filter(|port| *port != 0);
        port.map(|port| Self {
            name: name.to_ascii_lowercase(),
            port,
        })
        .ok_or_else(wrong)
    }
}

/// Why nobody can grant what a task asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// More than [`GRANTS_MAX`].
    #[error("grants: at most {GRANTS_MAX} {what} can be asked for")]
    TooMany {
        /// Which kind.
        what: &'static str,
    },
    /// Not an absolute path.
    #[error("grants: `{0}` is not an absolute path on the proplet's machine")]
    HostPath(String),
    /// Empty, or there twice.
    #[error("grants: `{0}` cannot be where a guest finds a directory, or two are to be there")]
    GuestPath(String),
    /// Neither of the two.
    #[error("grants: access is `read` or `read-write`")]
    Access,
    /// No host with a port.
    #[error("grants: `{0}` is not HOST:PORT")]
    Host(String),
    /// Port 0 would be any port.
    #[error("grants: a port is 1 to 65535")]
    Port,
    /// No name of a variable.
    #[error("grants: `{0}` is not the name of an environment variable")]
    Env(String),
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control)
}

/// RFC 1123 names and IPv4 addresses.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_written() {
        for (text, written) in [
            ("API.example.com:443", "api.example.com:443"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            let host: Host = text.parse().expect("it is a host");
            assert_eq!(host.to_string(), written);
        }
        for wrong in [
            "", "a", "a:", ":1", "a:0", "a:65536", "a..b:1", "::1:80", "[::1:80", "[x]:1", "a b:1",
        ] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_nobody_can_grant_is_refused_at_once() {
        let directory = |host: &str, guest: &str| Directory {
            host: host.to_owned(),
            guest: guest.to_owned(),
            access: Access::Read,
        };
        let of = |directories| Grants {
            directories,
            ..Grants::default()
        };
        assert_eq!(of(vec![directory("/a", "/a")]).check(), Ok(()));
        assert!(of(vec![directory("a", "/a")]).check().is_err());
        assert!(of(vec![directory("/a", "")]).check().is_err());
        assert!(
            of(vec![directory("/a", "/x"), directory("/b", "/x")])
                .check()
                .is_err()
        );
        let env = Grants {
            env: vec!["A=B".to_owned()],
            ..Grants::default()
        };
        assert!(env.check().is_err());
        let many = Grants {
            ports: vec![1; GRANTS_MAX + 1],
            ..Grants::default()
        };
        assert_eq!(many.check(), Err(GrantError::TooMany { what: "ports" }));
    }
}
