//! What every implementation of the port does, whatever runs behind it.
//!
//! A suite of tests takes this folder in with `#[path]`, beside `support`. One that has a single
//! runtime takes in `single.rs` too.

pub(crate) mod host_calls;
mod inputs;
pub(crate) mod page;
pub(crate) mod wasi;
pub(crate) mod wasmtime;

/// One runtime's column in docs/book/wasi.md.
pub(crate) struct Column {
    /// What is above it.
    pub(crate) name: &'static str,
    /// Where it does not do what the documents of WASI say. Everything else passes.
    pub(crate) differences: &'static [Difference],
}

/// Why some cases end otherwise than the documents of WASI say.
pub(crate) struct Difference {
    /// What happens instead, and why it stays so.
    pub(crate) why: &'static str,
    /// Host calls, each with the name of a case.
    pub(crate) cases: &'static [(&'static str, &'static str)],
}
