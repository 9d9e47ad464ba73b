//! The client of key brokers, and brokers that follow a script: honest ones, and all the others.
//!
//! What is honest is written down once, in `honest`; a script changes one answer of it. What the
//! client sends is held against what other programs were recorded to send, and against hashes that
//! are computed here once more.
#![cfg(test)]

#[cfg(feature = "admin")]
mod admin;
mod agent;
mod broker;
mod challenges;
mod connections;
mod hand;
mod honest;
mod keys;
mod messages;
mod refusals;
mod sent;
mod sessions;
mod tls;
mod waiting;
