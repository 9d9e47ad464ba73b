//! What ocicrypt says about a layer: to everybody, and to its recipients.
//!
//! ```json
//! {"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"<base64>","cipheroptions":{}}
//! {"symkey":"<base64>","digest":"sha256:<hex>","cipheroptions":{"nonce":"<base64>"}}
//! ```

use std::collections::BTreeMap;

use data_encoding::BASE64;
use propeller_model::Digest;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::annotations::printable;
use super::error::{DecryptError, EncryptError};
use super::layer::LayerKey;

const CIPHER: &str = "AES_256_CTR_HMAC_SHA256";
const NONCE: &str = "nonce";

/// More than the key options of one layer have, so that writing them moves no secret.
const KEY_OPTIONS_LEN: usize = 512;

/// An object, empty where there are no options; `null` is what Go writes for a map never made.
type CipherOptions = Option<BTreeMap<String, String>>;

#[derive(Serialize, Deserialize)]
struct PublicJson {
    #[serde(default)]
    cipher: String,
    #[serde(default)]
    hmac: String,
    #[serde(default)]
    cipheroptions: CipherOptions,
}

#[derive(Serialize, Deserialize)]
struct KeyJson {
    #[serde(deserialize_with = "secret", serialize_with = "expose")]
    symkey: Zeroizing<String>,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    cipheroptions: CipherOptions,
}

/// What everybody may know: the cipher, and the MAC of the encrypted layer.
pub(super) struct PublicOptions {
    pub(super) mac: [u8; 32],
    nonce: Option<String>,
}

impl PublicOptions {
    pub(super) fn read(json: &[u8]) -> Result<Self, DecryptError> {
        let refuse = DecryptError::PublicOptions;
        let PublicJson {
            cipher,
            hmac,
            cipheroptions,
        } = serde_json::from_slice(json).map_err(|_| refuse("it is not the JSON of ocicrypt"))?;
        if cipher != CIPHER {
            return Err(DecryptError::Cipher(printable(&cipher)));
        }
        let mac = bytes(&hmac).ok_or_else(|| refuse("`hmac` is not the base64 of 32 bytes"))?;
        Ok(Self {
            mac: *mac,
            nonce: nonce(cipheroptions),
        })
    }
}

/// What recipients know: key, nonce and digest of the layer.
pub(super) struct KeyOptions(KeyJson);

impl KeyOptions {
    pub(super) fn read(json: &[u8]) -> Result<Self, DecryptError> {
        serde_json::from_slice(json)
            .map(Self)
            .map_err(|_| DecryptError::KeyOptions("it is not the JSON of ocicrypt"))
    }

    /// ocicrypt looks for the nonce in the public options first.
    pub(super) fn layer_key(&self, public: &PublicOptions) -> Result<LayerKey, DecryptError> {
        let refuse = DecryptError::KeyOptions;
        let own = || nonce(self.0.cipheroptions.clone());
        let nonce = public.nonce.clone().or_else(own);
        let nonce = nonce.ok_or_else(|| refuse("it has no `nonce`"))?;
        Ok(LayerKey {
            key: *bytes(&self.0.symkey)
                .ok_or_else(|| refuse("`symkey` is not the base64 of 32 bytes"))?,
            nonce: *bytes(&nonce).ok_or_else(|| refuse("`nonce` is not the base64 of 16 bytes"))?,
        })
    }

    /// `None` if whoever encrypted the layer named none.
    pub(super) fn digest(&self) -> Result<Option<Digest>, DecryptError> {
        match self.0.digest.as_str() {
            "" => Ok(None),
            text => match text.parse() {
                Ok(digest) => Ok(Some(digest)),
                Err(_) => Err(DecryptError::KeyOptions("`digest` is not one of SHA-256")),
            },
        }
    }
}

/// The public options of a layer that has just been encrypted, as JSON.
pub(super) fn public_options(mac: &[u8; 32]) -> Result<Vec<u8>, EncryptError> {
    let json = PublicJson {
        cipher: CIPHER.to_owned(),
        hmac: BASE64.encode(mac),
        cipheroptions: Some(BTreeMap::new()),
    };
    serde_json::to_vec(&json).map_err(|_| EncryptError::Library)
}

/// The key options of a layer that has just been encrypted, as JSON.
pub(super) fn key_options(
    key: &LayerKey,
    digest: Digest,
) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
    let nonce = BASE64.encode(&key.nonce);
    let json = KeyJson {
        symkey: Zeroizing::new(BASE64.encode(&key.key)),
        digest: digest.to_string(),
        cipheroptions: Some(BTreeMap::from([(NONCE.to_owned(), nonce)])),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_OPTIONS_LEN));
    serde_json::to_writer(&mut *text, &json).map_err(|_| EncryptError::Library)?;
    Ok(text)
}

fn nonce(options: CipherOptions) -> Option<String> {
    options?.remove(NONCE)
}

/// Exactly `N` bytes, as Go writes bytes into JSON.
fn bytes<const N: usize>(base64: &str) -> Option<Zeroizing<[u8; N]>> {
    let decoded = Zeroizing::new(BASE64.decode(base64.as_bytes()).ok()?);
    decoded.as_slice().try_into().ok().map(Zeroizing::new)
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn expose<S: serde::Serializer>(secret: &Zeroizing<String>, into: S) -> Result<S::Ok, S::Error> {
    into.serialize_str(secret)
}
