//! SHA-256 (FIPS 180-4) of blobs, whole or as they come.

use aws_lc_rs::digest::{Context, SHA256, digest};
use propeller_model::Digest;

/// The digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    digest_from(digest(&SHA256, bytes).as_ref())
}

/// The digest of what was hashed piece by piece.
pub(crate) fn finished(hash: Context) -> Digest {
    digest_from(hash.finish().as_ref())
}

fn digest_from(sum: &[u8]) -> Digest {
    let mut digest = Digest([0; 32]);
    digest.0.copy_from_slice(sum);
    digest
}
