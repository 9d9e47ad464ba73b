//! What an operator says in files: rules, roles, collateral. Read together, and again when asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use propeller_attest::verify::Anchors;

use super::Broker;
use crate::admins::{self, Admins, AdminsError};
use crate::audit::{Entry, Event};
use crate::config::Config;
use crate::evidence::{CollateralFolderError, Judge, chain};
use crate::policy::{self, Policy, PolicyError};

/// Why what an operator says is not taken into use. What held before still does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The policy.
    #[error("{path} (KEYBROKER_POLICY)")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: PolicyError,
    },
    /// The roles.
    #[error("{path} (KEYBROKER_ADMINS)")]
    Admins {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: AdminsError,
    },
    /// The folder of collateral.
    #[error("the collateral cannot be used (KEYBROKER_COLLATERAL)")]
    Collateral(#[from] CollateralFolderError),
}

/// Where an operator says it, and whom everybody believes.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    policy: Option<PathBuf>,
    admins: Option<PathBuf>,
    collateral: Option<PathBuf>,
    anchors: Anchors,
}

/// What holds.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) policy: Policy,
    pub(crate) admins: Admins,
    pub(crate) judge: Judge,
}

impl Files {
    pub(crate) fn of(config: &Config, anchors: Anchors) -> Self {
        Self {
            policy: config.policy.clone(),
            admins: config.admins.clone(),
            collateral: config.collateral.clone(),
            anchors,
        }
    }

    /// All of it, or why not.
    pub(crate) fn read(&self) -> Result<Standing, ReloadError> {
        let policy = match &self.policy {
            None => Policy::default(),
            Some(path) => {
                let text = read(path, policy::FILE_BYTES_MAX)?;
                let parsed = Policy::parse(&text);
                parsed.map_err(|cause| ReloadError::Policy {
                    path: path.clone(),
                    cause,
                })?
            }
        };
        let admins = match &self.admins {
            None => Admins::default(),
            Some(path) => {
                let text = read(path, admins::FILE_BYTES_MAX)?;
                let folder = path.parent().unwrap_or_else(|| Path::new(""));
                let parsed = Admins::parse(&text, folder);
                parsed.map_err(|cause| ReloadError::Admins {
                    path: path.clone(),
                    cause,
                })?
            }
        };
        Ok(Standing {
            policy,
            admins,
            judge: Judge::open(self.collateral.as_deref(), self.anchors.clone())?,
        })
    }
}

impl Broker {
    /// Reads all of it again. With a mistake in any of it, everything stays as it was.
    pub(crate) fn reload(&self, entry: Entry) -> Result<String, ReloadError> {
        match self.files.read() {
            Ok(standing) => {
                let (rules, roles) = (standing.policy.len(), standing.admins.len());
                let mut held = self
                    .standing
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *held = Arc::new(standing);
                drop(held);
                let said = format!("{rules} rules, {roles} roles");
                self.note(&entry.because(&said));
                Ok(said)
            }
            Err(error) => {
                let event = Event::ReloadRefused;
                self.note(&Entry { event, ..entry }.because(chain(&error)));
                Err(error)
            }
        }
    }
}

fn read(path: &Path, bytes_max: usize) -> Result<String, ReloadError> {
    let failed = |cause| ReloadError::Read {
        path: path.to_owned(),
        cause,
    };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > bytes_max as u64 {
        return Err(failed(io::Error::other(format!(
            "it has more than {bytes_max} bytes"
        ))));
    }
    std::fs::read_to_string(path).map_err(failed)
}
