//! Functions that stream, and give a status each.
//!
//! A reader or writer is used by one thread at a time: one that is in use says so with
//! [`Status::Spent`](crate::Status::Spent), to other threads and to callbacks that come back to it.
//! Keys and options are only read once they are made. Every handle is freed with its own function,
//! once; NULL is nothing to free.

pub mod encode;
pub mod keys;
pub mod options;
pub mod reader;
pub mod shards;
pub mod values;
pub mod writer;
