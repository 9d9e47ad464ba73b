//! Why a registry did not do what it was asked: by name, credentials, network, digest, media type
//! or size, so that a person knows where to look.

use std::time::Duration;

use propeller_model::Digest;

use super::Pace;
use crate::credentials::CredentialsError;
use crate::manifest::ManifestError;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// A manifest or an index.
    Manifest,
    /// A layer or a configuration.
    Blob,
    /// A token.
    Token,
    /// Sending a blob.
    Upload,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Token => "token",
            Self::Upload => "upload",
        })
    }
}

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The process has installed no provider.
    #[error("this process has no provider of cryptography for TLS")]
    NoCryptoProvider,
    /// The system has no certificates, or none that can be read.
    #[error("cannot set up the connection to registries")]
    Setup(#[source] reqwest::Error),
    /// A reference that makes no address.
    #[error("{text} is no address")]
    Address {
        /// What it would be.
        text: String,
    },
    /// There is no such repository, tag or blob, as far as we may know.
    #[error("name: {registry} has no {what}{because}")]
    Name {
        /// Who says so.
        registry: String,
        /// What it does not have.
        what: String,
        /// Its words, after a colon.
        because: String,
    },
    /// It does not let us.
    #[error("credentials: {registry} does not let {who} {action} {repository}{because}")]
    Credentials {
        /// Who says so.
        registry: String,
        /// We, as we were: `an anonymous user`, or with the name.
        who: String,
        /// `pull from` or `push to`.
        action: &'static str,
        /// What.
        repository: String,
        /// Its words, after a colon.
        because: String,
    },
    /// It asks for what we do not do, or keeps asking.
    #[error("credentials: {registry} asks for {what}")]
    Challenge {
        /// Who.
        registry: String,
        /// For what.
        what: String,
    },
    /// The credentials are not ours to use.
    #[error("credentials: {0}")]
    Kept(CredentialsError),
    /// Nothing came back.
    #[error("network: no {stage} from {host}")]
    Network {
        /// What was asked for.
        stage: Stage,
        /// Whom.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("network: the {stage} from {host} is not here after {patience:?}")]
    Patience {
        /// What was asked for.
        stage: Stage,
        /// Whom.
        host: String,
        /// How long it had.
        patience: Duration,
    },
    /// It sends, and not fast enough.
    #[error(
        "network: {host} sends the {stage} too slowly: {bytes} bytes in {:?}, and {} are the least",
        .pace.within,
        .pace.bytes
    )]
    Slow {
        /// What was asked for.
        stage: Stage,
        /// Whom.
        host: String,
        /// How many came.
        bytes: u64,
        /// How many were to come, and in which while.
        pace: Pace,
    },
    /// It is asked too often.
    #[error(
        "network: {registry} is asked too often{}: wait, or log in for a higher limit",
        .wait.map(|wait| format!(", and wants a pause of {} s", wait.as_secs())).unwrap_or_default()
    )]
    TooOften {
        /// Who.
        registry: String,
        /// How long it wants us to wait.
        wait: Option<Duration>,
    },
    /// It sends us away.
    #[error("network: {host} sends the request {to}")]
    Redirect {
        /// Who.
        host: String,
        /// Where to, and why we do not go.
        to: String,
    },
    /// It answers with a status that means nothing here.
    #[error("network: {host} answers the {stage} with {status}{because}")]
    Status {
        /// What was asked for.
        stage: Stage,
        /// Who.
        host: String,
        /// The status.
        status: u16,
        /// Its words, after a colon.
        because: String,
    },
    /// The bytes are not those that were named.
    #[error(
        "digest: the {stage} is {got}, not {expected}: its bytes are not those that were named"
    )]
    Digest {
        /// What it is.
        stage: Stage,
        /// What was named.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// The answer is something else.
    #[error("media type: {host} answers the {stage} with {media_type}: {hint}")]
    MediaType {
        /// What was asked for.
        stage: Stage,
        /// Who.
        host: String,
        /// What came.
        media_type: String,
        /// What to do.
        hint: &'static str,
    },
    /// The answer is a manifest that says nothing.
    #[error("media type: {name} cannot be read: {error}")]
    Manifest {
        /// Of what.
        name: String,
        /// Why.
        error: ManifestError,
    },
    /// Somebody who fetches for us could not.
    #[error("{kind}: {text}{}", if *.kind == Kind::Here { "" } else { ", says the proxy" })]
    Proxied {
        /// Where to look.
        kind: Kind,
        /// In the words of whoever it is.
        text: String,
    },
    /// There is no memory for it.
    #[error("this machine has not the memory for a blob of {bytes} bytes")]
    Memory {
        /// How many there are.
        bytes: u64,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Nobody wants it any more.
    #[error("it is not fetched any more: nobody waits for it")]
    Stopped,
    /// It is larger than what is taken, or than what it was said to be.
    #[error("size: the {stage} has {}{bytes} bytes, {why}", if *.at_least { "more than " } else { "" })]
    Size {
        /// What it is.
        stage: Stage,
        /// How large it is, or is said to be.
        bytes: u64,
        /// Whether there are more.
        at_least: bool,
        /// What is wrong with that.
        why: String,
    },
}

impl From<CredentialsError> for RegistryError {
    fn from(error: CredentialsError) -> Self {
        Self::Kept(error)
    }
}

/// Where to look when a registry did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The reference.
    Name,
    /// Who we are to the registry.
    Credentials,
    /// The way to it.
    Network,
    /// The bytes.
    Digest,
    /// What they are.
    MediaType,
    /// How many they are.
    Size,
    /// This machine, or the one that fetches for it.
    Here,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Credentials => "credentials",
            Self::Network => "network",
            Self::Digest => "digest",
            Self::MediaType => "media type",
            Self::Size => "size",
            Self::Here => "proxy",
        })
    }
}

impl RegistryError {
    /// Where to look.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Name { .. } => Kind::Name,
            Self::Credentials { .. } | Self::Challenge { .. } | Self::Kept(_) => Kind::Credentials,
            Self::Network { .. }
            | Self::Patience { .. }
            | Self::Slow { .. }
            | Self::TooOften { .. }
            | Self::Redirect { .. }
            | Self::Status { .. } => Kind::Network,
            Self::Digest { .. } => Kind::Digest,
            Self::MediaType { .. } | Self::Manifest { .. } => Kind::MediaType,
            Self::Size { .. } => Kind::Size,
            Self::Proxied { kind, .. } => *kind,
            Self::NoCryptoProvider
            | Self::Setup(_)
            | Self::Address { .. }
            | Self::Memory { .. }
            | Self::Stopped => Kind::Here,
        }
    }
}
