//! Functions that stream, and give a status each.
//!
//! A handle is used by one thread at a time, except keys and options, which are only read once they
//! are made. Every handle is freed with its own function, once; NULL is nothing to free.

pub mod encode;
pub mod keys;
pub mod options;
pub mod reader;
pub mod shards;
pub mod values;
pub mod writer;
