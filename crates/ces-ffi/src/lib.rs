//! The C ABI of CES: objects of `k + m` shards for programs in C and whatever calls C.
//!
//! `include/propeller_ces.h` is made of this crate, and `docs/book/ces-bindings.md` is for users.
//! There are two sets of functions.
//! The seven of [`v1`] have the signatures, layouts and ownership of an older implementation, so
//! that its callers link without a change; they hold whole objects in memory.
//! Those of [`v2`] stream, and give a [`Status`] each.
//!
//! What comes over the border is judged in `border`, and nowhere else; no panic leaves it.

mod border;
pub mod callbacks;
mod failure;
mod pipeline;
mod reader;
pub mod v1;
pub mod v2;
mod writer;

pub use failure::Status;

// A panic is caught before it reaches the caller, which it must not unwind.
const _: () = assert!(
    cfg!(panic = "unwind"),
    "the C ABI turns panics into errors: build it with panic=unwind"
);
