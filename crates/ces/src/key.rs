//! Keys, their ids, and the labels that keep environments apart.
//!
//! `docs/formats/ces.md`, section "Keys", has the derivations byte for byte.

mod label;

pub use label::{LABEL_LEN, Label, LabelError};

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of a key, in bytes.
pub const KEY_LEN: usize = 32;
/// Length of the shortest master secret that keys of tenants are derived from, in bytes.
pub const MASTER_LEN_MIN: usize = 32;
/// The variable in which callers look for a key. This crate reads no environment.
pub const KEY_VARIABLE: &str = "CES_ENCRYPTION_KEY";

const KEY_ID_INFO: &[u8] = b"propeller ces key id v1";
/// Salt and prefix of the older implementation's recipe.
const TENANT_SALT: &[u8] = b"wgt-ces-v1";
const TENANT_INFO: &[u8] = b"ces-pipeline-";

/// A key of 32 bytes, which wraps the data keys of objects.
///
/// Whoever holds it can read every object under it, and make new ones.
/// It is overwritten when it is dropped. There is no comparison: compare [`Key::id`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    secret: [u8; KEY_LEN],
    /// Not secret, and in every header.
    #[zeroize(skip)]
    label: Label,
}

impl Key {
    /// Takes 32 bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self {
            secret: bytes,
            label: Label::NONE,
        }
    }

    /// Makes a new random key. What it seals is lost with it.
    ///
    /// # Errors
    /// Fails if the system has no randomness.
    pub fn random() -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| RandomError)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// Reads 64 hexadecimal digits, surrounded by nothing but white space.
    ///
    /// # Errors
    /// Says what is wrong with the text without repeating any of it.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if let Some(position) = text.chars().position(|c| !c.is_ascii_hexdigit()) {
            return Err(KeyError::Digit {
                position: position + 1,
            });
        }
        // Judged before it is decoded, so that no text decides how much is allocated.
        if text.len() != 2 * KEY_LEN {
            return Err(KeyError::Length { got: text.len() });
        }
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        data_encoding::HEXLOWER_PERMISSIVE
            .decode_mut(text.as_bytes(), &mut *bytes)
            .expect("64 hexadecimal digits are 32 bytes");
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(KeyError::Placeholder);
        }
        Ok(Self::from_bytes(*bytes))
    }

    /// The key that the value of [`KEY_VARIABLE`] is, as a caller found it.
    ///
    /// A value that is missing never becomes a random key: nobody could read afterwards what that
    /// one sealed.
    ///
    /// # Errors
    /// Fails if there is no value, or not 64 hexadecimal digits.
    pub fn from_variable(value: Option<&str>) -> Result<Self, KeyError> {
        match value.map(str::trim) {
            None | Some("") => Err(KeyError::Missing),
            Some(text) => Self::from_hex(text),
        }
    }

    /// The key of `tenant`: `HKDF(master, "wgt-ces-v1", "ces-pipeline-" ‖ tenant, 32)`.
    ///
    /// It is the recipe of the older implementation. Knowing one tenant's key tells nothing about
    /// another's, nor about `master`.
    ///
    /// # Errors
    /// Fails if `master` is shorter than 32 bytes, or `tenant` empty.
    pub fn for_tenant(master: &[u8], tenant: &str) -> Result<Self, KeyError> {
        if master.len() < MASTER_LEN_MIN {
            return Err(KeyError::Master { got: master.len() });
        }
        if tenant.is_empty() {
            return Err(KeyError::Tenant);
        }
        let info = [TENANT_INFO, tenant.as_bytes()];
        Ok(Self::from_bytes(*hkdf(master, TENANT_SALT, &info)))
    }

    /// The same key, for objects with this label and no others.
    ///
    /// A key without a label is one for every object.
    #[must_use]
    pub fn labelled(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// The label of the objects that the key is for.
    #[must_use]
    pub fn label(&self) -> Label {
        self.label
    }

    /// Whether the key is for objects with this label.
    #[must_use]
    pub fn is_for(&self, label: Label) -> bool {
        self.label.is_empty() || self.label == label
    }

    /// The name of this key: `HKDF(key, "", "propeller ces key id v1", 8)`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(*hkdf(&self.secret, b"", &[KEY_ID_INFO]))
    }

    /// The key as 64 hexadecimal digits, for the place where it is kept.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::HEXLOWER.encode(&self.secret))
    }

    pub(crate) fn secret(&self) -> &[u8; KEY_LEN] {
        &self.secret
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

/// Names a key without revealing it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| KeyIdError)?;
        bytes.try_into().map(Self).map_err(|_| KeyIdError)
    }
}

/// `HKDF(ikm, salt, info, N)` of RFC 5869 with SHA-256; `info` is the parts one after the other.
pub(crate) fn hkdf<const N: usize>(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    Salt::new(HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, OutputLen(N))
        .and_then(|okm| okm.fill(&mut *out))
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    out
}

struct OutputLen(usize);

impl KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// Why something is not a key. The value itself is never part of the message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The variable is not set, or empty.
    #[error(
        "there is no key in {KEY_VARIABLE}: set it to 64 hexadecimal digits, such as `openssl rand -hex 32` makes, \
         or ask for a key that is lost with the process by name"
    )]
    Missing,
    /// Not 64 characters.
    #[error(
        "a key is 64 hexadecimal digits (32 bytes), got {got} of them; make one with `openssl rand -hex 32`"
    )]
    Length {
        /// How many characters there were.
        got: usize,
    },
    /// A character that is not a hexadecimal digit.
    #[error(
        "a key is 64 hexadecimal digits, character {position} is not one; make one with `openssl rand -hex 32`"
    )]
    Digit {
        /// Position of the offending character, from 1.
        position: usize,
    },
    /// Every byte is the same, as in a placeholder.
    #[error(
        "a key must be random, this one repeats a single byte; make one with `openssl rand -hex 32`"
    )]
    Placeholder,
    /// A master secret that is too short to derive keys from.
    #[error(
        "a master secret has at least {MASTER_LEN_MIN} bytes, got {got}; make one with `openssl rand 32`"
    )]
    Master {
        /// How many bytes there were.
        got: usize,
    },
    /// A tenant without a name.
    #[error("the tenant's name is empty: name the tenant whose key is wanted")]
    Tenant,
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("the system's random number generator failed: nothing can be sealed without it")]
pub struct RandomError;

/// A text that is not a key's id.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("a key's id is 16 hexadecimal digits, as the description of an object shows it")]
pub struct KeyIdError;

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn key() -> Key {
        Key::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()))
    }

    /// The expected values are of Python's `cryptography`.
    #[test]
    fn keys_of_tenants_are_those_of_the_recipe() {
        let (short, long) = (key(), [b'm'; 100]);
        let cases: [(&[u8], &str, &str); 4] = [
            (
                short.secret(),
                "acme",
                "fee3e1de64d6b0f34bedea2cb9823d0dba1f6b96d45ad172ec41e132a69dea8b",
            ),
            (
                short.secret(),
                "zürich",
                "42fa79bd262e1af4fe7530b76e024f46db6833ce62cf2d4689f35f34ca2e282a",
            ),
            (
                short.secret(),
                "a",
                "e3095bd1f74fa0affd526f744131c6971c1b30bdfb494c898748ec2460db7e34",
            ),
            (
                &long,
                "acme",
                "8d4d0dcce1ad96929b1dec36746e9d172d749e7db2f7742b1b9cc9538053f02c",
            ),
        ];
        for (master, tenant, expected) in cases {
            let derived = Key::for_tenant(master, tenant).unwrap();
            assert_eq!(*derived.to_hex(), expected, "{tenant}");
        }
    }

    #[test]
    fn a_tenants_key_needs_a_long_secret_and_a_name() {
        let short = Key::for_tenant(&[7; 31], "acme").unwrap_err();
        assert_eq!(short, KeyError::Master { got: 31 });
        assert_eq!(Key::for_tenant(&[7; 32], "").unwrap_err(), KeyError::Tenant);
    }

    #[test]
    fn the_id_is_derived_and_the_only_thing_that_debug_shows() {
        assert_eq!(key().id().to_string(), "854e2f1e83aded11");
        assert_eq!(format!("{:?}", key()), "Key(854e2f1e83aded11)");
        assert_eq!("854E2f1e83aded11".parse(), Ok(key().id()));
        for text in [
            "",
            "85",
            "854e2f1e83aded1",
            "854e2f1e83aded1100",
            "854e2f1e83aded1x",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
    }

    #[test]
    fn hex_is_read_whatever_surrounds_it() {
        for text in [HEX.to_owned(), format!(" {HEX}\r\n"), HEX.to_uppercase()] {
            assert_eq!(*Key::from_hex(&text).unwrap().to_hex(), HEX);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let check = |text: &str, expected: KeyError| {
            let error = Key::from_hex(text).unwrap_err();
            assert!(!error.to_string().contains(text) || text.is_empty());
            assert_eq!(error, expected);
        };
        check("", KeyError::Length { got: 0 });
        check(&HEX[..63], KeyError::Length { got: 63 });
        check(&format!("{HEX}20"), KeyError::Length { got: 66 });
        check(&HEX.replace('f', "g"), KeyError::Digit { position: 32 });
        check(&HEX.replace('f', "é"), KeyError::Digit { position: 32 });
        check(&"ab".repeat(32), KeyError::Placeholder);
    }

    #[test]
    fn a_missing_variable_is_an_error_and_never_a_random_key() {
        for value in [None, Some(""), Some(" \n")] {
            assert_eq!(Key::from_variable(value).unwrap_err(), KeyError::Missing);
        }
        let malformed = Key::from_variable(Some("secret")).unwrap_err();
        assert_eq!(malformed, KeyError::Digit { position: 1 });
        assert_eq!(Key::from_variable(Some(HEX)).unwrap().id(), key().id());
    }

    #[test]
    fn a_key_with_a_label_is_for_no_other() {
        let (production, test) = (
            Label::new("production").unwrap(),
            Label::new("test").unwrap(),
        );
        let key = key();
        assert!(key.is_for(production) && key.is_for(Label::NONE));
        let key = key.labelled(production);
        assert!(key.is_for(production) && !key.is_for(test) && !key.is_for(Label::NONE));
    }
}
