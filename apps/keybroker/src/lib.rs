//! A key broker for one machine and for tests: it speaks RCAR 0.4.0, as Trustee does, and releases a
//! secret to whoever is attested and allowed by a policy that people can read.
//!
//! ```text
//!  POST auth ────▶ sessions: a nonce, once
//!  POST attest ──▶ evidence: is it authentic, and about this nonce and key? ─▶ tokens: an EAR, signed
//!  GET resource ─▶ tokens ─▶ policy: which rule? ─▶ audit ─▶ vault ─▶ a JWE to the attested key
//!  POST resource ▶ admins: whose key, which role, which paths? ─▶ audit ─▶ vault, sealed at rest
//! ```
//!
//! It never sees an image, and no proplet. A token says that somebody was attested; what may be had
//! with it is decided anew whenever a resource is asked for.

mod admins;
mod audit;
mod broker;
mod clock;
pub mod config;
mod evidence;
mod http;
mod init_data;
mod limits;
mod metrics;
pub mod policy;
mod refusal;
mod sealed;
mod service;
mod sessions;
mod tokens;
mod vault;

pub use admins::AdminsError;
pub use audit::AuditError;
pub use clock::Clock;
pub use config::Config;
pub use evidence::CollateralFolderError;
pub use http::ServeError;
pub use sealed::SealedError;
pub use service::{KeyBroker, ReloadError, StartError};
pub use tokens::TokenKeyError;
pub use vault::VaultError;
