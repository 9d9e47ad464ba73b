//! The annotations of an encrypted layer, and the wrapped keys in them.
//!
//! Under `org.opencontainers.image.enc.keys.SCHEME` are wrapped keys, in base64 with commas between
//! them. Any of them may be the reader's.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::DecryptError;
use super::keys::PrivateKey;
use super::{RECIPIENTS_MAX, jwe};

const PUBLIC_OPTIONS: &str = "org.opencontainers.image.enc.pubopts";
const KEYS: &str = "org.opencontainers.image.enc.keys.";
const JWE: &str = "jwe";

/// What a JWE for 64 RSA keys of 8192 bits needs is 121 KiB.
const ANNOTATION_LEN_MAX: usize = 128 * 1024;
/// What a person is shown of a name that somebody else chose.
const SHOWN_MAX: usize = 128;

/// The annotations of a layer that has just been encrypted.
pub(super) fn write(public_options: &[u8], jwe: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([
        (PUBLIC_OPTIONS.to_owned(), BASE64.encode(public_options)),
        (format!("{KEYS}{JWE}"), BASE64.encode(jwe)),
    ])
}

/// The JSON of the public options.
pub(super) fn public_options(
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, DecryptError> {
    let refuse = DecryptError::PublicOptions;
    let Some(value) = annotations.get(PUBLIC_OPTIONS) else {
        // A layer without any of them is rather not encrypted than damaged.
        return Err(match annotations.keys().any(|key| key.starts_with(KEYS)) {
            true => refuse("it is not there"),
            false => DecryptError::NotEncrypted,
        });
    };
    let value = bounded(value)?;
    BASE64
        .decode(value.as_bytes())
        .map_err(|_| refuse("it is not base64"))
}

/// Every wrapped key of a layer.
pub(super) struct WrappedKeys(Vec<WrappedKey>);

enum WrappedKey {
    Jwe(jwe::Message),
    /// Of a scheme that only has a name here.
    Foreign(String),
    /// Not what its scheme says. Another one may still be ours.
    Malformed(String),
}

impl WrappedKeys {
    /// Reads all of them, up to bounds that no honest image reaches.
    pub(super) fn read(annotations: &BTreeMap<String, String>) -> Result<Self, DecryptError> {
        let mut keys = Vec::new();
        let mut recipients = 0;
        for (name, value) in annotations {
            let Some(scheme) = name.strip_prefix(KEYS) else {
                continue;
            };
            for element in bounded(value)?.split(',').filter(|text| !text.is_empty()) {
                let key = WrappedKey::read(scheme, element);
                recipients += key.recipients();
                if recipients > RECIPIENTS_MAX {
                    return Err(too_much("recipients", RECIPIENTS_MAX));
                }
                keys.push(key);
            }
        }
        match keys.is_empty() {
            true => Err(DecryptError::NotEncrypted),
            false => Ok(Self(keys)),
        }
    }

    /// The key options that any of `keys` opens.
    pub(super) fn open(&self, keys: &[PrivateKey]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let messages = || self.0.iter().filter_map(WrappedKey::jwe);
        if let Some(opened) = messages().find_map(|message| message.open(keys)) {
            return Ok(opened);
        }
        let all_foreign = |key: &WrappedKey| matches!(key, WrappedKey::Foreign(_));
        match self.0.iter().all(all_foreign) {
            true => Err(DecryptError::Scheme(self.summary())),
            false => Err(DecryptError::NoKey(self.summary())),
        }
    }

    /// A line for every recipient.
    pub(super) fn describe(&self) -> Vec<String> {
        self.0.iter().flat_map(WrappedKey::describe).collect()
    }

    /// All recipients as part of a sentence; the first few of many.
    fn summary(&self) -> String {
        const SHOWN: usize = 4;
        let all = self.describe();
        let shown = all[..all.len().min(SHOWN)].join(", ");
        let count = match all.len() {
            1 => "1 recipient".to_owned(),
            n => format!("{n} recipients"),
        };
        match all.len() > SHOWN {
            true => format!("{count} ({shown}, …)"),
            false => format!("{count} ({shown})"),
        }
    }
}

impl WrappedKey {
    fn read(scheme: &str, element: &str) -> Self {
        let shown = printable(scheme);
        let Ok(packet) = BASE64.decode(element.as_bytes()) else {
            return Self::Malformed(shown);
        };
        if scheme != JWE {
            return Self::Foreign(match key_id(&packet) {
                Some(id) => format!("{shown} {}", printable(&id)),
                None => shown,
            });
        }
        match jwe::Message::read(&packet) {
            Some(message) => Self::Jwe(message),
            None => Self::Malformed(shown),
        }
    }

    fn jwe(&self) -> Option<&jwe::Message> {
        match self {
            Self::Jwe(message) => Some(message),
            Self::Foreign(_) | Self::Malformed(_) => None,
        }
    }

    fn recipients(&self) -> usize {
        match self {
            Self::Jwe(message) => message.recipients.len(),
            Self::Foreign(_) | Self::Malformed(_) => 1,
        }
    }

    fn describe(&self) -> Vec<String> {
        match self {
            Self::Jwe(message) => message
                .recipients
                .iter()
                .map(|recipient| format!("{JWE} {}", printable(&recipient.describe())))
                .collect(),
            Self::Foreign(what) => vec![what.clone()],
            Self::Malformed(scheme) => vec![format!("{scheme} (malformed)")],
        }
    }
}

/// The name of the key that a key provider would fetch, as in the packets of Confidential
/// Containers.
fn key_id(packet: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Packet {
        kid: String,
    }
    serde_json::from_slice(packet)
        .ok()
        .map(|Packet { kid }| kid)
}

fn bounded(value: &str) -> Result<&str, DecryptError> {
    match value.len() > ANNOTATION_LEN_MAX {
        true => Err(too_much("bytes", ANNOTATION_LEN_MAX)),
        false => Ok(value),
    }
}

fn too_much(what: &'static str, max: usize) -> DecryptError {
    DecryptError::TooMuch { what, max }
}

/// The beginning of a foreign text, without what could change a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(SHOWN_MAX)
        .collect()
}
