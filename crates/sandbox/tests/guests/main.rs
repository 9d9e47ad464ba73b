//! Guests, friendly and hostile, in one binary: modules are WebAssembly text in the tests.

mod cache;
mod calls;
mod commands;
mod components;
mod conformance;
mod deterministic;
mod limits;
mod refusals;
mod runtime;
mod support;
