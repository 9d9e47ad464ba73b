//! Depots in folders, and in a store that speaks the protocol of S3.
#![cfg(test)]

mod contract;
mod encoded;
mod folders;
mod marks;
#[path = "../../../../testdata/stores/server.rs"]
mod server;
mod store;
mod stores;
mod support;
mod sweeps;
