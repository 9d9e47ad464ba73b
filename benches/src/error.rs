//! Why a measurement comes to nothing.

use std::io;
use std::time::Duration;

use propeller::stack::StackError;
use propeller_envelope::{OpenError, RandomError, SealError};
use propeller_sdk::ClientError;

/// Why a measurement comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A part does not start.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The manager refuses, or is not there.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No key can be made.
    #[error("the system has no randomness")]
    Random(#[from] RandomError),
    /// An envelope cannot be made.
    #[error("nothing can be sealed")]
    Seal(#[from] SealError),
    /// An envelope that was made here is not opened.
    #[error("what was sealed cannot be opened")]
    Open(#[from] OpenError),
    /// The disk, a socket or a process.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// Not the HTTP that a manager speaks.
    #[error("the answer is not HTTP that this client understands: {why}")]
    Http {
        /// What is strange about it.
        why: &'static str,
    },
    /// Another status than the one that means success.
    #[error("{path} was answered with {status}: {body}")]
    Refused {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
        /// What the manager said.
        body: String,
    },
    /// JSON of another shape.
    #[error("the manager's JSON is not what it should be")]
    Json(#[from] serde_json::Error),
    /// The task did not give what it had to.
    #[error("task {id} ended {state} with {result}: {error}")]
    WrongResult {
        /// The task.
        id: String,
        /// Its state.
        state: &'static str,
        /// What it gave, as JSON.
        result: String,
        /// What it said.
        error: String,
    },
    /// The proplet measured nothing.
    #[error("task {id} has no usage")]
    NoUsage {
        /// The task.
        id: String,
    },
    /// A process that had to stay.
    #[error("{what} ended: {said}")]
    Ended {
        /// Which.
        what: &'static str,
        /// What it said last.
        said: String,
    },
    /// Too slow, or stuck.
    #[error("not finished within {limit:?}")]
    Deadline {
        /// How long it had.
        limit: Duration,
    },
}

impl BenchError {
    /// For `map_err`: what was tried when the system refused.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { what, cause }
    }
}

/// Runs `work`, but not longer than `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(BenchError::Deadline { limit }),
    }
}
