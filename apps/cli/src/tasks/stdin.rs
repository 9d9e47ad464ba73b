//! What a guest is to read: a little travels in the request, more of it sealed beside it.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use propeller_ces::{Key, RandomError};

use super::Failure;
use crate::error::CliError;

/// The longest input that travels in a request, in bytes: what a manager accepts there unless it is
/// told otherwise.
const SMALL_LEN_MAX: u64 = 1024 * 1024;

/// A standard input for a guest.
#[derive(Debug)]
pub enum Stdin {
    /// For the request.
    Small(Vec<u8>),
    /// To be sealed and uploaded.
    Large(Large),
}

/// An input that is read while it is sealed, and the key that it is sealed with.
pub struct Large {
    pub(super) path: PathBuf,
    pub(super) read: Box<dyn Read + Send>,
    /// How much there is, if that is known.
    pub(super) len: Option<u64>,
    key: Key,
}

impl Stdin {
    /// Reads an input so far that it is known which of the two it is.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let begun = begin(path).map_err(|source| CliError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::begun(begun, path).map_err(Failure::Random)?)
    }

    /// Reads an input so far that it is known which of the two it is; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, or there is no randomness for a key.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::begun(begin(path)?, path).map_err(io::Error::other)
    }

    fn begun(begun: Begun, path: &Path) -> Result<Self, RandomError> {
        let Begun { head, rest, len } = begun;
        let head_len = head.len() as u64;
        if head_len <= SMALL_LEN_MAX {
            return Ok(Self::Small(head));
        }
        Ok(Self::Large(Large {
            path: path.to_owned(),
            read: Box::new(Cursor::new(head).chain(rest)),
            // Some files say that they are empty, and are not.
            len: len.filter(|len| *len >= head_len),
            key: Key::random()?,
        }))
    }
}

impl Large {
    /// The task's object key, as its `object_key` says it.
    #[must_use]
    pub fn key_text(&self) -> String {
        self.key.to_hex().to_string()
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }
}

struct Begun {
    /// All there is, or a byte more than what is small.
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    len: Option<u64>,
}

fn begin(path: &Path) -> io::Result<Begun> {
    let (mut rest, len): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        (Box::new(file), meta.is_file().then_some(meta.len()))
    };
    let mut head = Vec::new();
    rest.by_ref()
        .take(SMALL_LEN_MAX + 1)
        .read_to_end(&mut head)?;
    Ok(Begun { head, rest, len })
}

impl fmt::Debug for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("path", &self.path)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_decides_and_none_is_lost() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..=SMALL_LEN_MAX).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(file.path(), &bytes[1..]).unwrap();
        match Stdin::open(file.path()).unwrap() {
            Stdin::Small(small) => assert!(small == bytes[1..]),
            Stdin::Large(large) => panic!("{large:?}"),
        }
        std::fs::write(file.path(), &bytes).unwrap();
        match Stdin::open(file.path()).unwrap() {
            Stdin::Small(_) => panic!("it is too long"),
            Stdin::Large(mut large) => {
                let mut read = Vec::new();
                large.read.read_to_end(&mut read).unwrap();
                assert!(read == bytes);
                assert_eq!(large.len, Some(SMALL_LEN_MAX + 1));
            }
        }
    }
}
