//! Why a key broker's secret is not here.

use std::fmt;
use std::sync::Arc;

use super::address::ResourcePath;
use super::message::ErrorInformation;
use super::{ERROR_TYPE, VERSION};
use crate::prover::ProveError;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `POST /auth`
    Auth,
    /// `POST /attest`
    Attest,
    /// `GET /resource/…`
    Resource,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "auth",
            Self::Attest => "attest",
            Self::Resource => "resource",
        })
    }
}

/// Why a secret is not here.
///
/// It can be cloned, because everybody who waits for one attestation hears of its one failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum KbsError {
    /// No answer.
    #[error("key broker {address}: no answer to {step}: {source}")]
    Network {
        /// The broker.
        address: String,
        /// What was asked.
        step: Step,
        /// Why.
        source: Arc<reqwest::Error>,
    },
    /// The client could not be made.
    #[error("a client of key brokers cannot be made: {0}")]
    Setup(String),
    /// It answered, and not as the protocol says.
    #[error("key broker {address}: its answer to {step} is not what the protocol says: {why}")]
    Malformed {
        /// The broker.
        address: String,
        /// What was asked.
        step: Step,
        /// What is wrong with it.
        why: String,
    },
    /// It speaks another version.
    #[error(
        "key broker {address} speaks another version of the protocol than {VERSION} (Trustee from v0.14.0): {detail}"
    )]
    Version {
        /// The broker.
        address: String,
        /// Its words.
        detail: String,
    },
    /// Its policy refuses.
    #[error(
        "key broker {address}: its policy does not release {path} to this TEE ({tee}): {detail}"
    )]
    PolicyDeny {
        /// The broker.
        address: String,
        /// What was asked for.
        path: ResourcePath,
        /// What this TEE is.
        tee: &'static str,
        /// Its words.
        detail: String,
    },
    /// It has no such resource, or cannot read it.
    #[error("key broker {address}: {path} was not found there, or it could not read it: {detail}")]
    NotFound {
        /// The broker.
        address: String,
        /// What was asked for.
        path: ResourcePath,
        /// Its words.
        detail: String,
    },
    /// It refuses in other words.
    #[error("key broker {address}: {step} was refused: {name}: {detail}")]
    Refused {
        /// The broker.
        address: String,
        /// What was asked.
        step: Step,
        /// Name of the error's type.
        name: String,
        /// Its words.
        detail: String,
    },
    /// It asks for too much patience.
    #[error("key broker {address}: it refuses to be asked this often: try again later")]
    Busy {
        /// The broker.
        address: String,
    },
    /// It, or what is in front of it, cannot answer now.
    #[error("key broker {address}: it cannot answer now: HTTP status {status}")]
    Unavailable {
        /// The broker.
        address: String,
        /// The status.
        status: u16,
    },
    /// Nobody has configured one.
    #[error("no key broker is configured: set {setting}")]
    NoBroker {
        /// The setting.
        setting: &'static str,
    },
    /// What it sent is not encrypted to our key.
    #[error(
        "key broker {address}: what it sent as {path} does not open with the key that was attested"
    )]
    Unopenable {
        /// The broker.
        address: String,
        /// What was asked for.
        path: ResourcePath,
    },
    /// No evidence.
    #[error("no evidence of the TEE: {0}")]
    Evidence(Arc<ProveError>),
    /// A URI names a broker that nobody configured.
    #[error(
        "a key is kept by key broker {host}, which is not among those that may be asked: add it to {setting}"
    )]
    UnknownBroker {
        /// Host of the URI.
        host: String,
        /// The setting.
        setting: &'static str,
    },
}

impl From<ProveError> for KbsError {
    fn from(error: ProveError) -> Self {
        Self::Evidence(Arc::new(error))
    }
}

impl KbsError {
    /// Whether it may be otherwise when it is tried again later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::Busy { .. }
            | Self::Unavailable { .. }
            | Self::Evidence(_) => true,
            // A session that ended between two steps, or evidence that was judged with what the
            // broker had at the time.
            Self::Refused { step, name, .. } => {
                *step != Step::Resource && name == "AttestationError"
            }
            _ => false,
        }
    }
}

/// What a refusal means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The session is over, or was never good: attesting again may help, once.
    Session,
    /// It is so for good.
    Final,
}

/// A refusal, as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    name: String,
    detail: String,
}

impl Refusal {
    /// What a broker says with any status but success; `None` if it is not the protocol's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let ErrorInformation { kind, detail } = serde_json::from_slice(body).ok()?;
        Some(Self {
            name: printable(kind.strip_prefix(ERROR_TYPE).unwrap_or(&kind)),
            detail: printable(&detail),
        })
    }

    pub(super) fn cause(&self) -> Cause {
        match self.name.as_str() {
            "TokenNotFound" | "TokenVerifierError" => Cause::Session,
            _ => Cause::Final,
        }
    }

    pub(super) fn at(self, address: String, step: Step) -> KbsError {
        let Self { name, detail } = self;
        // The only refusal that users cause by what they install, and the most frequent one.
        match detail.contains("Version Mismatch") {
            true => KbsError::Version { address, detail },
            false => KbsError::Refused {
                address,
                step,
                name,
                detail,
            },
        }
    }

    pub(super) fn of_resource(
        self,
        address: String,
        path: &ResourcePath,
        tee: &'static str,
    ) -> KbsError {
        let Self { name, detail } = &self;
        let (path, detail) = (path.clone(), detail.clone());
        match name.as_str() {
            "PolicyDeny" => KbsError::PolicyDeny {
                address,
                path,
                tee,
                detail,
            },
            "PluginInternalError" => KbsError::NotFound {
                address,
                path,
                detail,
            },
            _ => self.at(address, Step::Resource),
        }
    }
}

/// The beginning of what somebody else wrote, without what could change a terminal.
pub(super) fn printable(text: &str) -> String {
    const SHOWN_MAX: usize = 512;
    text.chars()
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .take(SHOWN_MAX)
        .collect()
}
