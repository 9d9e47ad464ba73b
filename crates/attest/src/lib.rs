//! Attestation: which trusted execution environment (TEE) this is, evidence of it, what evidence is
//! worth, and the conversation in which a key broker releases a key for it (RCAR).
//!
//! ```text
//!  detect ─▶ Attester ─▶ evidence ─▶ rcar (auth, attest, resource) ─▶ a secret, for a key made here
//!                            └─────▶ verify (signature, chain, policy) ─▶ a verdict
//! ```
//!
//! Evidence is made by hardware and bound to 48 or 64 bytes of report data. What those are says what
//! the evidence is about: a key of one attestation ([`rcar`]), or one attempt of a task ([`binding`]).
//! Nobody takes evidence of kind `sample` for more than what it is, and it is never fallen back to.

pub mod attester;
pub mod binding;
pub mod detect;
mod hcl;
mod prover;
pub mod rcar;
pub mod snp_report;
mod tee;
mod tpm;
#[cfg(feature = "verify")]
pub mod verify;

pub use attester::{AttestError, Attester};
pub use prover::{ProveError, Prover};
pub use tee::{Tee, UnknownTee};
