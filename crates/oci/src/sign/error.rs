//! What can be wrong with a key, a payload and the signatures of an image.
//!
//! Much of it was written by whoever can write to a registry: what such a text says goes through
//! [`printable`] before it becomes part of a message.

use std::fmt;

use propeller_model::Digest;

use super::{CANDIDATES_MAX, PAYLOAD_BYTES_MAX};

/// How much of a foreign text a message repeats. A repository's name has at most 255 characters,
/// nearly always far fewer.
const PRINTABLE_CHARS_MAX: usize = 100;

/// How many claimed names a message repeats.
const CLAIMS_MAX: usize = 3;

/// A foreign text as a message may show it: short, and of ASCII characters that one can see, so
/// that it neither moves a cursor nor hides or reorders what stands around it.
pub(super) fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(PRINTABLE_CHARS_MAX)
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    if text.chars().nth(PRINTABLE_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Why a file is not a key that signs or verifies. The file's text is never part of the message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// No `-----BEGIN …-----`, or nothing that belongs to one.
    #[error("not a key in PEM form")]
    NotPem,
    /// More than one key or certificate.
    #[error("a PEM file with more than one section; a key has a file of its own")]
    Several,
    /// A PEM file of something else.
    #[error("a PEM file with `{label}`, where {wanted} was expected")]
    Label {
        /// What stands after `BEGIN`.
        label: String,
        /// What would have been right.
        wanted: &'static str,
    },
    /// Longer than any key.
    #[error("a key of {bytes} bytes is longer than any key is")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Signatures are made by ECDSA with P-256 alone, so that a key and its algorithm cannot be
    /// confused.
    #[error(
        "the key is for {algorithm}; only ECDSA keys of the curve P-256 are supported: \
         make one with `cosign generate-key-pair`"
    )]
    Algorithm {
        /// The name of the algorithm.
        algorithm: &'static str,
    },
    /// The label is right, and what follows is not a key.
    #[error("the PEM file holds no key that can be read")]
    Malformed,
    /// An encrypted key came without its passphrase.
    #[error("the private key is encrypted, and there is no passphrase")]
    NoPassphrase,
    /// A passphrase came with a key that is not encrypted, which is somebody's mistake.
    #[error(
        "there is a passphrase, but the private key is not encrypted: leave the passphrase out"
    )]
    NotEncrypted,
    /// The passphrase does not open the key, or somebody changed the file.
    #[error("the passphrase does not open the private key")]
    Passphrase,
    /// What encrypts the key is not what cosign encrypts keys with.
    #[error("the encrypted private key is not one of cosign's: {0}")]
    Sealed(&'static str),
    /// The file asks for a derivation that cosign does not use.
    #[error(
        "the encrypted private key asks for scrypt with N={n}, r={r}, p={p}; \
         N may be 32768, 65536 or 131072, with r=8 and p=1"
    )]
    Scrypt {
        /// Cost in memory and time.
        n: u64,
        /// Size of a block.
        r: u64,
        /// Parallelism.
        p: u64,
    },
}

/// The cryptographic library could not sign: it had no random bytes, or no memory.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the cryptographic library could not make a signature")]
pub struct SignError;

/// Why bytes are not a payload that says which image was signed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not JSON, or with other fields than a payload has.
    #[error("it is not simple-signing JSON, from line {line}, column {column}")]
    Json {
        /// Where, from 1; 0 where there is no line.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A statement about something else than an image.
    #[error("it is a `{0}`, not a signature of an image")]
    Type(String),
    /// The digest is not one of SHA-256.
    #[error("`{0}` is not a digest of an image")]
    Digest(String),
}

/// Why what a registry offers is no signature at all.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusableError {
    /// No annotation with a signature.
    #[error("it has no annotation `{}`", super::SIGNATURE)]
    NoSignature,
    /// The signature is not in base64.
    #[error("its signature is not base64")]
    NotBase64,
    /// The signature is longer than any signature.
    #[error("its signature has {chars} characters, more than any signature")]
    SignatureTooLong {
        /// Its length.
        chars: usize,
    },
    /// The payload is longer than any payload.
    #[error("its payload has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are read")]
    PayloadTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Why an image does not count as signed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nobody has signed it.
    #[error("the image {manifest} is not signed")]
    NotSigned {
        /// The digest of the image's manifest.
        manifest: Digest,
    },
    /// More signatures than anybody needs.
    #[error("there are {count} signatures, at most {CANDIDATES_MAX} are looked at")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// There are signatures, and none is by a trusted key. Whose they are cannot be said: an
    /// ECDSA signature does not name its key.
    #[error("signed by somebody else: {others}; {}", trust(.trusted))]
    SomebodyElse {
        /// What is known about the signatures.
        others: Others,
        /// The fingerprints of the trusted keys.
        trusted: Vec<Digest>,
    },
    /// A trusted key has signed another image.
    #[error("the key {key} has signed the image {signed}, not {manifest}")]
    OtherImage {
        /// The fingerprint of the key.
        key: Digest,
        /// What it has signed.
        signed: Digest,
        /// What was asked for.
        manifest: Digest,
    },
    /// A trusted key has signed this image under the name of another repository.
    #[error("the key {key} has signed this image as `{identity}`, not for `{repository}`")]
    OtherRepository {
        /// The fingerprint of the key.
        key: Digest,
        /// The name in the signature, cut and cleaned.
        identity: String,
        /// What was asked for.
        repository: String,
    },
    /// A trusted key has signed something that does not say which image is meant.
    #[error("the key {key} has signed what is no payload: {reason}")]
    Malformed {
        /// The fingerprint of the key.
        key: Digest,
        /// What is wrong with it.
        reason: PayloadError,
    },
    /// What is in the place of signatures is none.
    #[error("none of what is there as a signature is one ({count}): {first}")]
    Unusable {
        /// How many there are.
        count: usize,
        /// What is wrong with the first.
        first: UnusableError,
    },
}

impl VerifyError {
    /// How near the signature of a trusted key was to being the right one.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::OtherRepository { .. } => 2,
            Self::OtherImage { .. } => 1,
            _ => 0,
        }
    }
}

fn trust(keys: &[Digest]) -> String {
    match keys {
        [] => "no key is trusted".to_owned(),
        [key] => format!("the trusted key is {key}"),
        keys => {
            let keys: Vec<String> = keys.iter().map(Digest::to_string).collect();
            format!("the trusted keys are {}", keys.join(", "))
        }
    }
}

/// Signatures that no trusted key has made. Nothing here is proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Others {
    /// How many there are.
    pub count: usize,
    /// How many came with a certificate, as signing without a key of one's own does.
    pub keyless: usize,
    /// The names that they claim to sign for, each once, the first few, cut and cleaned.
    pub claims: Vec<String>,
}

impl Others {
    pub(super) fn add(&mut self, claim: Option<String>, keyless: bool) {
        self.count += 1;
        self.keyless += usize::from(keyless);
        let Some(claim) = claim.map(|claim| printable(&claim)) else {
            return;
        };
        if self.claims.len() < CLAIMS_MAX && !self.claims.contains(&claim) {
            self.claims.push(claim);
        }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.count == 1 { "" } else { "s" };
        write!(f, "{} signature{s} by none of the trusted keys", self.count)?;
        if self.keyless > 0 {
            write!(f, ", {} of them keyless (with a certificate)", self.keyless)?;
        }
        if !self.claims.is_empty() {
            write!(f, ", which claim to be for `{}`", self.claims.join("`, `"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_is_shown_short_and_without_control_characters() {
        for (text, shown) in [
            ("registry.example/app", "registry.example/app"),
            ("a\u{1b}[2Jb\nc\u{202e}d", "a?[2Jb?c?d"),
            ("é\u{7f}\0", "???"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable(&"x".repeat(100)), "x".repeat(100));
        let long = printable(&"é".repeat(1_000_000));
        assert_eq!(long, format!("{}...", "?".repeat(100)));
    }

    #[test]
    fn strangers_are_counted_and_only_a_few_of_their_claims_are_repeated() {
        let mut others = Others::default();
        for n in 0..10 {
            others.add(Some(format!("r/{}\n", n / 2)), n == 0);
        }
        others.add(None, false);
        assert_eq!(
            others.to_string(),
            "11 signatures by none of the trusted keys, 1 of them keyless (with a certificate), \
             which claim to be for `r/0?`, `r/1?`, `r/2?`"
        );
    }
}
