//! Keys of `--encrypt provider:…`, which a key broker is to keep.

use propeller_attest::rcar::ResourcePath;
use propeller_attest::rcar::admin::Admin;
use zeroize::Zeroizing;

use super::keys::KeyArg;
use super::{Failure, read};
use crate::clock::now_secs;
use crate::error::CliError;
use crate::keys::BrokerArgs;

/// Keys, and the broker that is to keep them.
pub(super) struct Keeping {
    admin: Admin,
    keys: Vec<(ResourcePath, String, Zeroizing<Vec<u8>>)>,
    existing: Existing,
}

/// What is to become of another key that has the path of one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and nothing is pushed: an image that exists may need it.
    Keep,
    /// It is replaced.
    Replace,
}

impl Keeping {
    /// What the arguments ask for; `None` if they name no broker. Nothing is sent yet.
    pub(super) async fn of(
        broker: &BrokerArgs,
        keys: &[KeyArg],
        existing: Existing,
    ) -> Result<Option<Self>, CliError> {
        if !broker.is_given() {
            return Ok(None);
        }
        let admin = broker.admin().await.map_err(CliError::Broker)?;
        let mut kept = Vec::new();
        for key in keys {
            let KeyArg::Provider { path, id, .. } = key else {
                continue;
            };
            let host = id.host.as_deref();
            if host.is_some_and(|host| !admin.address().is(host)) {
                return Err(Failure::KeptElsewhere(id.to_string()).into());
            }
            kept.push((id.path.clone(), id.to_string(), read(path).await?));
        }
        match kept.is_empty() {
            true => Err(Failure::NothingToKeep.into()),
            false => Ok(Some(Self {
                admin,
                keys: kept,
                existing,
            })),
        }
    }

    /// Has the broker keep them; says where.
    pub(super) async fn keep(&self) -> Result<Vec<String>, CliError> {
        let mut kept = Vec::new();
        for (path, id, secret) in &self.keys {
            let put = match self.existing {
                Existing::Keep => self.admin.add_resource(path, secret, now_secs()).await,
                Existing::Replace => self.admin.put_resource(path, secret, now_secs()).await,
            };
            put.map_err(|error| CliError::Broker(error.into()))?;
            kept.push(id.clone());
        }
        Ok(kept)
    }
}
