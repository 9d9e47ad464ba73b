//! The client's side of RCAR: Request, Challenge, Attestation, Response, version 0.4.0.
//!
//! ```text
//!  POST /kbs/v0/auth       who asks, of which kind           ─▶ a nonce, and a cookie for the next step
//!  POST /kbs/v0/attest     evidence over H(nonce, our key)   ─▶ a token
//!  GET  /kbs/v0/resource/… the token                         ─▶ a JWE to our key
//! ```
//!
//! The key is made for one attestation and never leaves this process. The evidence's report data is
//! a hash of the nonce and of that key ([`report_data`]), so that what the broker sends opens only
//! where the evidence was made. A token says that somebody was attested, not that he may have
//! anything: what may be had is decided when a resource is asked for.
//!
//! Brokers are told apart from what they say, not from their HTTP status, which is 401 for nearly
//! everything: see [`KbsError`].

mod address;
#[cfg(feature = "admin")]
pub mod admin;
mod client;
mod error;
mod exchange;
mod http;
mod message;
mod report_data;
mod secret;
mod session;

pub use crate::prover::{ProveError, Prover};
pub use address::{AddressError, KbsAddress, KbsUri, ResourcePath, UriError};
pub use client::{Kbs, KbsOptions, Released, Steps};
pub use error::{Cause, KbsError, Step};
pub use message::{
    Attestation, Challenge, CompositeEvidence, ErrorInformation, InitData, Request, RuntimeData,
    Token,
};
pub use report_data::{Hash, report_data};
pub use secret::{NoKey, key_bytes, private_key};
pub use session::TeeKey;

/// The version that is spoken, and no other: brokers compare it for equality.
pub const VERSION: &str = "0.4.0";
/// What errors' types begin with; their name follows.
pub const ERROR_TYPE: &str = "https://github.com/confidential-containers/kbs/errors/";
/// Name of the cookie that joins the first two steps.
pub const COOKIE: &str = "kbs-session-id";
/// The longest body that is read of either side, in bytes.
pub const BODY_BYTES_MAX: usize = 2 << 20;
