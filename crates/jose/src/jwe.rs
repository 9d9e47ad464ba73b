//! JSON Web Encryption in its JSON forms (RFC 7516, section 7.2), as ocicrypt's go-jose writes it.
//!
//! For one recipient that is the flattened form. For several it is the general form, to which
//! go-jose adds the first recipient's `encrypted_key` once more at the top, where RFC 7516 has none;
//! whoever reads `recipients` passes over it.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::SealError;
use crate::gcm::{Gcm, Sealed};
use crate::keys::{PrivateKey, PublicKey};
use crate::wrap;

/// Header parameters of RFC 7516, section 4.1, and RFC 7518, section 4.6.1.
#[derive(Default, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epk: Option<EphemeralKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zip: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crit: Option<Value>,
}

/// The public key that was made for one message, as a JWK (RFC 7518, section 6.2.1).
///
/// In the order in which readers write it that hold the tag against the header as they would have
/// written it: those of Confidential Containers.
#[derive(Default, Clone, Serialize, Deserialize)]
pub(crate) struct EphemeralKey {
    #[serde(default)]
    pub(crate) crv: String,
    pub(crate) kty: String,
    #[serde(default)]
    pub(crate) x: String,
    #[serde(default)]
    pub(crate) y: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Json {
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unprotected: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<JsonRecipient>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<String>,
    iv: String,
    ciphertext: String,
    tag: String,
}

#[derive(Serialize, Deserialize)]
struct JsonRecipient {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_key: Option<String>,
}

/// A message that has been read, and not been opened.
pub struct Message {
    /// Never empty.
    recipients: Vec<Recipient>,
    aad: String,
    sealed: Sealed,
}

/// One of those who can open a message.
struct Recipient {
    /// The parameters of all headers that apply.
    header: Header,
    encrypted_key: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.sealed.bytes.len())
    }
}

impl Header {
    /// What a recipient has to know to unwrap a key.
    pub(crate) fn of_wrapped_key(algorithm: &str, epk: Option<EphemeralKey>) -> Self {
        Self {
            alg: Some(algorithm.to_owned()),
            epk,
            ..Self::default()
        }
    }
}

impl Message {
    /// `None` if it is not a JWE in a JSON form.
    #[must_use]
    pub fn read(json: &[u8]) -> Option<Self> {
        let Json {
            protected,
            unprotected,
            header,
            recipients,
            aad,
            encrypted_key,
            iv,
            ciphertext,
            tag,
        } = serde_json::from_slice(json).ok()?;
        let protected = protected.unwrap_or_default();
        let read: Header = match protected.as_str() {
            "" => Header::default(),
            text => serde_json::from_slice(&decode(text)?).ok()?,
        };
        let common = merged(read, unprotected.unwrap_or_default())?;
        let flattened = JsonRecipient {
            header,
            encrypted_key,
        };
        let recipients: Vec<Recipient> = recipients
            .unwrap_or_else(|| vec![flattened])
            .into_iter()
            .map(|recipient| Recipient::read(recipient, &common))
            .collect::<Option<_>>()?;
        (!recipients.is_empty()).then_some(Self {
            recipients,
            // RFC 7516, section 5.1, step 14.
            aad: match aad {
                None => protected,
                Some(aad) => format!("{protected}.{aad}"),
            },
            sealed: Sealed {
                iv: decode(&iv)?.try_into().ok()?,
                bytes: decode(&ciphertext)?,
                tag: decode(&tag)?.try_into().ok()?,
            },
        })
    }

    /// How many can open it.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// A line for every recipient, such as `ECDH-ES+A256KW P-256`. Parts of it are the writer's, and
    /// neither bounded nor printable.
    pub fn describe(&self) -> impl Iterator<Item = String> + '_ {
        self.recipients.iter().map(Recipient::describe)
    }

    /// The plaintext, if any key is any recipient's. `None` tells nothing about why not.
    #[must_use]
    pub fn open(&self, keys: &[PrivateKey]) -> Option<Zeroizing<Vec<u8>>> {
        self.recipients
            .iter()
            .flat_map(|recipient| keys.iter().map(move |key| (recipient, key)))
            .find_map(|(recipient, key)| self.open_as(recipient, key))
    }

    fn open_as(&self, recipient: &Recipient, key: &PrivateKey) -> Option<Zeroizing<Vec<u8>>> {
        let cipher = recipient.cipher()?;
        let Recipient {
            header,
            encrypted_key,
        } = recipient;
        let content_key = wrap::unwrap(header, encrypted_key, key, cipher.key_len())?;
        cipher.open(&content_key, self.aad.as_bytes(), &self.sealed)
    }
}

impl Recipient {
    fn read(json: JsonRecipient, common: &Header) -> Option<Self> {
        Some(Self {
            header: merged(common.clone(), json.header.unwrap_or_default())?,
            encrypted_key: decode(&json.encrypted_key.unwrap_or_default())?,
        })
    }

    /// How the content is encrypted, if nothing is asked for that cannot be done.
    ///
    /// Compression would have to be undone, and what is critical be understood (RFC 7516, sections
    /// 4.1.3 and 4.1.13).
    fn cipher(&self) -> Option<Gcm> {
        let Header { enc, zip, crit, .. } = &self.header;
        match (zip, crit) {
            (None, None) => Gcm::named(enc.as_deref()?),
            _ => None,
        }
    }

    /// Such as `ECDH-ES+A256KW P-256`.
    fn describe(&self) -> String {
        let algorithm = self.header.alg.as_deref().unwrap_or("without algorithm");
        let mut text = algorithm.to_owned();
        if let Some(key) = &self.header.epk {
            text = format!("{text} {}", key.crv);
        }
        if self.cipher().is_none() || !wrap::is_supported(algorithm) {
            text.push_str(" (not supported)");
        }
        text
    }
}

/// Encrypts `plain` to every recipient, as go-jose writes it.
///
/// # Errors
/// Fails without randomness.
pub fn seal(plain: &[u8], recipients: &[PublicKey]) -> Result<Vec<u8>, SealError> {
    let cipher = Gcm::WRITTEN;
    let content_key = cipher.new_key()?;
    let enc = Some(cipher.name().to_owned());
    let mut json = Json::default();
    let mut wrapped = Vec::new();
    for recipient in recipients {
        let (header, key) = wrap::wrap(recipient, &content_key)?;
        wrapped.push((header, Some(BASE64URL_NOPAD.encode(&key))));
    }
    let protected = match <[_; 1]>::try_from(wrapped) {
        Ok([(header, encrypted_key)]) => {
            json.encrypted_key = encrypted_key;
            Header { enc, ..header }
        }
        Err(several) => {
            json.encrypted_key = several.first().and_then(|(_, key)| key.clone());
            json.recipients = Some(several.into_iter().map(JsonRecipient::new).collect());
            Header {
                enc,
                ..Header::default()
            }
        }
    };
    let protected = serde_json::to_vec(&protected).map_err(|_| SealError)?;
    let protected = BASE64URL_NOPAD.encode(&protected);
    let sealed = cipher.seal(&content_key, protected.as_bytes(), plain)?;
    json.protected = Some(protected);
    json.iv = BASE64URL_NOPAD.encode(&sealed.iv);
    json.ciphertext = BASE64URL_NOPAD.encode(&sealed.bytes);
    json.tag = BASE64URL_NOPAD.encode(&sealed.tag);
    serde_json::to_vec(&json).map_err(|_| SealError)
}

impl JsonRecipient {
    fn new((header, encrypted_key): (Header, Option<String>)) -> Self {
        Self {
            header: Some(header),
            encrypted_key,
        }
    }
}

/// All parameters of two headers, none of which may be in both (RFC 7516, section 7.2.1).
fn merged(one: Header, other: Header) -> Option<Header> {
    fn either<T>(one: Option<T>, other: Option<T>) -> Option<Option<T>> {
        match (one, other) {
            (Some(_), Some(_)) => None,
            (one, other) => Some(one.or(other)),
        }
    }
    Some(Header {
        alg: either(one.alg, other.alg)?,
        enc: either(one.enc, other.enc)?,
        epk: either(one.epk, other.epk)?,
        apu: either(one.apu, other.apu)?,
        apv: either(one.apv, other.apv)?,
        zip: either(one.zip, other.zip)?,
        crit: either(one.crit, other.crit)?,
    })
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(base64url.as_bytes()).ok()
}
