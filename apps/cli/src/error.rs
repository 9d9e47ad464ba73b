//! What can go wrong in a command, and how it is told: message, causes, hint, exit code.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use propeller_api::TaskState;
use propeller_inspect::InspectError;
use propeller_sdk::{ClientError, InvalidToken};

use crate::data;
use crate::images::Failure;
use crate::keys::BrokerFailure;
use crate::tasks;

/// How a command ended, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it was asked.
    Success,
    /// 1: the manager, the task or the machine did not let it.
    Failure,
    /// 2: the command line makes no sense.
    Usage,
    /// 130: Ctrl-C ended what has no other end.
    Interrupted,
    /// 141: whoever read the output left before its end, as a shell tells it of programs that SIGPIPE
    /// ends. What was not read may be damaged.
    ReaderLeft,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Usage => Self::from(2),
            Exit::Interrupted => Self::from(130),
            Exit::ReaderLeft => Self::from(141),
        }
    }
}

/// What a command is about, so that a hint can say where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Task,
    Proplet,
    Manager,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("{0}")]
    Client(ClientError),
    #[error(transparent)]
    Image(#[from] Failure),
    #[error(transparent)]
    Broker(BrokerFailure),
    #[error(transparent)]
    Data(#[from] data::Failure),
    #[error(transparent)]
    Task(#[from] tasks::Failure),
    #[error("not supported by this version: {flag}")]
    Unsupported { flag: &'static str },
    #[error("{0} is about the manager, which is not asked here")]
    AboutManager(&'static str),
    #[error("there is nothing to change")]
    NothingToChange,
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot say what {} is", path.display())]
    Inspect {
        path: PathBuf,
        #[source]
        source: InspectError,
    },
    #[error("the token cannot be used")]
    Token(#[source] InvalidToken),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    #[error("task {id} has no result: it is {}", .state.word())]
    NoResult { id: String, state: TaskState },
    #[error("{}", ended(id, *state, why))]
    Ended {
        id: String,
        state: TaskState,
        why: String,
        /// What the proplet says to do about it.
        hint: String,
    },
    #[error("task {id} was created, but {} was not uploaded", file.display())]
    NotUploaded {
        id: String,
        file: PathBuf,
        source: ClientError,
    },
    #[error("task {id} was created, but was not started")]
    NotStarted { id: String, source: ClientError },
    #[error("task {id} was not deleted")]
    NotDeleted { id: String, source: ClientError },
    #[error("the manager sent output that is not base64")]
    Encoding(#[source] data_encoding::DecodeError),
    #[error("the manager says that task {id} is in state {state}, which has no meaning here")]
    UnknownState { id: String, state: u8 },
}

/// An error in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) exit: Exit,
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl CliError {
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error in words, by a program of this name that was busy with such a thing.
    pub(crate) fn explain(&self, program: &str, noun: Noun) -> Explanation {
        let exit = match self {
            Self::Unsupported { .. } | Self::NothingToChange | Self::AboutManager(_) => Exit::Usage,
            Self::Data(failure) => failure.exit(),
            Self::Task(failure) => failure.exit(),
            _ => Exit::Failure,
        };
        Explanation {
            message: self.to_string(),
            causes: self.causes(),
            hint: self.hint(program, noun),
            exit,
        }
    }

    fn causes(&self) -> Vec<String> {
        match self {
            Self::Client(error) => client_causes(error),
            Self::Image(failure) => failure.causes(),
            Self::Broker(failure) => failure.causes(),
            Self::Data(failure) => failure.causes(),
            Self::Task(failure) => failure.causes(),
            Self::NotUploaded { source, .. }
            | Self::NotStarted { source, .. }
            | Self::NotDeleted { source, .. } => {
                let mut causes = vec![source.to_string()];
                causes.extend(client_causes(source));
                causes
            }
            other => other
                .source()
                .map(ToString::to_string)
                .into_iter()
                .collect(),
        }
    }

    fn hint(&self, program: &str, noun: Noun) -> Option<String> {
        Some(match self {
            Self::Client(error) => return client_hint(error, program, noun),
            Self::Image(failure) => return failure.hint().map(str::to_owned),
            Self::Broker(failure) => return failure.hint().map(str::to_owned),
            Self::Data(failure) => return failure.hint().map(str::to_owned),
            Self::Task(failure) => return failure.hint(program),
            Self::Unsupported { .. } => "leave it out".to_owned(),
            Self::AboutManager(_) => "to trust a registry's certificate, name it or its authority \
                with --registry-ca FILE; a registry without TLS is named http://…"
                .to_owned(),
            Self::NothingToChange => format!("see: {program} tasks update --help"),
            Self::Inspect { source, .. } => return inspect_hint(source),
            Self::Token(_) => "check --token-file, --token or PROPELLER_TOKEN".to_owned(),
            Self::NoResult {
                id,
                state: TaskState::Pending,
            } => {
                format!("start it with: {program} tasks start {id}")
            }
            Self::NoResult { id, .. } => format!("wait for it with: {program} tasks wait {id}"),
            Self::Ended { hint, .. } if !hint.is_empty() => hint.clone(),
            Self::Ended { id, .. } => {
                format!("see its attempts with: {program} tasks view {id}")
            }
            Self::NotUploaded {
                source:
                    ClientError::Refused {
                        status: 413,
                        problem,
                    },
                ..
            } => too_large_hint(&problem.detail).to_owned(),
            // Another try comes to the same: it is no module, or the manager takes none of that kind.
            Self::NotUploaded {
                id,
                source: ClientError::Refused { status: 400, .. },
                ..
            } => format!("the task has no module: remove it with: {program} tasks delete {id}"),
            Self::NotUploaded { id, file, .. } => {
                format!(
                    "try again with: {program} tasks upload {id} {}",
                    file.display()
                )
            }
            Self::NotStarted { id, .. } => format!("try again with: {program} tasks start {id}"),
            Self::NotDeleted { source, .. } => return client_hint(source, program, noun),
            Self::Encoding(_) | Self::UnknownState { .. } => NOT_A_MANAGER.to_owned(),
            Self::Read { .. } | Self::Output(_) => return None,
        })
    }
}

const NOT_A_MANAGER: &str =
    "is that a manager of this version? check --manager-url or PROPELLER_MANAGER_URL";

fn inspect_hint(error: &InspectError) -> Option<String> {
    let hint = match error {
        InspectError::Empty => "was the file built, or only created? build it again",
        InspectError::TooLarge { .. } => "make it smaller: optimise for size and strip it",
        InspectError::Text => "compile it first, with: wat2wasm FILE, or: wasm-tools parse FILE",
        InspectError::NotWasm { .. } => {
            "give the .wasm file that the compiler wrote, unpacked; it begins with \\0asm"
        }
        InspectError::Version { .. } => "build it again with current tools",
        InspectError::Truncated { .. } => "copy or download it again; compare its length",
        InspectError::Invalid { .. } => {
            "build it again; if a compiler wrote it like that, tell its authors"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn ended(id: &str, state: TaskState, why: &str) -> String {
    match (state, why) {
        (TaskState::Failed, "") => format!("task {id} failed"),
        (TaskState::Failed, why) => format!("task {id} failed: {why}"),
        (state, "") => format!("task {id} was {}", state.word()),
        (state, why) => format!("task {id} was {}: {why}", state.word()),
    }
}

/// For a broken connection the innermost cause alone: the layers around it only repeat that the
/// connection is broken.
pub(crate) fn client_causes(error: &ClientError) -> Vec<String> {
    let chain = std::iter::successors(error.source(), |&error| error.source());
    let mut causes: Vec<_> = chain.map(ToString::to_string).collect();
    if matches!(
        error,
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. }
    ) {
        causes.drain(..causes.len().saturating_sub(1));
    }
    causes
}

fn client_hint(error: &ClientError, program: &str, noun: Noun) -> Option<String> {
    Some(match error {
        ClientError::Unreachable { source, .. } => unreachable_hint(source).to_owned(),
        ClientError::CutOff { .. } => "try again; the manager's log may say more".to_owned(),
        ClientError::Interrupted { .. } | ClientError::Timeout { .. } => match noun {
            Noun::Task => maybe_done(program, "tasks"),
            Noun::Proplet => maybe_done(program, "proplets"),
            Noun::Manager => "try again; the manager's log may say more".to_owned(),
        },
        ClientError::Refused {
            status: 413,
            problem,
        } => too_large_hint(&problem.detail).to_owned(),
        ClientError::Refused { status, .. } => return refused_hint(*status, program, noun),
        ClientError::Unexpected { .. } => NOT_A_MANAGER.to_owned(),
        ClientError::StillRunning { id, .. } => {
            format!("it goes on; wait longer with: {program} tasks wait {id}")
        }
        ClientError::BaseUrl { .. } => "check --manager-url or PROPELLER_MANAGER_URL".to_owned(),
        ClientError::CaCertRead { .. }
        | ClientError::CaCertEmpty { .. }
        | ClientError::Setup(_) => "check --ca-cert".to_owned(),
        ClientError::Id { .. } => match noun {
            Noun::Proplet => format!("see which there are with: {program} proplets list"),
            _ => format!("see which there are with: {program} tasks list"),
        },
        _ => return None,
    })
}

fn maybe_done(program: &str, nouns: &str) -> String {
    format!("what you asked for may have been done all the same; look with: {program} {nouns} list")
}

fn refused_hint(status: u16, program: &str, noun: Noun) -> Option<String> {
    let nouns = match noun {
        Noun::Task => "tasks",
        Noun::Proplet => "proplets",
        Noun::Manager if status == 404 => return Some(NOT_A_MANAGER.to_owned()),
        Noun::Manager => "health",
    };
    Some(match status {
        400 | 415 | 422 => format!("see what is possible with: {program} {nouns} --help"),
        401 => "give the manager's token with --token-file FILE or PROPELLER_TOKEN".to_owned(),
        403 => "this token may not do this; another one might".to_owned(),
        404 => format!("see which there are with: {program} {nouns} list"),
        409 => format!("see how it stands with: {program} {nouns} view ID"),
        429 | 503 => "try again in a while".to_owned(),
        500.. => "the manager's log says more".to_owned(),
        _ => return None,
    })
}

/// What to do about something too large. What that is, a manager says by the limit that it names.
pub(crate) fn too_large_hint(detail: &str) -> &'static str {
    const LIMITS: [(&str, &str); 3] = [
        (
            "MANAGER_UPLOAD_MAX",
            "make the module smaller: optimise for size and strip it",
        ),
        (
            "MANAGER_INLINE_MAX",
            "give the task a shorter input, or the manager an object store, where longer ones go",
        ),
        (
            "MANAGER_OBJECT_MAX",
            "give the task a shorter input, or several tasks a part of it each",
        ),
    ];
    let named = LIMITS.iter().find(|(limit, _)| detail.contains(limit));
    named.map_or("send less at once", |(_, hint)| hint)
}

fn unreachable_hint(error: &(dyn Error + 'static)) -> &'static str {
    for layer in std::iter::successors(Some(error), |&error| beneath(error)) {
        if let Some(error) = layer.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            return "is the manager running? start one with: propeller up";
        }
        match layer.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(_)) => {
                return BAD_CERTIFICATE;
            }
            Some(_) => return "does the manager speak https? check --manager-url",
            None => {}
        }
    }
    "check --manager-url or PROPELLER_MANAGER_URL"
}

/// `openssl req -x509` makes authorities unless it is told otherwise, and an authority is not
/// accepted as a server. Which of these it is, the cause says.
const BAD_CERTIFICATE: &str = "if you trust the manager's certificate, pass it or its authority \
    with --ca-cert FILE; it must be a server's (CA:FALSE), valid today, and for the name in \
    --manager-url";

/// The error below this one. An I/O error made from another does not name that one as its source,
/// but that one's source.
fn beneath<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_fails_is_told_by_its_deepest_reason() {
        let tls = |error: rustls::Error| io::Error::other(io::Error::other(error));
        let check = |error: io::Error, word: &str| {
            let hint = unreachable_hint(&error);
            assert!(hint.contains(word), "{error}: {hint}");
        };
        check(io::ErrorKind::ConnectionRefused.into(), "propeller up");
        check(
            tls(rustls::CertificateError::UnknownIssuer.into()),
            "--ca-cert",
        );
        check(tls(rustls::Error::DecryptError), "https");
        check(io::ErrorKind::TimedOut.into(), "--manager-url");
    }
}
