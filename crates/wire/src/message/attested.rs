//! Work that only a trusted execution environment (TEE) may see: its start, and what proves its end.

use propeller_model::Digest;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Hello, Report, StartImage};

/// Longest evidence, in bytes of its JSON: an SNP report with its certificates is 30 KiB.
pub const EVIDENCE_LEN_MAX: usize = 256 * 1024;

/// See [`ToProplet::StartAttested`](super::ToProplet::StartAttested).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartAttested {
    /// What to run. Its layers have to be encrypted.
    pub start: StartImage,
    /// Where a key broker keeps the image's key: a path such as `default/key/app`, or a `kbs://`
    /// address. Empty leaves it to the image, or to the proplet.
    pub key: String,
}

/// See [`FromProplet::HelloInTee`](super::FromProplet::HelloInTee).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloInTee {
    /// What anybody says.
    pub hello: Hello,
    /// Kind of the TEE, as key brokers know it: `tdx`, `snp`, `sample`, …
    pub kind: String,
}

/// See [`FromProplet::Tee`](super::FromProplet::Tee).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeeClaim {
    /// As in [`HelloInTee`].
    pub kind: String,
    /// Evidence for this session, in JSON.
    pub evidence: ByteBuf,
}

/// See [`FromProplet::FinishedAttested`](super::FromProplet::FinishedAttested).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedReport {
    /// How the attempt ended.
    pub report: Report,
    /// Where it ran, and with whose leave.
    pub proof: Proof,
}

/// What proves where an attempt ran: evidence, and all that it is bound to but the attempt itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Kind of the TEE, as in [`HelloInTee`].
    pub kind: String,
    /// Where the key came from that opened the image.
    pub key: String,
    /// Digest of the manifest of the image.
    pub image: Digest,
    /// Binding of the session in which the attempt was given.
    pub session: [u8; 32],
    /// Evidence, in JSON.
    pub evidence: ByteBuf,
    /// Where the time went before the guest began.
    pub steps: Steps,
}

/// Where the time of an attested start went, in microseconds each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Making evidence, for the broker and for the proof.
    pub evidence_us: u64,
    /// Getting a token of the key broker.
    pub token_us: u64,
    /// Getting the key.
    pub key_us: u64,
    /// Fetching and unpacking the image.
    pub image_us: u64,
    /// Checking and decrypting its layers.
    pub decrypt_us: u64,
}
