//! Guests, friendly and hostile, in one binary: modules are WebAssembly text in the tests.

#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../conformance/single.rs"]
mod single;

mod blocked;
mod bounds;
mod cache;
mod calls;
mod canary;
mod chunks;
mod commands;
mod components;
mod deterministic;
mod flat;
mod gathered;
mod granted;
mod limits;
mod making;
mod own;
mod parts;
mod piped;
mod preview2;
mod refusals;
mod runtime;
mod script;
mod services;
mod sockets;
mod stop;
mod support;
mod transcript;
mod waits;
