//! `data`: streams into shards and back, with the program as people run it.
#![cfg(test)]

mod descriptors;
mod folders;
mod forgeries;
mod interrupted;
mod keys;
mod migrations;
mod outputs;
mod places;
mod refusals;
#[path = "../../../../testdata/stores/server.rs"]
mod server;
mod store;
mod stores;
mod superfluous;
mod support;
mod words;
