//! The annotations of an encrypted layer, and the wrapped keys in them.
//!
//! Under `org.opencontainers.image.enc.keys.SCHEME` are wrapped keys, in base64 with commas between
//! them. Any of them may be the reader's.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use propeller_jose::Message;
use zeroize::Zeroizing;

use super::RECIPIENTS_MAX;
use super::error::{DecryptError, EncryptError};
use super::parties::{KeysRef, Recipients};
use super::provider::Packet;

const PUBLIC_OPTIONS: &str = "org.opencontainers.image.enc.pubopts";
const KEYS: &str = "org.opencontainers.image.enc.keys.";
const JWE: &str = "jwe";
/// The name under which key providers are asked does not matter to who asks them otherwise.
const PROVIDER: &str = "provider.";
const PROVIDER_WRITTEN: &str = "provider.attestation-agent";

/// What a JWE for 64 RSA keys of 8192 bits needs is 121 KiB.
const ANNOTATION_LEN_MAX: usize = 128 * 1024;
/// What a person is shown of a name that somebody else chose.
const SHOWN_MAX: usize = 128;

/// Wraps key options for everybody: the annotations with them.
pub(super) fn wrap(
    options: &[u8],
    recipients: Recipients<'_>,
) -> Result<BTreeMap<String, String>, EncryptError> {
    let mut wrapped = BTreeMap::new();
    if !recipients.public.is_empty() {
        let jwe = propeller_jose::seal(options, recipients.public)?;
        wrapped.insert(format!("{KEYS}{JWE}"), BASE64.encode(&jwe));
    }
    if !recipients.wrapping.is_empty() {
        let packet = |key| Packet::seal(options, key).map(|packet| BASE64.encode(&packet));
        let packets: Result<Vec<_>, _> = recipients.wrapping.iter().map(packet).collect();
        wrapped.insert(format!("{KEYS}{PROVIDER_WRITTEN}"), packets?.join(","));
    }
    Ok(wrapped)
}

/// The annotations of a layer that has just been encrypted.
pub(super) fn write(
    public_options: &[u8],
    mut wrapped: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let options = BASE64.encode(public_options);
    wrapped.insert(PUBLIC_OPTIONS.to_owned(), options);
    wrapped
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
    Jwe(Message),
    /// Under a key that a provider keeps, which the annotation names.
    Packet(String, Packet),
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
    pub(super) fn open(&self, keys: KeysRef<'_>) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        if let Some(opened) = self.0.iter().find_map(|wrapped| wrapped.open(keys)) {
            return Ok(opened);
        }
        let all_foreign = |key: &WrappedKey| match key {
            WrappedKey::Foreign(_) => true,
            WrappedKey::Packet(_, packet) => !packet.is_supported(),
            WrappedKey::Jwe(_) | WrappedKey::Malformed(_) => false,
        };
        match self.0.iter().all(all_foreign) {
            true => Err(DecryptError::Scheme(self.summary())),
            false => Err(DecryptError::NoKey(self.summary())),
        }
    }

    /// Whether any of them is for a private key.
    pub(super) fn has_jwe(&self) -> bool {
        self.0.iter().any(|key| matches!(key, WrappedKey::Jwe(_)))
    }

    /// Where providers keep keys that open it.
    pub(super) fn key_ids(&self) -> Vec<String> {
        let id = |key: &WrappedKey| match key {
            WrappedKey::Packet(_, packet) if packet.is_supported() => Some(packet.kid.clone()),
            _ => None,
        };
        self.0.iter().filter_map(id).collect()
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
        if scheme.starts_with(PROVIDER) {
            return match Packet::read(&packet) {
                Some(packet) => Self::Packet(shown, packet),
                // Providers have formats of their own.
                None => Self::Foreign(shown),
            };
        }
        if scheme != JWE {
            return Self::Foreign(shown);
        }
        match Message::read(&packet) {
            Some(message) => Self::Jwe(message),
            None => Self::Malformed(shown),
        }
    }

    fn open(&self, keys: KeysRef<'_>) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Jwe(message) => message.open(keys.private),
            Self::Packet(_, packet) => keys.wrapping.iter().find_map(|key| packet.open(key)),
            Self::Foreign(_) | Self::Malformed(_) => None,
        }
    }

    fn recipients(&self) -> usize {
        match self {
            Self::Jwe(message) => message.recipients(),
            Self::Packet(..) | Self::Foreign(_) | Self::Malformed(_) => 1,
        }
    }

    fn describe(&self) -> Vec<String> {
        match self {
            Self::Jwe(message) => message
                .describe()
                .map(|recipient| format!("{JWE} {}", printable(&recipient)))
                .collect(),
            Self::Packet(scheme, packet) => vec![match packet.is_supported() {
                true => format!("{scheme} {}", printable(&packet.kid)),
                false => format!("{scheme} {} (not supported)", printable(&packet.kid)),
            }],
            Self::Foreign(what) => vec![what.clone()],
            Self::Malformed(scheme) => vec![format!("{scheme} (malformed)")],
        }
    }
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
