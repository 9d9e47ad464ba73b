//! A running attestation-agent of the Confidential Containers project, which attests for whoever asks
//! it on the same machine.
//!
//! ```text
//!  unix:///run/…/attestation-agent.sock   ttrpc
//!  127.0.0.1:50010                        gRPC
//!  http://127.0.0.1:8006                  api-server-rest, which speaks ttrpc to it
//! ```
//!
//! With a token it hands out the private key that the token is for, to anybody who reaches it. So
//! only Unix sockets and loopback addresses are asked, and no proxy is.

mod error;
mod grpc;
mod local;
mod protobuf;
mod rest;
mod ttrpc;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::REPORT_DATA_BYTES_MAX;
use crate::Tee;
use error::Fault;

pub use error::AgentError;

/// Where an attestation-agent of a proplet's virtual machine is asked, by gRPC.
pub const GRPC_DEFAULT: &str = "127.0.0.1:50010";

/// The longest answer, as ttrpc bounds it.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// How long one answer may take: a token is a whole conversation with a key broker.
const PATIENCE: Duration = Duration::from_secs(50);

/// An attestation-agent that runs on this machine. Nothing is kept open between questions.
#[derive(Debug, Clone)]
pub struct Agent {
    way: Way,
    patience: Duration,
}

#[derive(Debug, Clone)]
enum Way {
    Ttrpc(PathBuf),
    Grpc(grpc::Peer),
    Rest(rest::Peer),
}

/// What an agent can be asked.
#[derive(Debug, Clone, Copy)]
enum Question<'a> {
    Token,
    Tee,
    Evidence { report_data: &'a [u8] },
}

/// A token of a key broker, and the key that it is for.
pub struct AgentToken {
    /// A JWT, which the broker takes as a bearer token.
    pub token: String,
    /// The private key, to which the broker encrypts: PKCS#8 of elliptic curves, PKCS#1 of RSA.
    pub tee_keypair_pem: Zeroizing<String>,
}

impl Agent {
    /// By ttrpc, at a Unix socket.
    #[must_use]
    pub fn ttrpc(socket: PathBuf) -> Self {
        Self::by(Way::Ttrpc(socket))
    }

    /// By gRPC.
    ///
    /// # Errors
    /// If that is not on this machine, or the process has no provider of cryptography, without which
    /// there is no HTTP client.
    pub fn grpc(address: SocketAddr) -> Result<Self, AgentError> {
        grpc::Peer::new(address).map(Way::Grpc).map(Self::by)
    }

    /// By way of an api-server-rest.
    ///
    /// Those that do not know `encoding=base64` make evidence about the letters of the encoding, which
    /// no broker takes.
    ///
    /// # Errors
    /// As of [`grpc`](Self::grpc).
    pub fn rest(address: SocketAddr) -> Result<Self, AgentError> {
        rest::Peer::new(address).map(Way::Rest).map(Self::by)
    }

    fn by(way: Way) -> Self {
        Self {
            way,
            patience: PATIENCE,
        }
    }

    /// The same, with another bound for how long one answer may take.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Has the agent attest to its key broker.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn token(&self) -> Result<AgentToken, AgentError> {
        #[derive(Deserialize)]
        struct Given {
            token: String,
            tee_keypair: Zeroizing<String>,
        }
        let given = self.ask(Question::Token).await?;
        let given: Given = self.json(&given)?;
        Ok(AgentToken {
            token: given.token,
            tee_keypair_pem: given.tee_keypair,
        })
    }

    /// What the agent attests.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn tee(&self) -> Result<Tee, AgentError> {
        let name = self.ask(Question::Tee).await?;
        let name = error::excerpt(&name);
        name.parse().map_err(|source| AgentError::UnknownTee {
            address: self.to_string(),
            name,
            source,
        })
    }

    /// Has the agent make evidence over `report_data`, as RCAR's `primary_evidence`.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn evidence(&self, report_data: &[u8]) -> Result<Value, AgentError> {
        let bytes = report_data.len();
        if bytes > REPORT_DATA_BYTES_MAX {
            return Err(AgentError::ReportDataTooLong { bytes });
        }
        let evidence = self.ask(Question::Evidence { report_data }).await?;
        self.json(&evidence)
    }

    async fn ask(&self, question: Question<'_>) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        let answer = async {
            match &self.way {
                Way::Ttrpc(socket) => ttrpc::ask(socket, question).await,
                Way::Grpc(peer) => peer.ask(question).await,
                Way::Rest(peer) => peer.ask(question).await,
            }
        };
        let answer = tokio::time::timeout(self.patience, answer).await;
        let answer = answer.unwrap_or(Err(Fault::Patience(self.patience)));
        answer.map_err(|fault| fault.of(self.to_string(), question.method()))
    }

    fn json<T: for<'a> Deserialize<'a>>(&self, text: &[u8]) -> Result<T, AgentError> {
        // The parser's words may have a key in them.
        serde_json::from_slice(text).map_err(|_| AgentError::Malformed {
            address: self.to_string(),
            what: "its answer is not the JSON that was asked for",
        })
    }
}

/// Its address, as it is read.
impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Ttrpc(socket) => write!(f, "unix://{}", socket.display()),
            Way::Grpc(peer) => write!(f, "{}", peer.address()),
            Way::Rest(peer) => write!(f, "http://{}", peer.address()),
        }
    }
}

impl FromStr for Agent {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::ttrpc(path.into())),
            Some(("http", host)) => Self::rest(local::address(host.trim_end_matches('/'))?),
            Some(("grpc", host)) => Self::grpc(local::address(host)?),
            None if text.starts_with('/') => Ok(Self::ttrpc(text.into())),
            None => Self::grpc(local::address(text)?),
            Some(_) => Err(AgentError::Address {
                address: text.to_owned(),
            }),
        }
    }
}

impl Question<'_> {
    /// What it is called in `attestation_agent.AttestationAgentService`.
    fn method(self) -> &'static str {
        match self {
            Self::Token => "GetToken",
            Self::Tee => "GetTeeType",
            Self::Evidence { .. } => "GetEvidence",
        }
    }

    /// Its message in protobuf: one field, or none.
    fn message(self) -> Vec<u8> {
        let mut message = Vec::new();
        match self {
            Self::Token => protobuf::put_bytes(&mut message, 1, b"kbs"),
            Self::Tee => {}
            Self::Evidence { report_data } => protobuf::put_bytes(&mut message, 1, report_data),
        }
        message
    }
}

/// What an answer in protobuf has: all of them have one field of bytes.
fn answered(message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let answer = protobuf::bytes(message, 1)?;
    Ok(Zeroizing::new(answer.to_vec()))
}

const SERVICE: &str = "attestation_agent.AttestationAgentService";

/// Without the secrets.
impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentToken").finish_non_exhaustive()
    }
}
