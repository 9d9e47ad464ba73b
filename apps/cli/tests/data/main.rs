//! `data`: streams into shards and back, with the program as people run it.
#![cfg(test)]

mod folders;
mod interrupted;
mod keys;
mod migrations;
mod refusals;
mod stores;
mod support;
