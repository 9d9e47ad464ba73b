//! `keys`: what a key broker keeps. No manager is asked, and none ever sees a key.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use propeller_attest::rcar::admin::{Admin, AdminError, AdminKey, NoAdminKey};
use propeller_attest::rcar::{AddressError, KbsAddress, KbsUri, ResourcePath};
use propeller_oci::crypt::PublicKey;

use crate::Ui;
use crate::clock::now_secs;
use crate::error::{CliError, Exit};
use crate::images::{Failure, read};

/// What to do with the keys of a key broker.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Give a key to the broker to keep, in place of what is there
    Set(Set),
    /// Have the broker forget a key: nobody can open its images any more
    Delete(Delete),
}

/// A key to keep.
#[derive(Debug, Args)]
pub struct Set {
    /// Where: REPOSITORY/TYPE/NAME, such as default/key/my-app
    #[arg(value_parser = parse_path)]
    path: ResourcePath,
    /// File with the key: private key of an image in PEM, or 32 bytes that wrap keys
    file: PathBuf,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// A key to forget.
#[derive(Debug, Args)]
pub struct Delete {
    /// Which: REPOSITORY/TYPE/NAME
    #[arg(value_parser = parse_path)]
    path: ResourcePath,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// How to reach a key broker as its administrator.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key broker")]
pub struct BrokerArgs {
    /// Address of the key broker: https://HOST[:PORT]
    #[arg(long, value_name = "URL", requires = "kbs_admin_key")]
    kbs: Option<String>,
    /// Private key of the role, in PEM: Ed25519, EC or RSA
    #[arg(long, value_name = "FILE", requires = "kbs")]
    kbs_admin_key: Option<PathBuf>,
    /// The role that the broker knows that key by
    #[arg(long, value_name = "NAME", default_value = "admin")]
    kbs_role: String,
    /// PEM file with certificate authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    kbs_ca: Vec<PathBuf>,
    /// Allow http:// to another machine: anybody on the way can then pass for the broker
    #[arg(long)]
    kbs_allow_http: bool,
}

/// Why the broker did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerFailure {
    #[error("no key broker is named")]
    NotNamed,
    #[error("{} is empty, and no key", .0.display())]
    Empty(PathBuf),
    #[error("{text} cannot be used")]
    Address {
        text: String,
        #[source]
        source: AddressError,
    },
    #[error("cannot use the key in {}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: NoAdminKey,
    },
    #[error(transparent)]
    File(#[from] Failure),
    #[error(transparent)]
    Broker(#[from] AdminError),
}

impl BrokerFailure {
    /// What is behind it, from near to far.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::File(failure) => failure.causes(),
            other => {
                let mut causes = Vec::new();
                let mut cause = std::error::Error::source(other);
                while let Some(error) = cause {
                    causes.push(error.to_string());
                    cause = error.source();
                }
                causes
            }
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(failure) => failure.hint(),
            Self::Key { .. } => {
                Some("make one with: openssl genpkey -algorithm ed25519 -out admin.pem")
            }
            Self::NotNamed => Some("give --kbs URL and --kbs-admin-key FILE"),
            Self::Broker(AdminError::Exists { .. }) => Some(
                "give the key a keyid of its own; or replace the other one with --replace-key, if no \
                 image needs it any more",
            ),
            Self::Empty(_) | Self::Address { .. } | Self::Broker(_) => None,
        }
    }
}

fn parse_path(text: &str) -> Result<ResourcePath, String> {
    match text.parse::<KbsUri>() {
        Ok(KbsUri { host: None, path }) => Ok(path),
        Ok(_) => Err("the broker is named with --kbs, the path alone is enough".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl BrokerArgs {
    /// Whether a broker is named.
    pub(crate) fn is_given(&self) -> bool {
        self.kbs.is_some()
    }

    /// An administrator of the broker that is named.
    pub(crate) async fn admin(&self) -> Result<Admin, BrokerFailure> {
        let (Some(kbs), Some(path)) = (&self.kbs, &self.kbs_admin_key) else {
            return Err(BrokerFailure::NotNamed);
        };
        let address = KbsAddress::parse(kbs, self.kbs_allow_http, "--kbs-allow-http");
        let address = address.map_err(|source| BrokerFailure::Address {
            text: kbs.clone(),
            source,
        })?;
        let key = AdminKey::from_pem(&read(path).await?);
        let key = key.map_err(|source| BrokerFailure::Key {
            path: path.clone(),
            source,
        })?;
        let mut roots = Vec::new();
        for path in &self.kbs_ca {
            roots.push(read(path).await?.to_vec());
        }
        Ok(Admin::new(address, &roots, key, &self.kbs_role)?)
    }
}

pub(crate) async fn run(verb: KeyVerb, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let said = match verb {
        KeyVerb::Set(args) => set(&args, ui).await,
        KeyVerb::Delete(args) => delete(&args).await,
    };
    let said = said.map_err(CliError::Broker)?;
    if !json {
        ui.say(&said)?;
    }
    Ok(Exit::Success)
}

async fn set(Set { path, file, broker }: &Set, ui: &mut Ui<'_>) -> Result<String, BrokerFailure> {
    let secret = read(file).await?;
    if secret.is_empty() {
        return Err(BrokerFailure::Empty(file.clone()));
    }
    // Brokers keep whatever somebody needs, public keys that check signatures included.
    if PublicKey::from_bytes(&secret).is_ok() {
        ui.note(&format!(
            "warning: {} is a public key, which opens no image: that takes the private half",
            file.display()
        ));
    }
    let admin = broker.admin().await?;
    admin.put_resource(path, &secret, now_secs()).await?;
    Ok(format!("The key broker keeps kbs:///{path}"))
}

async fn delete(Delete { path, broker }: &Delete) -> Result<String, BrokerFailure> {
    let admin = broker.admin().await?;
    admin.delete_resource(path, now_secs()).await?;
    Ok(format!("The key broker has forgotten kbs:///{path}"))
}
