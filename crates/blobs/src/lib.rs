//! Blobs on disk, by their digest: sealed piece by piece, bounded, and gone when there is no room.
//!
//! ```text
//!  begin(digest, len) ──▶ Writing ── push, push, … ──▶ keep ──▶ on the shelf
//!                            │ readable as it grows               │ get(digest, len)
//!                            ▼                                    ▼
//!                          Blob ── piece(index) ── opened ──▶ plain bytes
//! ```
//!
//! A file has a slot for each piece, and in it an envelope for its owner, digest, length and place:
//! what is on the disk is nothing elsewhere, and to nobody without the key. Whether bytes are those
//! that their digest names is for whoever writes them to know before they are kept, and for whoever
//! reads them to know again: a disk is believed no more than a network.

mod blob;
mod shelf;

pub use blob::{Blob, BlobError, Writing};
pub use shelf::{Blobs, Options};
