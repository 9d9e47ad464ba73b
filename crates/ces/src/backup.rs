//! Backups of keys: a text that a passphrase opens.
//!
//! `docs/formats/ces.md`, section "Key backups", has it byte for byte. A backup is made to be
//! printed and kept for years, so that it takes nothing to read one but scrypt, AES-256-GCM and
//! SHA-256, and every way to be unreadable has its own error: nobody should try passphrases on a
//! text that was cut.

mod armour;
mod error;

pub use error::{ExportError, ImportError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::audit::{Action, Audit};
use crate::key::{KEY_LEN, Key, LABEL_LEN, Label};

/// Keys that one backup holds at most: their number is a byte.
pub const KEYS_MAX: usize = 255;
/// Length of the shortest passphrase that a backup is made with, in bytes: what NIST SP 800-63B
/// asks for. There is no second factor and no limit of attempts; a longer one is better.
pub const PASSPHRASE_LEN_MIN: usize = 8;

const MAGIC: [u8; 7] = *b"PRPLCEK";
const VERSION: u8 = 1;
/// 128 MiB and about half a second: what RFC 7914's author proposes for files.
const LOG_N: u8 = 17;
/// What a reader lets a text ask for: up to 1 GiB (128·N·r bytes), and no less than anybody uses.
const LOG_N_READ: std::ops::RangeInclusive<u8> = 10..=20;
const R: u8 = 8;
const P: u8 = 1;
const SALT_LEN: usize = 32;
const HEAD_LEN: usize = 12 + SALT_LEN;
const ENTRY_LEN: usize = KEY_LEN + LABEL_LEN;
const TAG_LEN: usize = 16;
const CHECK_LEN: usize = 16;

/// Seals keys, with their labels, under a passphrase. The result is a text of ASCII lines.
///
/// It takes 128 MiB of memory and about half a second. The passphrase's bytes are used as they are.
///
/// # Errors
/// Fails if there is no key or more than 255, if one is there twice, if the passphrase is shorter
/// than 8 bytes, or if the system has no randomness.
pub fn export(keys: &[Key], passphrase: &[u8], audit: Audit<'_>) -> Result<String, ExportError> {
    if passphrase.len() < PASSPHRASE_LEN_MIN {
        return Err(ExportError::Passphrase {
            got: passphrase.len(),
        });
    }
    let mut salt = [0; SALT_LEN];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| crate::RandomError)?;
    let bytes = seal(keys, passphrase, &salt, LOG_N)?;
    for key in keys {
        audit.key(Action::Exported, key);
    }
    Ok(armour::text(&bytes))
}

/// Opens a backup and gives its keys, with their labels.
///
/// # Errors
/// Says by name whether the text is not a backup, was cut or changed, asks for too much, or is
/// under another passphrase.
pub fn import(text: &str, passphrase: &[u8], audit: Audit<'_>) -> Result<Vec<Key>, ImportError> {
    let bytes = armour::bytes(text)?;
    let keys = open(&bytes, passphrase)?;
    for key in &keys {
        audit.key(Action::Imported, key);
    }
    Ok(keys)
}

/// The bytes of a backup. A salt is used once: the nonce is the same for all.
fn seal(
    keys: &[Key],
    passphrase: &[u8],
    salt: &[u8; SALT_LEN],
    log_n: u8,
) -> Result<Vec<u8>, ExportError> {
    let count = u8::try_from(keys.len()).ok().filter(|count| *count > 0);
    let count = count.ok_or(ExportError::Count { got: keys.len() })?;
    for (position, key) in keys.iter().enumerate() {
        if keys[..position].iter().any(|other| other.id() == key.id()) {
            return Err(ExportError::Repeated { id: key.id() });
        }
    }
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, log_n, R, P, count]);
    bytes.extend_from_slice(salt);

    let mut body = Zeroizing::new(Vec::with_capacity(keys.len() * ENTRY_LEN));
    for key in keys {
        body.extend_from_slice(key.secret());
        body.extend_from_slice(key.label().field());
    }
    let tag = cipher(passphrase, salt, log_n)
        .seal_in_place_separate_tag(nonce(), Aad::from(&bytes), &mut body)
        .expect("AES-256-GCM seals up to 64 GiB");
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(tag.as_ref());
    bytes.extend_from_slice(&check(&bytes));
    Ok(bytes)
}

fn open(bytes: &[u8], passphrase: &[u8]) -> Result<Vec<Key>, ImportError> {
    // Judged first, so that no other error is made of what is an accident.
    let (content, stored) = bytes
        .split_last_chunk::<CHECK_LEN>()
        .ok_or(ImportError::Damaged)?;
    if check(content) != *stored {
        return Err(ImportError::Damaged);
    }
    let (head, sealed) = content
        .split_at_checked(HEAD_LEN)
        .filter(|(head, _)| head.starts_with(&MAGIC))
        .ok_or(ImportError::NotABackup)?;
    let (version, log_n, r, p, count) = (head[7], head[8], head[9], head[10], head[11]);
    if version != VERSION {
        return Err(ImportError::Version { found: version });
    }
    if !LOG_N_READ.contains(&log_n) || (r, p) != (R, P) {
        return Err(ImportError::Cost { log_n, r, p });
    }
    if count == 0 || sealed.len() != usize::from(count) * ENTRY_LEN + TAG_LEN {
        return Err(ImportError::Length { count });
    }
    let salt = &head[HEAD_LEN - SALT_LEN..];
    let mut body = Zeroizing::new(sealed.to_vec());
    let body = cipher(passphrase, salt, log_n)
        .open_in_place(nonce(), Aad::from(head), &mut body)
        .map_err(|_| ImportError::Passphrase)?;
    // All at once: a vector that grows leaves copies of keys behind.
    let mut keys = Vec::with_capacity(usize::from(count));
    for bytes in body.chunks_exact(ENTRY_LEN) {
        keys.push(entry(bytes)?);
    }
    Ok(keys)
}

/// The key that an entry holds, with its label.
fn entry(entry: &[u8]) -> Result<Key, ImportError> {
    let (secret, label) = entry
        .split_first_chunk::<KEY_LEN>()
        .expect("an entry begins with a key");
    let label = label.try_into().ok().and_then(Label::from_field);
    let label = label.ok_or(ImportError::Label)?;
    Ok(Key::from_bytes(*secret).labelled(label))
}

/// `scrypt(passphrase, salt, 2^log_n, 8, 1, 32)` of RFC 7914, as a key of AES-256-GCM.
fn cipher(passphrase: &[u8], salt: &[u8], log_n: u8) -> LessSafeKey {
    let params = scrypt::Params::new(log_n, R.into(), P.into(), KEY_LEN)
        .expect("the costs are within what RFC 7914 allows");
    let mut key = Zeroizing::new([0; KEY_LEN]);
    scrypt::scrypt(passphrase, salt, &params, &mut *key).expect("scrypt gives 32 bytes");
    let key = UnboundKey::new(&AES_256_GCM, &*key).expect("a key of AES-256 has 32 bytes");
    LessSafeKey::new(key)
}

/// Zeros: every salt makes a key of its own, which seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Finds accidents, so that a wrong passphrase is not suspected for a slip of the pen.
fn check(content: &[u8]) -> [u8; CHECK_LEN] {
    let hash = digest(&SHA256, content);
    *hash.as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests;
