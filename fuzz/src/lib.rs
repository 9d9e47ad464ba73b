//! Feeds the parsers of foreign bytes with what nobody would send them.
//!
//! A [`Target`] is a function that takes any bytes and panics if a promise is broken. Its corpus,
//! in `fuzz/corpus/TARGET`, is what mutation starts from; an input that once failed is added to
//! it and is replayed ever after. It runs on stable Rust; cargo-fuzz may drive the same functions.

mod desk;
mod envelope;
mod inspect;
mod mutate;
mod run;
mod wire;

pub use run::{Failure, Limit, corpus, fuzz, replay};

/// A function that takes any bytes, with the name of its corpus.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "envelope",
        run: envelope::envelope,
    },
    Target {
        name: "frame",
        run: wire::frame,
    },
    Target {
        name: "message",
        run: wire::message,
    },
    Target {
        name: "upstream",
        run: wire::upstream,
    },
    Target {
        name: "desk",
        run: desk::desk,
    },
    Target {
        name: "caller",
        run: desk::caller,
    },
    Target {
        name: "inspect",
        run: inspect::inspect,
    },
];
