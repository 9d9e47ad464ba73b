//! The same guests as in `guests`, each in a process of its own: everything that a job can tell is
//! the same.
#![cfg(target_os = "linux")]

#[path = "../guests/bounds.rs"]
mod bounds;
#[path = "../guests/calls.rs"]
mod calls;
#[path = "../guests/canary.rs"]
mod canary;
#[path = "../guests/chunks.rs"]
mod chunks;
#[path = "../guests/commands.rs"]
mod commands;
#[path = "../guests/components.rs"]
mod components;
#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../guests/deterministic.rs"]
mod deterministic;
#[path = "../guests/flat.rs"]
mod flat;
#[path = "../guests/gathered.rs"]
mod gathered;
#[path = "../guests/limits.rs"]
mod limits;
#[path = "../guests/making.rs"]
mod making;
#[path = "../guests/parts.rs"]
mod parts;
#[path = "../guests/piped.rs"]
mod piped;
#[path = "../guests/preview2.rs"]
mod preview2;
#[path = "../guests/refusals.rs"]
mod refusals;
#[path = "../conformance/single.rs"]
mod single;
#[path = "../guests/stop.rs"]
mod stop;
#[path = "../guests/support.rs"]
mod support;
#[path = "../guests/transcript.rs"]
mod transcript;

mod both;
mod compiler;
mod cost;
mod daemons;
mod deaths;
mod priority;
mod runtime;
mod thousand;
mod unmetered;
