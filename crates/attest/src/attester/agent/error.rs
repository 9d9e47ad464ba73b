//! Why an attestation-agent gave no answer.

use std::error::Error;
use std::time::Duration;

use super::MESSAGE_BYTES_MAX;
use super::protobuf::Malformed;
use crate::UnknownTee;
use crate::attester::REPORT_DATA_BYTES_MAX;

/// How much of what an agent says is repeated.
const EXCERPT_CHARS_MAX: usize = 300;

/// Why an attestation-agent gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Not an address.
    #[error(
        "`{address}` is no address of an attestation-agent: those are unix:///PATH (ttrpc), \
         127.0.0.1:PORT (gRPC) and http://127.0.0.1:PORT (api-server-rest)"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// On another machine, or under a name that may lead there.
    #[error(
        "{address} is not on this machine: whoever reaches an attestation-agent gets tokens and the \
         private keys they are for, so only a Unix socket, 127.0.0.1 and ::1 are asked"
    )]
    Elsewhere {
        /// What was given.
        address: String,
    },
    /// The process has installed no provider.
    #[error("this process has no provider of cryptography, without which there is no HTTP client")]
    NoCryptoProvider,
    /// No HTTP client.
    #[error("cannot set up a connection to attestation-agents")]
    Setup(#[source] reqwest::Error),
    /// Nobody there, or not for us.
    #[error(
        "no attestation-agent answers at {address}: start one, let this user have its socket, and \
         see that its address is this one"
    )]
    Unreachable {
        /// Whom.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It took too long.
    #[error(
        "the attestation-agent at {address} has no answer to {method} after {patience:?}: its log \
         says what it waits for, often its key broker"
    )]
    Patience {
        /// Whom.
        address: String,
        /// What it was asked.
        method: &'static str,
        /// How long it had.
        patience: Duration,
    },
    /// It cannot, or will not.
    #[error("the attestation-agent at {address} refuses {method}: {because}")]
    Refused {
        /// Who.
        address: String,
        /// What it was asked.
        method: &'static str,
        /// Its words.
        because: String,
    },
    /// Longer than any answer.
    #[error(
        "the attestation-agent at {address} sends more than {MESSAGE_BYTES_MAX} bytes, which is no \
         answer of one"
    )]
    TooLong {
        /// Who.
        address: String,
    },
    /// Something else than an answer.
    #[error("the attestation-agent at {address} cannot be understood: {what}")]
    Malformed {
        /// Who.
        address: String,
        /// What about it.
        what: &'static str,
    },
    /// It attests what nobody here knows.
    #[error("the attestation-agent at {address} attests `{name}`, which is not known here")]
    UnknownTee {
        /// Who.
        address: String,
        /// What it attests.
        name: String,
        /// What is known.
        #[source]
        source: UnknownTee,
    },
    /// Hardware takes less.
    #[error(
        "{bytes} bytes of report data, and hardware takes {REPORT_DATA_BYTES_MAX}: hash them first"
    )]
    ReportDataTooLong {
        /// How many there were.
        bytes: usize,
    },
}

/// The same, before it is known of whom and about what.
#[derive(Debug)]
pub(super) enum Fault {
    Unreachable(Box<dyn Error + Send + Sync>),
    Patience(Duration),
    Refused(String),
    TooLong,
    Malformed(&'static str),
}

impl Fault {
    pub(super) fn of(self, address: String, method: &'static str) -> AgentError {
        match self {
            Self::Unreachable(source) => AgentError::Unreachable { address, source },
            Self::Patience(patience) => AgentError::Patience {
                address,
                method,
                patience,
            },
            Self::Refused(because) => AgentError::Refused {
                address,
                method,
                because,
            },
            Self::TooLong => AgentError::TooLong { address },
            Self::Malformed(what) => AgentError::Malformed { address, what },
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Unreachable(error.into())
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url().into())
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed("its answer is no protobuf")
    }
}

/// Somebody's words, as they can be shown to a person.
pub(super) fn excerpt(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let shown = words.trim().chars().take(EXCERPT_CHARS_MAX);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
