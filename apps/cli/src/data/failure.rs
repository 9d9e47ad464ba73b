//! Why a command about data did not do what it was asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use propeller_ces::backup::{ExportError, ImportError};
use propeller_ces::v0::ReconstructError;
use propeller_ces::{KeyId, Label, ObjectId, RandomError, RingError};
use propeller_depot::AddressError;
use propeller_depot::variables::VariableError;

use super::damage::Unreadable;
use super::fresh::plural;
use super::handed;
use super::key_args::KeyFailure;
use super::name::{Name, NameError};
use super::place::advice;
use super::sink::SinkError;
use crate::error::Exit;

/// Where stores look for who we are.
pub(crate) const CREDENTIALS: &str = "the usual variables say who you are: AWS_ACCESS_KEY_ID and \
    AWS_SECRET_ACCESS_KEY, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_NAME and \
    AZURE_STORAGE_ACCOUNT_KEY";

/// Why a command about data did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot start what talks to stores")]
    Bridge(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("whoever read the output left before its end")]
    ReaderLeft,
    #[error("what --endpoint names is no address of a store")]
    Endpoint(#[source] AddressError),
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error("{0} is not encrypted")]
    PlainHttp(String),
    #[error("AZURE_STORAGE_USE_EMULATOR is not followed, since where it leads is not checked")]
    Emulator,
    #[error("{0} is named twice")]
    PlaceTwice(String),
    #[error("--endpoint is for the stores of one vendor, and these are of several")]
    OneEndpoint,
    #[error("{0} is about the manager, which no command about data asks")]
    AboutManager(&'static str),
    #[error("{0} is for object stores, and no place is in one")]
    NoStore(&'static str),
    #[error("cannot use the store {text}")]
    Store {
        text: String,
        #[source]
        source: object_store::Error,
    },
    #[error("cannot look into {place}")]
    Place {
        place: String,
        #[source]
        source: io::Error,
    },
    #[error("standard input has no name")]
    Nameless,
    #[error("one file or pipe cannot be both the key and what is put")]
    InputTwice,
    #[error("{text} cannot be the object's name")]
    Name {
        text: String,
        #[source]
        source: NameError,
    },
    #[error("there is no shard of {name}")]
    NoShards {
        name: Name,
        /// The places that could not be looked into.
        places: Vec<String>,
        /// What to do about one of them.
        hint: Option<&'static str>,
    },
    #[error("there is something of that name already: {0}")]
    Exists(String),
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is there already", .0.display())]
    InTheWay(PathBuf),
    #[error(transparent)]
    Key(#[from] KeyFailure),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("cannot keep the audit log {}", path.display())]
    Audit {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot encode the input")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("cannot put new shards in place")]
    NowhereToRepair,
    #[error(
        "{} of {of} {} {} header",
        kept.len(),
        plural(*of, "shard", "shards"),
        plural(kept.len(), "keeps its", "keep their")
    )]
    NotRotated { kept: Vec<String>, of: usize },
    #[error("the new object is not the old one: it is removed, and the old one is kept")]
    NotTheSame(#[source] Option<Box<Self>>),
    #[error("{} old {} could not be removed", .0.len(), plural(.0.len(), "shard", "shards"))]
    OldRemain(Vec<String>),
    #[error("the new key is an old one: {0}")]
    SameKey(KeyId),
    #[error("the new key {key} is for `{key_label}` only, and object {object} {}", environment(*label))]
    NewKeyLabel {
        key: KeyId,
        key_label: Label,
        object: ObjectId,
        label: Label,
    },
    #[error("--remove-old does not remove shards of the older implementation")]
    OldByName,
    #[error("there is no such geometry")]
    Geometry(#[source] Box<dyn Error + Send + Sync>),
    #[error("shards of the older implementation say nothing of themselves")]
    OldIsOpenedByOneKey,
    #[error("{one} and {other} are both shard {index}")]
    OldTwice {
        one: String,
        other: String,
        index: u16,
    },
    #[error("cannot read the old shards")]
    Old(#[from] ReconstructError),
    #[error("cannot back the keys up")]
    Export(#[from] ExportError),
    #[error("cannot restore {}", path.display())]
    Import {
        path: PathBuf,
        #[source]
        source: ImportError,
    },
    #[error("the two passphrases are not the same")]
    Passphrases,
    #[error("cannot ask for a passphrase")]
    NoTerminal(#[source] io::Error),
}

impl Failure {
    /// What is behind it, from near to far.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Unreadable(unreadable) => unreadable.causes(),
            Self::NoShards { places, .. } => places.clone(),
            Self::NotRotated { kept, .. } => kept.clone(),
            Self::OldRemain(remaining) => remaining.clone(),
            Self::NotTheSame(Some(failure)) => {
                let mut causes = vec![failure.to_string()];
                causes.extend(failure.causes());
                causes
            }
            other => chain(other),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Key(failure) => return failure.hint(),
            Self::Unreadable(unreadable) => return unreadable.hint(),
            Self::Endpoint(_) => {
                "write it as in --endpoint https://store.example:9000, or leave it out for the \
                 vendor's own"
            }
            Self::Variable(_) => "set the variable anew, or unset it if it is not needed",
            Self::PlainHttp(_) => "use https://, or allow it with --allow-http",
            Self::Emulator => {
                "name the emulator with --endpoint http://127.0.0.1:10000/ACCOUNT --allow-http, and \
                 set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
            }
            Self::PlaceTwice(_) => {
                "name it once: what is lost with a place is lost whatever else is called so"
            }
            Self::OneEndpoint => {
                "each store is asked at the address, in its vendor's protocol: copy between them \
                 with two commands"
            }
            Self::AboutManager(_) => {
                "leave it out: how object stores are reached say --endpoint and --allow-http"
            }
            Self::NoStore(_) => "leave it out, or name a bucket, as in s3://BUCKET/PREFIX",
            Self::Read { source, .. } if handed::is_none(source) => handed::NOT_HANDED,
            Self::SameKey(_) => "make one with: propeller data keys new -o FILE",
            Self::Store { .. } => CREDENTIALS,
            Self::Place { source, .. } => advice(source).unwrap_or(
                "every place has to be there: a folder that is created by mistake is on another disk",
            ),
            Self::Nameless | Self::Name { .. } => "give one with --name",
            Self::NoShards { hint, .. } => {
                hint.unwrap_or("name all places where its shards are with --shards")
            }
            Self::Exists(_) => {
                "take another name with --name; if it is what an interrupted put left, remove it"
            }
            Self::InTheWay(_) => "name another file, or remove it",
            Self::NowhereToRepair => "name places that are there with --shards",
            Self::NotRotated { .. } => {
                "repair the shards that are damaged, then rotate again: it goes on where it stopped"
            }
            Self::NotTheSame(_) => "try again; if it happens again, check memory and disks",
            Self::OldRemain(_) => "the new object is whole and verified; remove them yourself",
            Self::InputTwice => "give the key with another --key-file or --key-fd",
            Self::OldByName => {
                "they say nothing of themselves, and other files may be called so: migrate without \
                 it, and remove them yourself"
            }
            Self::OldIsOpenedByOneKey => "give the one key that they were made with",
            Self::NewKeyLabel { .. } => {
                "nothing was touched: take a key of the object's environment, or one without a label"
            }
            Self::OldTwice { .. } => "move one of the two elsewhere",
            Self::NoTerminal(_) => "give --passphrase-file FILE or --passphrase-fd N",
            _ => return None,
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            Self::ReaderLeft => Exit::ReaderLeft,
            Self::Endpoint(_)
            | Self::Variable(_)
            | Self::PlainHttp(_)
            | Self::Emulator
            | Self::OneEndpoint
            | Self::NoStore(_)
            | Self::AboutManager(_)
            | Self::SameKey(_)
            | Self::PlaceTwice(_)
            | Self::Nameless
            | Self::InputTwice
            | Self::OldByName
            | Self::Name { .. }
            | Self::Key(KeyFailure::None | KeyFailure::Several(_))
            | Self::Geometry(_)
            | Self::OldIsOpenedByOneKey => Exit::Usage,
            _ => Exit::Failure,
        }
    }
}

/// Which environment an object is of.
fn environment(label: Label) -> String {
    match label.is_empty() {
        true => "has no label".to_owned(),
        false => format!("is of `{label}`"),
    }
}

/// What is behind an error, from near to far. What only repeats the one before it is left out.
pub(crate) fn chain(error: &dyn Error) -> Vec<String> {
    let itself = error.to_string();
    let mut causes: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !causes.last().unwrap_or(&itself).contains(&text) {
            causes.push(text);
        }
        cause = error.source();
    }
    causes
}
