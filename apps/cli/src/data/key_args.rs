//! Keys on the command line: never the keys themselves, but where they come from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use clap::Args;
use propeller_ces::{KEY_LEN, KEY_VARIABLE, Key, KeyError, KeyRing, Label, LabelError, RingError};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::handed::{self, Identity};
use super::key_text::{command, descriptor, file, variable};

/// The longest text with keys that is read, in bytes: more than a backup full of them.
pub(super) const TEXT_LEN_MAX: u64 = 64 * 1024;

/// Where keys come from that are used, and where that is written down.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys")]
pub struct KeyArgs {
    #[command(flatten)]
    sources: KeySources,
    /// File to which a line of JSON is added for every use of a key
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
}

/// Where keys come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys")]
#[group(skip)]
pub struct KeySources {
    /// File with a key: 64 hexadecimal digits, for nobody but its owner to read; again for more
    /// keys to read with. Without any of these three, CES_ENCRYPTION_KEY has the key
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// File descriptor to read a key from, where it stands: a file, a pipe or a socket
    #[arg(long, value_name = "N")]
    key_fd: Vec<u32>,
    /// Command that prints a key, run by sh: a vault's, a KMS's or a TPM's
    #[arg(long, value_name = "CMD")]
    key_command: Vec<String>,
    /// Take what that gives for a master secret, and derive the key of this tenant from it
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// Where the key comes from that takes the place of another.
#[derive(Debug, Args)]
#[command(next_help_heading = "New key")]
#[group(skip)]
pub struct NewKeyArgs {
    /// File with the new key
    #[arg(
        long,
        value_name = "FILE",
        group = "new_key",
        required_unless_present_any = ["new_key_fd", "new_key_command"]
    )]
    new_key_file: Option<PathBuf>,
    /// File descriptor to read the new key from
    #[arg(long, value_name = "N", group = "new_key")]
    new_key_fd: Option<u32>,
    /// Command that prints the new key, run by sh
    #[arg(long, value_name = "CMD", group = "new_key")]
    new_key_command: Option<String>,
    /// Take what that gives for a master secret, and derive the new key of this tenant from it
    #[arg(long, value_name = "NAME")]
    new_tenant: Option<String>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFailure {
    #[error("there is no key")]
    None,
    #[error("there are {0} keys, and this takes one")]
    Several(usize),
    #[error("cannot read a key from {origin}")]
    Read {
        origin: Origin,
        #[source]
        source: io::Error,
    },
    #[error("{origin} can be read by others than its owner")]
    Shared { origin: Origin },
    #[error("{origin} failed: {status}")]
    Command { origin: Origin, status: ExitStatus },
    #[error("{origin} has more than {TEXT_LEN_MAX} bytes, which no key has")]
    Long { origin: Origin },
    #[error("{origin} is not text")]
    Text { origin: Origin },
    #[error("{origin} has no key in it")]
    Empty { origin: Origin },
    #[error("cannot use the key in {origin}")]
    Key {
        origin: Origin,
        #[source]
        source: KeyError,
    },
    #[error("the key in {origin} has a label that is none")]
    Label {
        origin: Origin,
        #[source]
        source: LabelError,
    },
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl KeyFailure {
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::None => {
                "give one with --key-file, --key-fd, --key-command or CES_ENCRYPTION_KEY; make one \
                 with: propeller data keys new -o FILE"
            }
            Self::Read {
                origin: Origin::Descriptor(_),
                source,
            } if handed::is_none(source) => handed::NOT_HANDED,
            Self::Several(_) => "name only the one to write with",
            Self::Shared { .. } => "chmod 600 it, and think about who may have read it",
            Self::Command { .. } => "run it by itself: it prints the key and ends with 0",
            Self::Key {
                source: KeyError::Length { got },
                ..
            } if *got > 2 * KEY_LEN => {
                "if it is a master secret, derive the key of a tenant from it with --tenant NAME"
            }
            Self::Empty { .. } => "it has 64 hexadecimal digits, and may have a label behind them",
            _ => return None,
        })
    }
}

/// Where a key comes from, as messages say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Descriptor(u32),
    Command,
    Variable,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Descriptor(number) => write!(f, "file descriptor {number}"),
            // Not the command: people put tokens into them.
            Self::Command => f.write_str("the key command"),
            Self::Variable => f.write_str(KEY_VARIABLE),
        }
    }
}

impl KeySources {
    /// All keys that are given, at least one.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, KeyFailure> {
        let mut texts = Vec::new();
        for path in &self.key_file {
            texts.push((Origin::File(path.clone()), file(path)?));
        }
        for number in &self.key_fd {
            texts.push((Origin::Descriptor(*number), descriptor(*number)?));
        }
        for line in &self.key_command {
            texts.push((Origin::Command, command(line)?));
        }
        if texts.is_empty()
            && let Some(text) = variable()?
        {
            texts.push((Origin::Variable, text));
        }
        let mut keys = Vec::new();
        for (origin, text) in texts {
            keys.extend(parse(&origin, &text, self.tenant.as_deref())?);
        }
        match keys.is_empty() {
            true => Err(KeyFailure::None),
            false => Ok(keys),
        }
    }
}

impl KeyArgs {
    /// All keys that are given, at least one.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, KeyFailure> {
        self.sources.keys()
    }

    /// Whether a key is read from the same file or pipe as an input, `-` being standard input: each
    /// would get what the other leaves of it.
    pub(crate) fn are_read_from(&self, input: &Path) -> bool {
        let input = match input == Path::new("-") {
            true => Identity::of(&handed::path(0)),
            false => Identity::of(input),
        };
        let is_input = |path: &Path| input.is_some() && Identity::of(path) == input;
        // Whoever opens a file by its name reads all of it.
        let is_shared = |path: &PathBuf| {
            is_input(path) && (is_handed(path) || input.is_some_and(|input| !input.is_regular))
        };
        let mut descriptors = self.sources.key_fd.iter();
        descriptors.any(|number| is_input(&handed::path(*number)))
            || self.sources.key_file.iter().any(is_shared)
    }

    /// Keys to read with.
    pub(crate) fn ring(&self) -> Result<KeyRing, KeyFailure> {
        Ok(KeyRing::reading(self.keys()?)?)
    }

    /// The only key that is given, to write with.
    pub(crate) fn one(&self) -> Result<Key, KeyFailure> {
        only(self.keys()?)
    }
}

impl NewKeyArgs {
    /// The new key, which is none of the old ones.
    pub(crate) fn other_than(&self, old: &[Key]) -> Result<Key, Failure> {
        let new = self.key()?;
        match old.iter().any(|old| old.id() == new.id()) {
            true => Err(Failure::SameKey(new.id())),
            false => Ok(new),
        }
    }

    fn key(&self) -> Result<Key, KeyFailure> {
        let (origin, text) = match (&self.new_key_file, self.new_key_fd, &self.new_key_command) {
            (Some(path), ..) => (Origin::File(path.clone()), file(path)?),
            (_, Some(number), _) => (Origin::Descriptor(number), descriptor(number)?),
            (_, _, Some(line)) => (Origin::Command, command(line)?),
            (None, None, None) => return Err(KeyFailure::None),
        };
        only(parse(&origin, &text, self.new_tenant.as_deref())?)
    }
}

/// Whether a name is that of a descriptor: `/dev/stdin`, `/dev/fd/0`, `/proc/self/fd/0`.
fn is_handed(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || path.parent().is_some_and(|parent| parent.ends_with("fd"))
}

fn only(mut keys: Vec<Key>) -> Result<Key, KeyFailure> {
    let count = keys.len();
    match (keys.pop(), count) {
        (Some(key), 1) => Ok(key),
        _ => Err(KeyFailure::Several(count)),
    }
}

/// The keys in a text: one a line, each with the label of the only environment it is for, if there
/// is one. Empty lines, and those that begin with `#`, say nothing.
fn parse(origin: &Origin, text: &str, tenant: Option<&str>) -> Result<Vec<Key>, KeyFailure> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Key> = lines
        .map(|line| {
            let (digits, label) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let label = Label::new(label.trim_start()).map_err(|source| KeyFailure::Label {
                origin: origin.clone(),
                source,
            })?;
            let key = match tenant {
                Some(tenant) => master(digits).and_then(|m| Key::for_tenant(&m, tenant)),
                None => Key::from_hex(digits),
            };
            let key = key.map_err(|source| KeyFailure::Key {
                origin: origin.clone(),
                source,
            })?;
            Ok(key.labelled(label))
        })
        .collect::<Result<_, KeyFailure>>()?;
    match keys.is_empty() {
        true => Err(KeyFailure::Empty {
            origin: origin.clone(),
        }),
        false => Ok(keys),
    }
}

/// A master secret, which may be longer than a key. One of a key's length is judged like a key.
fn master(digits: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if digits.len() <= 2 * KEY_LEN || digits.len() % 2 == 1 {
        Key::from_hex(digits)?;
    }
    if let Some(position) = digits.chars().position(|c| !c.is_ascii_hexdigit()) {
        let position = position + 1;
        return Err(KeyError::Digit { position });
    }
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    let bytes = bytes.map_err(|_| KeyError::Length { got: digits.len() })?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(text: &str, tenant: Option<&str>) -> Result<Vec<Key>, KeyFailure> {
        parse(&Origin::Command, text, tenant)
    }

    #[test]
    fn a_text_has_a_key_a_line_each_with_its_label() {
        let found = keys(&format!("# ours\n{HEX}\n\n {HEX}  production \r\n"), None).unwrap();
        let labels: Vec<_> = found.iter().map(|key| key.label().to_string()).collect();
        assert_eq!(labels, ["", "production"]);
        assert_eq!(found[0].id().to_string(), "854e2f1e83aded11");
    }

    #[test]
    fn what_is_no_key_says_what_to_do_and_repeats_nothing() {
        for text in [
            "",
            "# nothing\n",
            "secret",
            &HEX[1..],
            &format!("{HEX} Not"),
            &"00".repeat(32),
        ] {
            let error = keys(text, None).unwrap_err();
            let shown = format!("{error} {:?}", error.hint());
            assert!(text.is_empty() || !shown.contains(text), "{shown}");
        }
    }

    #[test]
    fn a_tenants_key_is_derived_and_of_a_longer_secret_as_well() {
        let of = |text: &str| keys(text, Some("acme")).map(|keys| keys[0].to_hex().to_string());
        assert_eq!(
            of(HEX).unwrap(),
            "fee3e1de64d6b0f34bedea2cb9823d0dba1f6b96d45ad172ec41e132a69dea8b"
        );
        assert_eq!(
            of(&"6d".repeat(100)).unwrap(),
            "8d4d0dcce1ad96929b1dec36746e9d172d749e7db2f7742b1b9cc9538053f02c"
        );
        for text in [&HEX[2..], &format!("{HEX}0"), &format!("{HEX}0g")] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
