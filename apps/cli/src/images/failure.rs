//! Why an image was not pushed, pulled or looked at.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use propeller_attest::rcar::NoKey;
use propeller_oci::credentials::CredentialsError;
use propeller_oci::crypt::EncryptError;
use propeller_oci::image::ImageError;
use propeller_oci::layer::LayerError;
use propeller_oci::registry::{AuthoritiesError, Obstacle};
use propeller_oci::sign::VerifyError;
use propeller_oci::signatures::SignatureError;
use propeller_oci::{ReferenceError, RegistryError};

/// Why an image was not pushed, pulled or looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use the credentials in {}", path.display())]
    Credentials {
        path: PathBuf,
        #[source]
        source: CredentialsError,
    },
    #[error("cannot trust the authorities in {}", path.display())]
    Authorities {
        path: PathBuf,
        #[source]
        source: AuthoritiesError,
    },
    #[error("cannot use the key in {}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("cannot wrap keys with what is in {}", path.display())]
    WrappingKey {
        path: PathBuf,
        #[source]
        source: NoKey,
    },
    #[error("{text} names no image")]
    Reference {
        text: String,
        #[source]
        source: ReferenceError,
    },
    #[error("{} is a file, and {flag} is about images", path.display())]
    NoImage { path: PathBuf, flag: &'static str },
    #[error("{0} is kept by another key broker than --kbs")]
    KeptElsewhere(String),
    #[error("a key broker keeps keys of --encrypt provider:…, and none is given")]
    NothingToKeep,
    #[error("an image is pushed to a tag, and {0} has a digest")]
    PushToDigest(String),
    #[error(transparent)]
    Image(ImageError),
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Signature(SignatureError),
    #[error("cannot encrypt the module")]
    Encrypt(#[from] EncryptError),
}

impl Failure {
    pub(crate) fn key(path: &Path, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Key {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    /// What is behind it, outermost first. Of a broken connection the innermost alone: the layers
    /// around it only repeat that it is broken.
    pub(crate) fn causes(&self) -> Vec<String> {
        let chain = std::iter::successors(self.source(), |&error| error.source());
        let mut causes: Vec<_> = chain.map(ToString::to_string).collect();
        if let Self::Registry(RegistryError::Network { .. }) = self {
            causes.drain(..causes.len().saturating_sub(1));
        }
        causes
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Key { .. } => "check which file has the public and which the private key",
            Self::WrappingKey { .. } => "make one with: openssl rand -out FILE 32",
            Self::Credentials { .. } => {
                "name another file with --registry-config FILE, or log in again"
            }
            Self::Authorities { .. } => "name the registry's own with --registry-ca FILE",
            Self::Reference { .. } => {
                "name it as REGISTRY/REPOSITORY:TAG, with http:// in front if it has no TLS"
            }
            Self::KeptElsewhere(_) => "name that broker with --kbs, or leave its host out of keyid",
            Self::NothingToKeep => {
                "leave --kbs out, or encrypt with provider:attestation-agent:keypath=FILE::keyid=kbs:///…"
            }
            Self::PushToDigest(_) => "leave the digest out: pushing will tell it",
            Self::NoImage { .. } => "leave it out, or name an image: REGISTRY/REPOSITORY:TAG",
            Self::Image(error) => return image(error),
            Self::Registry(error) => return registry(error),
            Self::Signature(error) => return signature(error),
            Self::Read { .. } | Self::Write { .. } | Self::Encrypt(_) => return None,
        })
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Registry(error) => Self::Registry(error),
            error => Self::Image(error),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<SignatureError> for Failure {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Registry(error) => Self::Registry(error),
            error => Self::Signature(error),
        }
    }
}

fn image(error: &ImageError) -> Option<&'static str> {
    Some(match error {
        ImageError::Decrypt { .. } => {
            "give the key of one of its recipients with --decryption-key: jwe:FILE with a private \
             key, or provider:…"
        }
        ImageError::Layer(LayerError::Ambiguous { .. }) => {
            "build the image with an ENTRYPOINT that names one of them"
        }
        ImageError::NoWasm { .. } | ImageError::NotWasm => "push one with: propeller push FILE REF",
        _ => return None,
    })
}

fn registry(error: &RegistryError) -> Option<&'static str> {
    Some(match error {
        RegistryError::Name { .. } => {
            "check registry, repository and tag; registries also say this \
            of what one may not see"
        }
        RegistryError::Credentials { .. }
        | RegistryError::Challenge { .. }
        | RegistryError::Kept(_) => {
            "log in with docker, podman or skopeo, or name a file with --registry-config FILE"
        }
        RegistryError::Network { .. } => match error.obstacle() {
            Some(Obstacle::Authority) => AUTHORITY_AS_SERVER,
            Some(Obstacle::Certificate) => {
                "a registry with a certificate of its own needs --registry-ca FILE"
            }
            _ => "is that the registry? one without TLS is named http://…",
        },
        RegistryError::Digest { .. } => {
            "do not use it: the registry, or somebody on the way, sends other bytes"
        }
        _ => return None,
    })
}

/// `openssl req -x509` makes authorities unless it is told otherwise.
const AUTHORITY_AS_SERVER: &str = "the registry shows an authority's certificate (CA:TRUE) as its \
    own, whether it is trusted or not: give it one with CA:FALSE, and name that, or the authority \
    that signed it, with --registry-ca FILE";

fn signature(error: &SignatureError) -> Option<&'static str> {
    Some(match error {
        SignatureError::Verify(VerifyError::NotSigned { .. }) => {
            "whoever pushes it can sign it, with: propeller push FILE REF --sign KEY"
        }
        SignatureError::Verify(_) => "do not use it, unless you trust whoever signed it",
        _ => return None,
    })
}
