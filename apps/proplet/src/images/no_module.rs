//! Why there is no module of an image: in words, and for whose reasons.

use propeller_oci::chain;
use propeller_oci::image::ImageError;
use propeller_oci::registry::Kind;
use propeller_oci::signatures::SignatureError;
#[cfg(feature = "tee")]
use propeller_wire::message::Refusal;
use tokio::sync::AcquireError;

use crate::attested::NotReleased;

/// Why there is no module.
#[derive(Debug)]
pub(crate) struct NoModule {
    pub(crate) text: String,
    /// Whether that is for reasons of the proxy's own.
    pub(super) by_proxy: bool,
    /// Whether that is for its key, for good.
    #[cfg_attr(
        not(feature = "tee"),
        allow(dead_code, reason = "no keys are released")
    )]
    by_key: bool,
}

impl NoModule {
    /// What the manager is told.
    #[cfg(feature = "tee")]
    pub(crate) fn refusal(&self) -> Refusal {
        match self.by_key {
            true => Refusal::NoKey,
            false => Refusal::NoModule,
        }
    }

    /// Nobody says anything more.
    pub(super) fn late(text: String) -> Self {
        Self {
            text,
            by_proxy: false,
            by_key: false,
        }
    }

    /// The proplet stops.
    pub(super) fn stops(error: AcquireError) -> Self {
        Self::late(error.to_string())
    }

    /// For its key, for good.
    pub(super) fn for_good(text: String) -> Self {
        Self {
            text,
            by_proxy: false,
            by_key: true,
        }
    }
}

impl From<NotReleased> for NoModule {
    fn from(NotReleased { text, may_pass }: NotReleased) -> Self {
        Self {
            text,
            by_proxy: false,
            by_key: !may_pass,
        }
    }
}

impl From<ImageError> for NoModule {
    fn from(error: ImageError) -> Self {
        let by_proxy = matches!(&error, ImageError::Registry(cause) if cause.kind() == Kind::Here);
        Self {
            text: chain(&error),
            by_proxy,
            by_key: matches!(&error, ImageError::Decrypt { .. }),
        }
    }
}

impl From<SignatureError> for NoModule {
    fn from(error: SignatureError) -> Self {
        let by_proxy =
            matches!(&error, SignatureError::Registry(cause) if cause.kind() == Kind::Here);
        Self {
            text: format!("{} (PROPLET_REQUIRE_SIGNATURE)", chain(&error)),
            by_proxy,
            by_key: false,
        }
    }
}
