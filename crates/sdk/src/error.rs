//! What can go wrong between a client and its manager.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use propeller_api::{Problem, TaskState};

/// Why a client could not be made, or a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The program has not installed a rustls crypto provider.
    #[error("this program has not chosen a TLS provider")]
    NoCryptoProvider,
    /// The base address cannot be a manager's.
    #[error("{url:?} cannot be a manager's address: {why}")]
    BaseUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file with CA certificates cannot be read.
    #[error("cannot read the CA certificates in {}", path.display())]
    CaCertRead {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has no certificate in PEM form.
    #[error("there is no PEM certificate in {}", path.display())]
    CaCertEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client cannot be built, for example from a certificate that is none.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// An id that would name another path.
    #[error("{id:?} is not an id")]
    Id {
        /// What was given.
        id: String,
    },
    /// No connection: nothing was sent.
    #[error("cannot reach the manager at {url}")]
    Unreachable {
        /// The manager's address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke: the manager may or may not have done what it was asked.
    #[error("the connection to {url} broke before the answer was complete")]
    Interrupted {
        /// The manager's address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that goes on for long ended before its end, or stopped coming.
    #[error("the answer from {url} was cut off")]
    CutOff {
        /// The manager's address.
        url: String,
    },
    /// No answer in time: the manager may or may not have done what it was asked.
    #[error("no answer from {url} within {after:?}")]
    Timeout {
        /// The manager's address.
        url: String,
        /// How long the client waited.
        after: Duration,
    },
    /// The manager refused, and said why.
    #[error("{}", problem.detail)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the manager said. `detail` and `error` are never empty.
        problem: Box<Problem>,
    },
    /// Whoever answered does not speak the manager's language.
    #[error("the answer from {url} is not a manager's: {why}")]
    Unexpected {
        /// The manager's address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is strange about it.
        why: &'static str,
        /// Where the JSON is not what it should be.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The task did not end within the time that the caller gave it.
    #[error("task {id} is still {}{}", .state.word(), after(*waited))]
    StillRunning {
        /// The task.
        id: String,
        /// Its state at last sight.
        state: TaskState,
        /// How long the caller wanted to wait.
        waited: Duration,
    },
}

fn after(waited: Duration) -> String {
    if waited.is_zero() {
        String::new()
    } else {
        format!(" after {waited:?}")
    }
}
