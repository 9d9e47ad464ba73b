//! Feeds the parsers of foreign bytes with what nobody would send them.
//!
//! A [`Target`] is a function that takes any bytes and panics if a promise is broken. Its corpus,
//! in `fuzz/corpus/TARGET`, is what mutation starts from; an input that once failed is added to
//! it and is replayed ever after. It runs on stable Rust; cargo-fuzz may drive the same functions.

mod attested;
mod ces;
mod ces_abi;
mod chunks;
mod desk;
mod engines;
mod envelope;
mod generated;
mod images;
mod inspect;
mod keys;
mod load;
mod mutate;
mod objects;
mod run;
mod wire;

pub use generated::compared;
pub use run::{Failure, Limit, corpus, fuzz, replay};

/// A function that takes any bytes, with the name of its corpus.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
    /// How many mutations an ordinary test run tries: a second's worth, or a few.
    pub sample: u64,
}

/// What parses bytes and does no more is fast.
const PARSES: u64 = 2000;

/// All targets.
pub const TARGETS: [Target; 28] = [
    Target {
        name: "envelope",
        run: envelope::envelope,
        sample: PARSES,
    },
    Target {
        name: "chunks",
        run: chunks::chunks,
        sample: PARSES,
    },
    Target {
        name: "frame",
        run: wire::frame,
        sample: PARSES,
    },
    Target {
        name: "message",
        run: wire::message,
        sample: PARSES,
    },
    Target {
        name: "upstream",
        run: wire::upstream,
        sample: PARSES,
    },
    Target {
        name: "desk",
        run: desk::desk,
        sample: PARSES,
    },
    Target {
        name: "caller",
        run: desk::caller,
        sample: PARSES,
    },
    Target {
        name: "inspect",
        run: inspect::inspect,
        sample: PARSES,
    },
    Target {
        name: "image",
        run: images::image,
        sample: PARSES,
    },
    Target {
        name: "layer",
        run: images::layer,
        sample: PARSES,
    },
    Target {
        name: "decrypt",
        run: images::decrypt,
        sample: PARSES,
    },
    Target {
        name: "signature",
        run: images::signature,
        sample: PARSES,
    },
    Target {
        name: "wrapped-keys",
        run: images::wrapped_keys,
        sample: PARSES,
    },
    Target {
        name: "jwe",
        run: keys::jwe,
        sample: PARSES,
    },
    Target {
        name: "jwk",
        run: keys::jwk,
        sample: PARSES,
    },
    Target {
        name: "key-material",
        run: keys::key_material,
        sample: PARSES,
    },
    Target {
        name: "kbs-uri",
        run: attested::kbs_uri,
        sample: PARSES,
    },
    Target {
        name: "kbs-policy",
        run: attested::kbs_policy,
        sample: PARSES,
    },
    Target {
        name: "snp-report",
        run: attested::snp_report,
        sample: PARSES,
    },
    Target {
        name: "evidence",
        run: attested::evidence,
        sample: PARSES,
    },
    Target {
        name: "ces-header",
        run: ces::header,
        sample: PARSES,
    },
    Target {
        name: "ces-shard",
        run: ces::shard,
        sample: PARSES,
    },
    Target {
        name: "ces-segment",
        run: ces::segment,
        sample: PARSES,
    },
    Target {
        name: "ces-abi",
        run: ces_abi::abi,
        sample: 200,
    },
    Target {
        name: "stored-object",
        run: objects::upload,
        sample: PARSES,
    },
    Target {
        name: "range",
        run: objects::range,
        sample: PARSES,
    },
    Target {
        name: "load",
        run: load::load,
        sample: 600,
    },
    Target {
        name: "generated",
        run: generated::generated,
        sample: 250,
    },
];
