//! The flags that say how a guest sees the world, and what it asks for beyond it.

use clap::Args;
use propeller_api::{DirectoryGrant, Grants};

/// How a guest sees the world.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Profile and grants")]
pub struct GrantArgs {
    /// How the guest sees the world: pure, deterministic or granted [default: pure, or granted
    /// with any --grant]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// Directory of the proplet to read, and where the guest finds it; can be repeated
    #[arg(long, value_name = "DIR[=GUEST]")]
    grant_dir: Vec<String>,

    /// Directory of the proplet to read and write; can be repeated
    #[arg(long, value_name = "DIR[=GUEST]")]
    grant_dir_rw: Vec<String>,

    /// Host to connect to; can be repeated
    #[arg(long, value_name = "HOST:PORT")]
    grant_host: Vec<String>,

    /// TCP port to listen on; can be repeated
    #[arg(long, value_name = "PORT")]
    grant_port: Vec<u16>,

    /// Variable of the proplet's environment; can be repeated
    #[arg(long, value_name = "NAME")]
    grant_env: Vec<String>,
}

impl GrantArgs {
    /// The profile and the grants of a request; nothing for what no flag was given.
    #[must_use]
    pub fn into_parts(self) -> (Option<String>, Option<Grants>) {
        let Self {
            profile,
            grant_dir,
            grant_dir_rw,
            grant_host,
            grant_port,
            grant_env,
        } = self;
        let read = grant_dir.iter().map(|text| directory(text, "read"));
        let write = grant_dir_rw
            .iter()
            .map(|text| directory(text, "read-write"));
        let grants = Grants {
            directories: read.chain(write).collect(),
            hosts: grant_host,
            ports: grant_port,
            env: grant_env,
        };
        let grants = (grants != Grants::default()).then_some(grants);
        let asked = grants.as_ref().map(|_| "granted".to_owned());
        (profile.or(asked), grants)
    }
}

/// `DIR` or `DIR=GUEST`.
fn directory(text: &str, access: &str) -> DirectoryGrant {
    let (host, guest) = match text.split_once('=') {
        Some((host, guest)) => (host, Some(guest.to_owned())),
        None => (text, None),
    };
    DirectoryGrant {
        host: host.to_owned(),
        guest,
        access: Some(access.to_owned()),
    }
}
