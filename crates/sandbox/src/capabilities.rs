//! What one guest may reach beyond its sandbox, already decided.
//!
//! Whoever makes a job has held it against a policy. Here nothing is decided: what is listed can be
//! reached, and nothing else.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use propeller_model::{Access, Host};

/// What one guest may reach.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// Directories with everything below them.
    pub directories: Vec<OpenDirectory>,
    /// Hosts that it may open TCP connections to.
    pub hosts: Vec<ReachableHost>,
    /// Where it may listen.
    pub listen: Vec<SocketAddr>,
}

impl Capabilities {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && !self.has_network()
    }

    /// Whether any of it is of use only with sockets.
    #[must_use]
    pub fn has_network(&self) -> bool {
        !(self.hosts.is_empty() && self.listen.is_empty())
    }
}

/// A directory of the host.
#[derive(Clone, Debug)]
pub struct OpenDirectory {
    /// A path that names it for as long as `kept` lives.
    pub path: PathBuf,
    /// Keeps the directory that was looked at, whatever its name means later.
    pub kept: Option<Arc<OwnedFd>>,
    /// Where the guest finds it.
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
}

/// A host that a guest may open connections to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachableHost {
    /// Name or address, and port.
    pub host: Host,
    /// Whether its name may stand for an address that is not public, such as 127.0.0.1: whoever
    /// answers for a name in the DNS chooses the address.
    pub private: bool,
}
