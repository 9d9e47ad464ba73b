//! How much memory long streams take, measured at the process: zstd and the kernels of the ciphers
//! do not ask Rust's allocator.
//!
//! A binary of its own, in which one test runs at a time, because the peak is the process's: the
//! other one is ignored.
#![cfg(test)]

mod hundred;
mod kept;
mod made;
mod peak;
mod pipes;
mod streams;
