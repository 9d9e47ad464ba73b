//! What a guest is to read: a little travels in the request, more of it sealed beside it.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use propeller_api::{KeyText, Task, TaskRequest};
use propeller_ces::{Key, RandomError};
use propeller_sdk::{Client, ClientError, Reply};

use super::Failure;
use crate::error::CliError;

/// The longest input that travels in a request, in bytes: what a manager accepts there unless it is
/// told otherwise.
const SMALL_LEN_MAX: u64 = 1024 * 1024;

/// The longest input that a manager can be told to accept in a request, in bytes.
const REQUEST_LEN_MAX: u64 = 3 * 1024 * 1024;

/// A standard input for a guest.
#[derive(Debug)]
pub enum Stdin {
    /// For the request.
    Small {
        /// Where it is from.
        path: PathBuf,
        /// All of it.
        bytes: Vec<u8>,
    },
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
            return Ok(Self::Small {
                path: path.to_owned(),
                bytes: head,
            });
        }
        Ok(Self::Large(Large {
            path: path.to_owned(),
            read: Box::new(Cursor::new(head).chain(rest)),
            // Some files say that they are empty, and are not.
            len: len.filter(|len| *len >= head_len),
            key: Key::random()?,
        }))
    }

    /// Creates a task whose guest is to read `stdin`: in the request or beside it, as its length has
    /// it. A manager that draws the line elsewhere is asked again, the other way. `start` starts the
    /// task in the same step, unless an input is to be given to it first, which comes back then.
    ///
    /// # Errors
    /// If the manager refuses or does not answer. In the latter case the task may exist.
    pub async fn create_task(
        stdin: Option<Self>,
        mut request: TaskRequest,
        start: bool,
        client: &Client,
    ) -> Result<(Reply<Task>, Option<Large>), ClientError> {
        let Some(stdin) = stdin else {
            return Ok((client.task_create(&request, start).await?, None));
        };
        let refusal = match stdin.create_with(&mut request, start, client).await {
            Ok(task) => return Ok((task, stdin.into_large())),
            Err(error) => error,
        };
        let Some(other) = stdin.other_way(&refusal).await else {
            return Err(refusal);
        };
        match other.create_with(&mut request, start, client).await {
            Ok(task) => Ok((task, other.into_large())),
            // It goes neither way, and why not the first one says more.
            Err(ClientError::Refused {
                status: 400 | 413, ..
            }) => Err(refusal),
            Err(error) => Err(error),
        }
    }

    async fn create_with(
        &self,
        request: &mut TaskRequest,
        start: bool,
        client: &Client,
    ) -> Result<Reply<Task>, ClientError> {
        self.mention(request);
        let start = start && matches!(self, Self::Small { .. });
        client.task_create(request, start).await
    }

    /// Has a request say what the guest is to read, or under which key that is uploaded.
    pub(super) fn mention(&self, request: &mut TaskRequest) {
        (request.stdin, request.object_key) = match self {
            Self::Small { bytes, .. } => (Some(BASE64.encode(bytes)), None),
            Self::Large(large) => (None, Some(KeyText(large.key_text()))),
        };
    }

    /// What is to be uploaded beside the request.
    pub(super) fn into_large(self) -> Option<Large> {
        match self {
            Self::Small { .. } => None,
            Self::Large(large) => Some(large),
        }
    }

    /// The input as it travels the other way, if a manager refuses it for the way that it travels.
    async fn other_way(self, refusal: &ClientError) -> Option<Self> {
        let ClientError::Refused { status, problem } = refusal else {
            return None;
        };
        match self {
            // It was told to accept less in a request.
            Self::Small { path, bytes } if *status == 413 && !bytes.is_empty() => {
                Some(Self::Large(Large {
                    path,
                    len: Some(bytes.len() as u64),
                    read: Box::new(Cursor::new(bytes)),
                    key: Key::random().ok()?,
                }))
            }
            // It has no object store, and was perhaps told to accept more in a request.
            Self::Large(large) if *status == 400 && problem.detail.contains("object_key") => {
                // A pipe may say nothing, and Ctrl-C is to be heard meanwhile.
                let read = tokio::task::spawn_blocking(|| large.into_small());
                read.await.ok().flatten()
            }
            _ => None,
        }
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

    /// All of it, if it is not too long for any request and can be read.
    fn into_small(self) -> Option<Stdin> {
        if self.len.is_some_and(|len| len > REQUEST_LEN_MAX) {
            return None;
        }
        let mut bytes = Vec::new();
        let mut read = self.read.take(REQUEST_LEN_MAX + 1);
        read.read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= REQUEST_LEN_MAX).then_some(Stdin::Small {
            path: self.path,
            bytes,
        })
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
            Stdin::Small { bytes: small, .. } => assert!(small == bytes[1..]),
            Stdin::Large(large) => panic!("{large:?}"),
        }
        std::fs::write(file.path(), &bytes).unwrap();
        match Stdin::open(file.path()).unwrap() {
            Stdin::Small { .. } => panic!("it is too long"),
            Stdin::Large(mut large) => {
                let mut read = Vec::new();
                large.read.read_to_end(&mut read).unwrap();
                assert!(read == bytes);
                assert_eq!(large.len, Some(SMALL_LEN_MAX + 1));
            }
        }
    }
}
