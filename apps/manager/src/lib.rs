//! The manager: accepts tasks, remembers them, gives them to proplets and settles them.
//!
//! - [`config`] – its settings
//! - [`http`] – the REST API
//! - [`dispatch`] – the one thread that decides
//! - [`verifier`] – the one thread that judges evidence
//! - [`store`] – SQLite
//! - [`objects`] – the object store, for what is too large for a message
//! - [`Manager`] – all of it, running

pub mod attestation;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod http;
pub mod judge;
pub mod metrics;
pub mod objects;
mod service;
pub mod store;
pub mod verifier;

pub use config::Config;
pub use service::{Manager, StartError};
