//! Keys on the command line, as skopeo writes them: `jwe:FILE`, and `provider:NAME:…` of key
//! providers.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use propeller_attest::rcar::{KbsUri, key_bytes};
use propeller_oci::crypt::{Keys, PrivateKey, PublicKey, Recipients, WrappingKey};

use super::{Failure, read};

/// A key of a scheme.
#[derive(Clone, Debug)]
pub enum KeyArg {
    /// A private or public key in a file.
    Jwe(PathBuf),
    /// Bytes in a file, which a key broker keeps as well.
    Provider {
        /// The file with the 32 bytes.
        path: PathBuf,
        /// Where the broker keeps them.
        id: KbsUri,
        /// The same as it was typed: images name it in more ways than one.
        typed: String,
    },
}

impl FromStr for KeyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("jwe", path)) if !path.is_empty() => Ok(Self::Jwe(path.into())),
            Some(("provider", rest)) => provider(rest),
            Some((scheme @ ("pgp" | "pkcs7" | "pkcs11"), _)) => Err(format!(
                "keys of {scheme} are not supported, only `jwe:FILE` and `provider:…`"
            )),
            _ => Err("a key is `jwe:` and its file, or `provider:` and what it needs".to_owned()),
        }
    }
}

/// `attestation-agent:keypath=FILE::keyid=kbs:///default/key/NAME[::algorithm=A256GCM]`
fn provider(rest: &str) -> Result<KeyArg, String> {
    const FORM: &str =
        "write provider:attestation-agent:keypath=FILE::keyid=kbs:///default/key/NAME";
    let (name, parameters) = rest.split_once(':').ok_or(FORM)?;
    if name != "attestation-agent" {
        return Err(format!("there is no key provider `{name}` here: {FORM}"));
    }
    let (mut path, mut id, mut typed) = (None, None, String::new());
    for parameter in parameters.split("::") {
        match parameter.split_once('=') {
            Some(("keypath", file)) if !file.is_empty() => path = Some(PathBuf::from(file)),
            Some(("keyid", uri)) => {
                let parsed = uri.parse::<KbsUri>();
                id = Some(parsed.map_err(|error| format!("keyid: {error}"))?);
                uri.clone_into(&mut typed);
            }
            Some(("algorithm", "A256GCM")) => {}
            Some(("algorithm", _)) => return Err("the algorithm is A256GCM".to_owned()),
            _ => return Err(FORM.to_owned()),
        }
    }
    match (path, id) {
        (Some(path), Some(id)) => Ok(KeyArg::Provider { path, id, typed }),
        _ => Err(FORM.to_owned()),
    }
}

/// Everybody for whom an image is encrypted.
#[derive(Debug, Default)]
pub(super) struct For {
    public: Vec<PublicKey>,
    wrapping: Vec<WrappingKey>,
}

impl For {
    pub(super) async fn read(keys: &[KeyArg]) -> Result<Self, Failure> {
        let mut all = Self::default();
        for key in keys {
            match key {
                KeyArg::Jwe(path) => {
                    let key = PublicKey::from_bytes(&read(path).await?);
                    all.public
                        .push(key.map_err(|source| Failure::key(path, source))?);
                }
                KeyArg::Provider { path, id, .. } => {
                    all.wrapping.push(wrapping(path, id.to_string()).await?);
                }
            }
        }
        Ok(all)
    }

    pub(super) fn recipients(&self) -> Recipients<'_> {
        Recipients {
            public: &self.public,
            wrapping: &self.wrapping,
        }
    }
}

/// Everything that opens an image.
pub(super) async fn opening(keys: &[KeyArg]) -> Result<Keys, Failure> {
    let (mut private, mut unwrapping) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            KeyArg::Jwe(path) => {
                let key = PrivateKey::from_bytes(&read(path).await?);
                private.push(key.map_err(|source| Failure::key(path, source))?);
            }
            KeyArg::Provider { path, typed, .. } => {
                unwrapping.push(wrapping(path, typed.clone()).await?);
            }
        }
    }
    Ok(Keys {
        private: private.into(),
        wrapping: unwrapping.into(),
    })
}

async fn wrapping(path: &Path, id: String) -> Result<WrappingKey, Failure> {
    let key = key_bytes(&read(path).await?);
    let key = key.map_err(|source| Failure::WrappingKey {
        path: path.to_owned(),
        source,
    })?;
    Ok(WrappingKey::new(id, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_provider_has_a_file_and_a_place() {
        let text = "provider:attestation-agent:keypath=k.bin::keyid=kbs:///default/key/a";
        let Ok(KeyArg::Provider { path, id, typed }) = text.parse() else {
            panic!("it is one")
        };
        assert_eq!(path, Path::new("k.bin"));
        assert_eq!(id.to_string(), "kbs:///default/key/a");
        assert_eq!(typed, "kbs:///default/key/a");
        let text = "provider:attestation-agent:keypath=k::keyid=/default/image-kek/1";
        let Ok(KeyArg::Provider { id, typed, .. }) = text.parse() else {
            panic!("it is one")
        };
        assert_eq!(id.to_string(), "kbs:///default/image-kek/1");
        assert_eq!(typed, "/default/image-kek/1");
        for wrong in [
            "provider:attestation-agent",
            "provider:other:keypath=k::keyid=a/b/c",
            "provider:attestation-agent:keypath=k",
            "provider:attestation-agent:keyid=a/b/c",
            "provider:attestation-agent:keypath=k::keyid=a/b",
            "provider:attestation-agent:keypath=k::keyid=a/b/c::algorithm=A256CTR",
        ] {
            assert!(wrong.parse::<KeyArg>().is_err(), "{wrong}");
        }
    }
}
