//! What the two sides say, in JSON.
//!
//! The names are the protocol's, with its mixture of hyphens and underscores.

use propeller_jose::Jwk;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of `POST /auth`. All three members have to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// [`super::VERSION`].
    pub version: String,
    /// Kind of TEE, see [`crate::Tee::name`].
    pub tee: String,
    /// Hash algorithms that the client has, or nothing.
    pub extra_params: Value,
}

/// Answer to `POST /auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Challenge {
    /// Unpredictable, and used once. Its form is the broker's affair: it is echoed byte for byte.
    pub nonce: String,
    /// An object may choose a hash algorithm.
    #[serde(default)]
    pub extra_params: Value,
}

/// Body of `POST /attest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attestation {
    /// Configuration that was measured at launch.
    #[serde(default)]
    pub init_data: Option<InitData>,
    /// What the evidence is bound to.
    pub runtime_data: RuntimeData,
    /// Of the TEE and its devices.
    pub tee_evidence: CompositeEvidence,
}

/// Configuration that was measured at launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitData {
    /// `toml` is what brokers read.
    pub format: String,
    /// The text that was hashed, byte for byte.
    pub body: String,
}

/// What the evidence is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuntimeData {
    /// As the challenge had it.
    pub nonce: String,
    /// The key to which resources are encrypted.
    pub tee_pubkey: Jwk,
}

/// Of the TEE and its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompositeEvidence {
    /// In the shape of its kind.
    pub primary_evidence: Value,
    /// JSON in a text, or nothing.
    #[serde(default)]
    pub additional_evidence: String,
}

/// Answer to `POST /attest`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// A JWT, whose payload is an attestation result (EAR).
    pub token: String,
}

/// Whoever holds it is that somebody, as far as ciphertext goes.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({} bytes)", self.token.len())
    }
}

/// Body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInformation {
    /// [`super::ERROR_TYPE`] and a name.
    #[serde(rename = "type")]
    pub kind: String,
    /// In words.
    #[serde(default)]
    pub detail: String,
}
