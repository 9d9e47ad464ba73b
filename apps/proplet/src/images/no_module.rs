//! Why there is no module of an image: in words, and for whose reasons.

use propeller_oci::chain;
use propeller_oci::crypt::DecryptError;
use propeller_oci::image::ImageError;
use propeller_oci::registry::Kind;
use propeller_oci::signatures::SignatureError;
#[cfg(feature = "tee")]
use propeller_wire::message::Refusal;
use tokio::sync::AcquireError;

use crate::attested::NotReleased;

/// What is said besides where nobody was asked for a key.
const UNMARKED: &str = "; where a key broker keeps its key, create the task with --encrypted \
                        (\"encrypted\": true), and otherwise add its key to PROPLET_IMAGE_KEYS";

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

    /// Of an image that is opened with the proplet's own keys, if at all.
    pub(super) fn unreleased(error: ImageError) -> Self {
        let is_for_others = matches!(
            error,
            ImageError::Decrypt {
                source: DecryptError::NoKey(_),
                ..
            }
        );
        let mut told = Self::from(error);
        if is_for_others {
            told.text.push_str(UNMARKED);
        }
        told
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_not_marked_as_encrypted_says_how_it_would_be() {
        let told = |source| {
            let error = ImageError::Decrypt { layer: 1, source };
            NoModule::unreleased(error).text
        };
        let text = told(DecryptError::NoKey("one recipient".to_owned()));
        assert!(text.contains("no key given opens this layer"), "{text}");
        assert!(text.contains("--encrypted"), "{text}");
        // It was opened: what is wrong is not the key.
        assert!(!told(DecryptError::Mac).contains("--encrypted"));
    }
}
