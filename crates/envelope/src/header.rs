//! The header: who can open the envelope, and a MAC over all of that.

use aws_lc_rs::{aead, hmac};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::OpenError;
use crate::hazmat::Entropy;
use crate::kdf::hkdf;
use crate::key::{KeyId, Keyring, WorkloadKey};
use crate::payload::{NONCE_PREFIX_LEN, PayloadKey};

const MAGIC: &[u8; 7] = b"PRPLENV";
const VERSION: u8 = 1;
const STANZAS_MAX: u8 = 8;
const STANZA_BODY_LEN_MAX: usize = 1024;
const STANZA_SHARED_KEY: u8 = 1;
const KEY_ID_LEN: usize = 8;
const SALT_LEN: usize = 32;
const WRAPPED_LEN: usize = 48;
const STANZA_SHARED_KEY_LEN: usize = KEY_ID_LEN + SALT_LEN + WRAPPED_LEN;
const MAC_LEN: usize = 32;

/// Length of a header with one shared-key stanza, which is what [`crate::seal`] writes.
pub const HEADER_LEN_SHARED_KEY: usize =
    MAGIC.len() + 2 + 3 + STANZA_SHARED_KEY_LEN + NONCE_PREFIX_LEN + MAC_LEN;

/// 32 random bytes from which every other key of one envelope comes.
pub(crate) type ContentKey = Zeroizing<[u8; 32]>;

/// Whether `bytes` start like an envelope of any version.
#[must_use]
pub fn looks_like_envelope(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The workload key that an envelope says it is sealed with. Nothing is checked but the layout.
#[must_use]
pub fn sealed_with(envelope: &[u8]) -> Option<KeyId> {
    let (header, _) = Header::read(envelope).ok()?;
    let stanza = header
        .stanzas
        .iter()
        .find(|stanza| stanza.kind == STANZA_SHARED_KEY)?;
    let id = stanza.body.first_chunk::<KEY_ID_LEN>()?;
    Some(KeyId(*id))
}

/// A header that has been parsed and not yet believed.
pub(crate) struct Header<'a> {
    stanzas: Vec<Stanza<'a>>,
    nonce_prefix: [u8; NONCE_PREFIX_LEN],
    authenticated: &'a [u8],
    mac: &'a [u8],
}

struct Stanza<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Header<'a> {
    /// Splits an envelope into its header and its payload.
    pub(crate) fn read(envelope: &'a [u8]) -> Result<(Self, &'a [u8]), OpenError> {
        let mut rest = envelope;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err(OpenError::Malformed("wrong magic"));
        }
        match take(&mut rest, 1)?[0] {
            VERSION => {}
            other => return Err(OpenError::Version(other)),
        }
        let count = take(&mut rest, 1)?[0];
        if !(1..=STANZAS_MAX).contains(&count) {
            return Err(OpenError::Malformed("stanza count outside 1 to 8"));
        }
        let stanzas = (0..count)
            .map(|_| Stanza::read(&mut rest))
            .collect::<Result<_, _>>()?;
        let nonce_prefix = take(&mut rest, NONCE_PREFIX_LEN)?
            .try_into()
            .expect("take returns as many bytes as it was asked for");
        let authenticated = &envelope[..envelope.len() - rest.len()];
        let mac = take(&mut rest, MAC_LEN)?;
        let header = Self {
            stanzas,
            nonce_prefix,
            authenticated,
            mac,
        };
        Ok((header, rest))
    }

    /// The only way to a [`PayloadKey`], and it checks the MAC.
    pub(crate) fn authenticate(
        &self,
        keys: &Keyring,
        context: &Context<'_>,
    ) -> Result<PayloadKey, OpenError> {
        let context = context.encode();
        self.stanzas
            .iter()
            .filter_map(|stanza| stanza.unwrap(keys))
            .find(|content_key| {
                hmac::verify(
                    &mac_key(content_key, &context),
                    self.authenticated,
                    self.mac,
                )
                .is_ok()
            })
            .map(|content_key| PayloadKey::new(&content_key, &context, self.nonce_prefix))
            .ok_or(OpenError::NotOurs)
    }
}

/// Writes the header of an envelope to one workload key.
pub(crate) fn write(entropy: &Entropy, key: &WorkloadKey, context: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, 1, STANZA_SHARED_KEY]);
    let len = u16::try_from(STANZA_SHARED_KEY_LEN).expect("88 fits");
    out.extend_from_slice(&len.to_be_bytes());
    let id = key.id();
    out.extend_from_slice(&id.0);
    out.extend_from_slice(&entropy.salt);
    let mut wrapped = Zeroizing::new(entropy.content_key.to_vec());
    wrap_key(key, id, &entropy.salt)
        .seal_in_place_append_tag(zero_nonce(), aead::Aad::from(id.0), &mut *wrapped)
        .expect("32 bytes are far below AES-GCM's limit");
    out.extend_from_slice(&wrapped);
    out.extend_from_slice(&entropy.nonce_prefix);
    let mac = hmac::sign(&mac_key(&entropy.content_key, context), out);
    out.extend_from_slice(mac.as_ref());
}

impl<'a> Stanza<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Self, OpenError> {
        let head = take(rest, 3)?;
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        if len > STANZA_BODY_LEN_MAX {
            return Err(OpenError::Malformed("stanza longer than 1024 bytes"));
        }
        Ok(Self {
            kind: head[0],
            body: take(rest, len)?,
        })
    }

    /// The content key, if this stanza is ours. A wrong tag and a foreign stanza look the same.
    fn unwrap(&self, keys: &Keyring) -> Option<ContentKey> {
        if self.kind != STANZA_SHARED_KEY || self.body.len() != STANZA_SHARED_KEY_LEN {
            return None;
        }
        let (id, rest) = self.body.split_at(KEY_ID_LEN);
        let (salt, wrapped) = rest.split_at(SALT_LEN);
        let id = KeyId(id.try_into().expect("split at 8"));
        let key = keys.find(id)?;
        let mut content_key = Zeroizing::new([0; 32]);
        let (ciphertext, tag) = wrapped.split_at(WRAPPED_LEN - aead::AES_256_GCM.tag_len());
        wrap_key(key, id, salt)
            .open_separate_gather(
                zero_nonce(),
                aead::Aad::from(id.0),
                ciphertext,
                tag,
                content_key.as_mut_slice(),
            )
            .ok()?;
        Some(content_key)
    }
}

fn wrap_key(key: &WorkloadKey, id: KeyId, salt: &[u8]) -> aead::LessSafeKey {
    aes_256_gcm(&key.derive(salt, &[b"propeller envelope v1 wrap", &id.0]))
}

/// A wrap key belongs to one 256-bit salt and is used once, so its nonce may be constant.
fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

fn mac_key(content_key: &[u8; 32], context: &[u8]) -> hmac::Key {
    let key = hkdf::<32>(content_key, b"", &[b"propeller envelope v1 mac", context]);
    hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())
}

pub(crate) fn aes_256_gcm(key: &[u8; 32]) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("the key is 32 bytes");
    aead::LessSafeKey::new(key)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], OpenError> {
    let (taken, left) = rest
        .split_at_checked(len)
        .ok_or(OpenError::Malformed("ends inside the header"))?;
    *rest = left;
    Ok(taken)
}
