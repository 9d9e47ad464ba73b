//! Why a command about tasks did not do what it was asked, where large inputs or outputs are the
//! reason.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use propeller_ces::RandomError;
use propeller_sdk::ClientError;

use super::seal::SealFailure;
use super::stored::OpenFailure;
use crate::error::{Exit, client_causes, too_large_hint};
use crate::units::bytes_text;

/// Why a command about tasks did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Random(RandomError),
    #[error("the standard input of task {id} was not uploaded, and the task is removed again")]
    Removed {
        id: String,
        source: Box<SealFailure>,
    },
    #[error("the standard input of task {id} was not uploaded, and the task could not be removed")]
    NotRemoved {
        id: String,
        source: Box<SealFailure>,
        removal: ClientError,
    },
    #[error("task {id} was changed, but its standard input was not uploaded")]
    NotGiven {
        id: String,
        path: PathBuf,
        source: Box<SealFailure>,
    },
    /// Whoever seals another one would need the key that the first is sealed with.
    #[error("task {id} has a sealed standard input already, under a key of its own")]
    HasInput { id: String, source: ClientError },
    /// A request with an empty one leaves what is sealed where it is.
    #[error("task {id} has a sealed standard input, and an empty one does not take its place")]
    NotEmptied { id: String },
    #[error("{}", unread(id, *got))]
    Output {
        id: String,
        /// How much of it was handed on, in bytes.
        got: u64,
        source: Box<OpenFailure>,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Failure {
    /// What is behind it, from near to far.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Removed { source, .. } | Self::NotGiven { source, .. } => sealing(source),
            Self::NotRemoved {
                source, removal, ..
            } => [sealing(source), asking(removal)].concat(),
            Self::HasInput { source, .. } => asking(source),
            Self::Output { source, .. } => opening(source),
            Self::Random(_) | Self::NotEmptied { .. } | Self::Write { .. } => chain(self),
        }
    }

    /// What to do about it, with a program of this name.
    pub(crate) fn hint(&self, program: &str) -> Option<String> {
        Some(match self {
            Self::NotRemoved { id, .. } => format!("remove it with: {program} tasks delete {id}"),
            Self::Removed { source, .. } | Self::NotGiven { source, .. }
                if let Some(detail) = too_large(source) =>
            {
                too_large_hint(detail).to_owned()
            }
            Self::NotGiven { id, path, .. } => format!(
                "try again with: {program} tasks update {id} --stdin {}",
                path.display()
            ),
            Self::Removed { source, .. } if is_broken(source) => {
                "the manager may have had its reasons: its log says more".to_owned()
            }
            Self::HasInput { .. } => "create another task, with this input".to_owned(),
            Self::NotEmptied { .. } => "create another task, without an input".to_owned(),
            Self::Output { got: 1.., .. } => {
                "do not use what was printed of it; try again".to_owned()
            }
            Self::Random(_) | Self::Removed { .. } | Self::Output { .. } | Self::Write { .. } => {
                return None;
            }
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Removed { source, .. }
            | Self::NotRemoved { source, .. }
            | Self::NotGiven { source, .. }
                if matches!(**source, SealFailure::Interrupted) =>
            {
                Exit::Interrupted
            }
            _ => Exit::Failure,
        }
    }
}

/// A manager that refuses what is still coming may end the connection before its answer is read.
fn is_broken(failure: &SealFailure) -> bool {
    matches!(
        failure,
        SealFailure::Client(ClientError::Interrupted { .. })
    )
}

/// What a manager says that finds it too large.
fn too_large(failure: &SealFailure) -> Option<&str> {
    match failure {
        SealFailure::Client(ClientError::Refused {
            status: 413,
            problem,
        }) => Some(&problem.detail),
        _ => None,
    }
}

fn unread(id: &str, got: u64) -> String {
    match got {
        0 => format!("cannot read the standard output of task {id}"),
        got => {
            let got = bytes_text(got);
            format!("the standard output of task {id} breaks off after {got}")
        }
    }
}

fn sealing(failure: &SealFailure) -> Vec<String> {
    match failure {
        SealFailure::Client(error) => asking(error),
        other => with_itself(other),
    }
}

fn opening(failure: &OpenFailure) -> Vec<String> {
    match failure {
        OpenFailure::Client(error) => asking(error),
        other => with_itself(other),
    }
}

/// What the manager says, or what is wrong with the way to it.
fn asking(error: &ClientError) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    causes.extend(client_causes(error));
    causes
}

fn with_itself(error: &dyn Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    causes.extend(chain(error));
    causes
}

/// What is behind an error, from near to far.
fn chain(error: &dyn Error) -> Vec<String> {
    std::iter::successors(error.source(), |&error| error.source())
        .map(ToString::to_string)
        .collect()
}
