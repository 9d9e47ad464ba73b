//! External runtimes: those that are here, each put through the same cases, and scripts that do
//! what no runtime should.
#![cfg(test)]
#![cfg(target_os = "linux")]

mod cases;
mod deaths;
mod programs;
mod real;
mod support;
