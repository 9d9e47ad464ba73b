//! External runtimes: those that are here, each put through the same cases, and scripts that do
//! what no runtime should.
#![cfg(test)]
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "what our own engines share is for their suites")]
#[path = "../conformance/mod.rs"]
mod conformance;

mod cases;
mod deaths;
mod piped;
mod programs;
mod real;
mod support;
mod wasi;
mod watched;
