//! One thing that happened.

use std::net::IpAddr;

use serde::Serialize;

use super::chain::Chain;

/// The longest text of somebody else's in a line, in characters.
const TEXT_CHARS_MAX: usize = 512;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The broker has started; `why` says what was found in the log.
    Started,
    /// A handshake was refused at its first step.
    AuthRefused,
    /// Evidence was accepted, and a token issued.
    Attested,
    /// Evidence was refused.
    AttestRefused,
    /// A token was refused.
    TokenRefused,
    /// A resource was released.
    Released,
    /// A policy refused one.
    Denied,
    /// A policy allowed one that is not there, or cannot be read.
    Missing,
    /// Somebody with a role has done something.
    Admin,
    /// Somebody wanted to, and may not.
    AdminRefused,
    /// Policy and roles were read again.
    Reloaded,
    /// They were not, because of what is wrong with them.
    ReloadRefused,
    /// Somebody asks too often.
    Limited,
}

impl Event {
    /// Whether anybody can cause it, as often as he likes.
    pub(super) fn is_noise(self) -> bool {
        match self {
            Self::Started | Self::Released | Self::Admin | Self::Reloaded | Self::ReloadRefused => {
                false
            }
            Self::AuthRefused
            | Self::Attested
            | Self::AttestRefused
            | Self::TokenRefused
            | Self::Denied
            | Self::Missing
            | Self::AdminRefused
            | Self::Limited => true,
        }
    }

    fn is_good(self) -> bool {
        matches!(
            self,
            Self::Started | Self::Attested | Self::Released | Self::Admin | Self::Reloaded
        )
    }

    pub(crate) fn name(self) -> String {
        let name = serde_json::to_value(self).ok();
        let name = name.as_ref().and_then(|name| name.as_str());
        name.unwrap_or_default().to_owned()
    }
}

/// One thing that happened. It has no secrets, and of tokens only their names.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tee: Option<String>,
    /// See [`crate::tokens::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// See [`crate::policy::Claims::workload`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measurement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// Whether that rule counts it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) counted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Entry {
    pub(crate) fn new(event: Event) -> Self {
        Self {
            event,
            peer: None,
            tee: None,
            token: None,
            workload: None,
            measurement: None,
            resource: None,
            rule: None,
            counted: false,
            role: None,
            act: None,
            why: None,
        }
    }

    /// Something that somebody did from elsewhere.
    pub(crate) fn by(event: Event, peer: IpAddr) -> Self {
        Self {
            peer: Some(peer),
            ..Self::new(event)
        }
    }

    /// With a reason, which may repeat what somebody else wrote.
    pub(crate) fn because(self, why: impl std::fmt::Display) -> Self {
        Self {
            why: Some(printable(&why.to_string())),
            ..self
        }
    }

    /// With what it is about, which may not have been read as a path.
    pub(crate) fn about(self, resource: &str) -> Self {
        Self {
            resource: Some(printable(resource)),
            ..self
        }
    }

    /// Says it to the security log, with the hash of its line.
    pub(super) fn trace(&self, chain: &Chain) {
        let Self {
            event,
            peer,
            tee,
            token,
            workload,
            measurement,
            resource,
            rule,
            counted: _,
            role,
            act,
            why,
        } = self;
        let (seq, hash) = chain.head();
        let peer = peer.map(|peer| peer.to_string());
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    target: "security",
                    event = event.name(),
                    seq,
                    peer,
                    tee,
                    token,
                    workload,
                    measurement,
                    resource,
                    rule,
                    role,
                    act,
                    why,
                    hash,
                )
            };
        }
        match event.is_good() {
            true => say!(info),
            false => say!(warn),
        }
    }
}

/// The beginning of what somebody else wrote, without what could change a terminal.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(shown).collect()
}
