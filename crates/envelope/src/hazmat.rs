//! Sealing with chosen randomness, for test vectors. Everything else uses [`crate::seal`].

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::context::Context;
use crate::error::{RandomError, SealError};
use crate::header;
use crate::key::WorkloadKey;
use crate::payload::{NONCE_PREFIX_LEN, PayloadKey, sealed_len};

/// All randomness of one envelope. Using one twice breaks confidentiality.
#[derive(Zeroize, ZeroizeOnDrop)]
#[allow(missing_debug_implementations, reason = "it holds the content key")]
pub struct Entropy {
    /// The content key.
    pub content_key: [u8; 32],
    /// The salt of the shared-key stanza.
    pub salt: [u8; 32],
    /// The payload's nonce prefix.
    pub nonce_prefix: [u8; NONCE_PREFIX_LEN],
}

impl Entropy {
    /// Draws from the system.
    ///
    /// # Errors
    /// Fails if the system has no randomness.
    pub fn fresh() -> Result<Self, RandomError> {
        let mut entropy = Self {
            content_key: [0; 32],
            salt: [0; 32],
            nonce_prefix: [0; NONCE_PREFIX_LEN],
        };
        aws_lc_rs::rand::fill(&mut entropy.content_key).map_err(|_| RandomError)?;
        aws_lc_rs::rand::fill(&mut entropy.salt).map_err(|_| RandomError)?;
        aws_lc_rs::rand::fill(&mut entropy.nonce_prefix).map_err(|_| RandomError)?;
        Ok(entropy)
    }
}

/// [`crate::seal`] with given randomness.
///
/// # Errors
/// Fails if `plain` is longer than an envelope can hold.
pub fn seal_from(
    entropy: &Entropy,
    key: &WorkloadKey,
    context: &Context<'_>,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let context = context.encode();
    let mut out = Vec::with_capacity(header::HEADER_LEN_SHARED_KEY + sealed_len(plain.len()));
    header::write(entropy, key, &context, &mut out);
    PayloadKey::new(&entropy.content_key, &context, entropy.nonce_prefix).seal(plain, &mut out)?;
    Ok(out)
}
