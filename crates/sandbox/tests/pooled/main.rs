//! The same guests as in `guests`, in a pool: everything that a job can tell is the same.
#![cfg(target_os = "linux")]

#[path = "../guests/bounds.rs"]
mod bounds;
#[path = "../guests/cache.rs"]
mod cache;
#[path = "../guests/calls.rs"]
mod calls;
#[path = "../guests/canary.rs"]
mod canary;
#[path = "../guests/chunks.rs"]
mod chunks;
#[path = "../guests/commands.rs"]
mod commands;
#[path = "../process/compiler.rs"]
mod compiler;
#[path = "../guests/components.rs"]
mod components;
#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../guests/deterministic.rs"]
mod deterministic;
#[path = "../guests/flat.rs"]
mod flat;
#[path = "../guests/limits.rs"]
mod limits;
#[path = "../guests/making.rs"]
mod making;
#[path = "../guests/parts.rs"]
mod parts;
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
mod places;
mod runtime;
