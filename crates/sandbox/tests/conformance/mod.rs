//! What every implementation of the port does, whatever runs behind it.
//!
//! A suite of tests takes this folder in with `#[path]`, beside `support`, and says in its own
//! `runtime` what runs the guests: the function `runtime()`, and `COLUMN` for docs/book/wasi.md.

mod host_calls;
mod inputs;
mod page;
pub(crate) mod port;
mod wasi;
pub(crate) mod wasmtime;

/// One runtime's column in docs/book/wasi.md.
pub(crate) struct Column {
    /// What is above it.
    pub(crate) name: &'static str,
    /// Where it does not do what the documents of WASI say. Everything else passes.
    pub(crate) differences: &'static [Difference],
}

/// A case that ends otherwise than the documents of WASI say.
pub(crate) struct Difference {
    pub(crate) call: &'static str,
    pub(crate) case: &'static str,
    /// What happens instead, and why it stays so.
    pub(crate) why: &'static str,
}
