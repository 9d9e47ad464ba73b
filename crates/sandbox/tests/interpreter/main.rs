//! The same guests as in `guests`, interpreted: everything that a job can tell is the same, but for
//! fuel and backtraces.
#![cfg(test)]

#[path = "../guests/calls.rs"]
mod calls;
#[path = "../guests/chunks.rs"]
mod chunks;
#[path = "../guests/commands.rs"]
mod commands;
#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../guests/limits.rs"]
mod limits;
#[path = "../guests/piped.rs"]
mod piped;
#[path = "../guests/refusals.rs"]
mod refusals;
#[path = "../conformance/single.rs"]
mod single;
#[allow(dead_code, reason = "what looks at processes is for the other suites")]
#[path = "../guests/support.rs"]
mod support;
#[path = "../guests/waits.rs"]
mod waits;

mod own;
mod runtime;
