//! Who attests for this process: it itself, or an agent on the same machine.

use std::sync::Arc;

use serde_json::Value;

use crate::Tee;
use crate::attester::agent::{Agent, AgentError};
use crate::attester::{AttestError, Attester};

/// Who makes evidence.
#[derive(Debug, Clone)]
pub enum Prover {
    /// This process.
    Own(Arc<Attester>),
    /// An attestation-agent, which makes it of this kind. It also talks to its own key broker.
    Agent(Arc<Agent>, Tee),
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// This process cannot make it.
    #[error(transparent)]
    Own(#[from] AttestError),
    /// The agent does not give it.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The process is shutting down.
    #[error("the process is shutting down")]
    Stopped,
}

impl Prover {
    /// What it makes evidence of.
    #[must_use]
    pub fn tee(&self) -> Tee {
        match self {
            Self::Own(attester) => attester.tee(),
            Self::Agent(_, tee) => *tee,
        }
    }

    /// Evidence over at most 64 bytes, as RCAR's `primary_evidence`.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn evidence(&self, report_data: &[u8]) -> Result<Value, ProveError> {
        match self {
            Self::Agent(agent, _) => Ok(agent.evidence(report_data).await?),
            Self::Own(attester) => {
                let (attester, bytes) = (Arc::clone(attester), report_data.to_vec());
                let made = tokio::task::spawn_blocking(move || attester.evidence(&bytes)).await;
                Ok(made.map_err(|_| ProveError::Stopped)??)
            }
        }
    }
}
