//! Why something is not to be had, in the words of the wire.

use propeller_blobs::BlobError;
use propeller_oci::registry::Kind;
use propeller_oci::{RegistryError, chain};
use propeller_wire::images::{Failed, Reason};

/// Why something is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// The answer to an ask.
    pub(crate) fn told(self, ask: u64) -> Failed {
        let Self { reason, text } = self;
        Failed { ask, reason, text }
    }
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        let kind = error.kind();
        let text = chain(&error);
        // Whoever shows it says the kind first, as a registry's own errors do.
        let text = text.strip_prefix(&format!("{kind}: ")).unwrap_or(&text);
        let reason = match kind {
            Kind::Name => Reason::Name,
            Kind::Credentials => Reason::Credentials,
            Kind::Network => Reason::Network,
            Kind::Digest => Reason::Digest,
            Kind::MediaType => Reason::MediaType,
            Kind::Size => Reason::Size,
            _ => Reason::Proxy,
        };
        Self::new(reason, text)
    }
}

impl From<BlobError> for Fault {
    fn from(error: BlobError) -> Self {
        let reason = match &error {
            BlobError::TooLarge { .. } => Reason::Size,
            // A disk may have room again.
            BlobError::Full | BlobError::Disk(_) => Reason::Busy,
            _ => Reason::Proxy,
        };
        Self::new(reason, chain(&error))
    }
}
