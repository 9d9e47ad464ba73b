//! Fetches images for proplets that cannot reach a registry, and hands them on across the broker,
//! sealed to the one that asked.
//!
//! ```text
//!            Ask                      GET …                    piece by piece
//!  proplet ──────▶ desk ─▶ asks ─▶ library ─────▶ registry ──────────────▶ blobs (sealed, on disk)
//!     ▲             │        │        ▲                                      │
//!     └── ServeTo ──┘◀───────┘        └──────────── chunks, the last one ────┘
//!                                                   once the digest is right
//! ```
//!
//! It knows no tasks, and no module: what it hands on are documents and blobs, which a proplet asks
//! for by their digest and holds against it. What it has been asked for once it keeps, and needs no
//! registry for; in memory it has a few chunks, whatever it serves.

mod allowed;
mod asks;
pub mod config;
mod documents;
mod fault;
mod health;
mod library;
mod plain;
mod serve;
mod service;

pub use config::Config;
pub use service::{Proxy, StartError};
