//! SHA-256 (FIPS 180-4) of whole blobs.

use aws_lc_rs::digest::{SHA256, digest};
use propeller_model::Digest;

/// The digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut sum = Digest([0; 32]);
    sum.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}
