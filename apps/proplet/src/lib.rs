//! The proplet: opens modules in memory, runs them, reports, and trusts the broker with nothing.
//!
//! - [`config`] – its settings
//! - [`engine`] – what runs guests
//! - [`isolation`] – where guests run
//! - [`policy`] – what tasks may be granted
//! - [`work`] – one attempt, from sealed input to sealed output
//! - [`outbox`] – reports that nobody has acknowledged yet
//! - [`Proplet`] – all of it, running

mod attempts;
#[cfg(feature = "tee")]
mod attested;
#[cfg(not(feature = "tee"))]
#[path = "attested_off.rs"]
mod attested;
mod cache;
pub mod config;
pub mod courier;
pub mod daemons;
mod delivered;
pub mod engine;
mod fetch;
mod granted;
pub mod images;
pub mod isolation;
mod judged;
pub mod limits;
pub mod outbox;
mod plain;
mod plain_fetch;
pub mod policy;
mod presence;
mod said;
mod service;
mod shelved;
mod stored;
mod tell;
mod together;
mod vitals;
mod watch;
pub mod work;
mod worker;

pub use config::Config;
pub use service::{Proplet, StartError};
