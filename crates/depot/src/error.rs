//! What can go wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::variables::VariableError;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// An object was being written.
    Write,
    /// An object was being read, or looked for.
    Read,
    /// An object was being removed.
    Remove,
    /// It was being looked which objects there are.
    List,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::List => "list",
        })
    }
}

/// Why something in a depot could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DepotError {
    /// No object has that name.
    #[error("{what} is not in the depot: it was removed, or never written")]
    Missing {
        /// The name.
        what: String,
    },
    /// The folder, or its disk.
    #[error("cannot {doing} {what} in the depot's folder")]
    File {
        /// What was being done.
        doing: Doing,
        /// With which object.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The object store, or the way to it. It has been tried three times.
    #[error("cannot {doing} {what} in the depot's object store")]
    Store {
        /// What was being done.
        doing: Doing,
        /// With which object.
        what: String,
        /// What the store says.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The store sent more or less than it was asked for, or the object is shorter than it was.
    #[error("the depot gave {got} bytes of {what}, and not {expected}: read it again")]
    Short {
        /// The object.
        what: String,
        /// How many bytes were asked for.
        expected: u64,
        /// How many came; those beyond `expected` are not all counted.
        got: u64,
    },
    /// A range that the object does not have.
    #[error("{what} has {len} bytes: there are no bytes {start} to {end}")]
    Range {
        /// The object.
        what: String,
        /// How many bytes it has.
        len: u64,
        /// The first byte of the range.
        start: u64,
        /// The first byte behind it.
        end: u64,
    },
    /// More bytes than a store takes: see [`OBJECT_LEN_MAX`](crate::OBJECT_LEN_MAX).
    #[error(
        "{what} is longer than {max} bytes, which is all that a depot in an object store takes: use \
         a folder for such objects"
    )]
    TooLong {
        /// The object.
        what: String,
        /// The most bytes.
        max: u64,
    },
    /// An earlier write failed, or was not waited for.
    #[error("{what} cannot be finished after a write that failed: write it again from the start")]
    Broken {
        /// The object.
        what: String,
    },
    /// No operating system randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// A million names, and none of a task.
    #[error(
        "{listed} objects that are none of ours lie where the depot is: give it a prefix of its own"
    )]
    Crowded {
        /// How many were looked at.
        listed: usize,
    },
    /// A store that does not list names in their order.
    #[error("the store does not list names in their order: use one that does")]
    Unordered,
    /// The runtime that the depot was opened in ends, or what it did panicked.
    #[error("the program ended while it was using the depot")]
    Ended,
}

impl DepotError {
    /// Of a folder. What was to be read and is not there is [`Missing`](Self::Missing).
    pub(crate) fn file(doing: Doing, what: impl fmt::Display, source: io::Error) -> Self {
        let what = what.to_string();
        match (doing, source.kind()) {
            (Doing::Read, io::ErrorKind::NotFound) => Self::Missing { what },
            _ => Self::File {
                doing,
                what,
                source,
            },
        }
    }

    /// Of a store. What was to be read and is not there is [`Missing`](Self::Missing).
    pub(crate) fn store(
        doing: Doing,
        what: impl fmt::Display,
        source: object_store::Error,
    ) -> Self {
        let what = what.to_string();
        match (doing, source) {
            (Doing::Read, object_store::Error::NotFound { .. }) => Self::Missing { what },
            (doing, source) => Self::Store {
                doing,
                what,
                source: Box::new(source),
            },
        }
    }

    /// As reading and writing files tells it.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::File { source, .. } => source.kind(),
            Self::Missing { .. } => io::ErrorKind::NotFound,
            Self::Short { .. } => io::ErrorKind::UnexpectedEof,
            Self::TooLong { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

/// What there was, or nothing where nothing has the name.
pub(crate) fn if_there<T>(result: Result<T, DepotError>) -> Result<Option<T>, DepotError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(DepotError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a depot cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be looked at, or is not there.
    #[error(
        "the depot's folder {} cannot be looked at: make it, for the user of this service",
        folder.display()
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something else has the folder's name.
    #[error("{} is no folder: name one for the depot", folder.display())]
    NotAFolder {
        /// What was named.
        folder: PathBuf,
    },
    /// An address that gives credentials away, and is not this machine's.
    #[error(
        "the store at {host} would be reached without TLS: use https://, or set {variable}=true if \
         nobody is on the way who should not be"
    )]
    PlainHttp {
        /// The server, as the variable names it.
        host: String,
        /// What allows it.
        variable: &'static str,
    },
    /// A switch with which requests go without TLS to an address that nobody looked at.
    #[error(
        "AZURE_STORAGE_USE_EMULATOR is not followed, since where it leads is not checked: name an \
         emulator as AZURE_STORAGE_ENDPOINT=http://127.0.0.1:10000/ACCOUNT, with its account and key"
    )]
    Emulator,
    /// A variable that cannot go into requests.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// Variables that do not say how to reach the store.
    #[error("the variables of the store at {location} are wrong or incomplete")]
    Variables {
        /// Where the depot is.
        location: String,
        /// What is missing.
        #[source]
        source: object_store::Error,
    },
    /// A small object could not be written, read back or removed.
    #[error(
        "{location} cannot be used as a depot: to {doing} a small object failed, and it takes the \
         right to write, read and remove"
    )]
    Probe {
        /// Where the depot is.
        location: String,
        /// Which of the three failed.
        doing: Doing,
        /// Why.
        #[source]
        source: DepotError,
    },
    /// The small object came back changed.
    #[error("{location} cannot be used as a depot: it gave back other bytes than it was given")]
    Changed {
        /// Where the depot is.
        location: String,
    },
    /// There is no mark yet.
    #[error(
        "no manager has used the depot at {location} yet: start the manager first, and give it and \
         its proplets the same depot"
    )]
    Unclaimed {
        /// Where the depot is.
        location: String,
    },
    /// Something that is no mark has its name.
    #[error(
        "the object propeller-depot at {location} is not what a manager writes: use another place, \
         or remove it if nobody uses this depot"
    )]
    NotAMark {
        /// Where the depot is.
        location: String,
    },
    /// The mark could not be read or written.
    #[error("cannot {doing} the mark of the depot at {location}")]
    Mark {
        /// Where the depot is.
        location: String,
        /// What was being done.
        doing: Doing,
        /// Why.
        #[source]
        source: DepotError,
    },
}

impl OpenError {
    /// Whether the place is named well, as far as can be told, and only does not do what it should
    /// now: a store that does not answer, or a disk that is full. What is named wrongly, refuses the
    /// credentials or is not there does not pass.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Probe { source, .. } | Self::Mark { source, .. } => source.may_pass(),
            Self::Folder { .. }
            | Self::NotAFolder { .. }
            | Self::PlainHttp { .. }
            | Self::Emulator
            | Self::Variable(_)
            | Self::Variables { .. }
            | Self::Changed { .. }
            | Self::Unclaimed { .. }
            | Self::NotAMark { .. } => false,
        }
    }
}

impl DepotError {
    fn may_pass(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StaleNetworkFileHandle, StorageFull, TimedOut};
        match self {
            // All that is not said in a status of its own: no connection, no answer, a status from
            // 500 on.
            Self::Store { source, .. } => {
                matches!(source.as_ref(), object_store::Error::Generic { .. })
            }
            Self::File { source, .. } => matches!(
                source.kind(),
                QuotaExceeded | StaleNetworkFileHandle | StorageFull | TimedOut
            ),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(source: DepotError) -> OpenError {
        OpenError::Probe {
            location: "s3://b".to_owned(),
            doing: Doing::Write,
            source,
        }
    }

    #[test]
    fn what_is_away_may_pass_and_what_refuses_does_not() {
        let store = |source| probe(DepotError::store(Doing::Write, "x", source));
        let file = |kind: io::ErrorKind| probe(DepotError::file(Doing::Write, "x", kind.into()));
        let path = || "x".to_owned();
        let source = || "why".into();
        let silent = object_store::Error::Generic {
            store: "S3",
            source: source(),
        };
        let (no_bucket, no_right, no_key) = (
            object_store::Error::NotFound {
                path: path(),
                source: source(),
            },
            object_store::Error::PermissionDenied {
                path: path(),
                source: source(),
            },
            object_store::Error::Unauthenticated {
                path: path(),
                source: source(),
            },
        );
        let location = path;
        for (error, expected) in [
            (store(silent), true),
            (file(io::ErrorKind::StorageFull), true),
            (store(no_bucket), false),
            (store(no_right), false),
            (store(no_key), false),
            (file(io::ErrorKind::PermissionDenied), false),
            (file(io::ErrorKind::ReadOnlyFilesystem), false),
            (
                OpenError::Changed {
                    location: location(),
                },
                false,
            ),
            (
                OpenError::NotAMark {
                    location: location(),
                },
                false,
            ),
        ] {
            assert_eq!(error.may_pass(), expected, "{error:?}");
        }
    }
}
