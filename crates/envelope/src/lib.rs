//! Seals bytes to the holders of a key and opens them again.
//!
//! This crate is all of Propeller's payload cryptography and its key hierarchy. It has no I/O, no
//! `async`, no `unsafe` and no choice of algorithms. The bytes are specified in
//! `docs/formats/envelope.md`.
//!
//! ```
//! use propeller_envelope::{Context, Keyring, WorkloadKey, open, seal};
//!
//! let keys = Keyring::new(WorkloadKey::generate()?);
//! let context = Context::Record { owner: "docs", name: "example" };
//! let sealed = seal(&keys, &context, b"a module")?;
//! assert_eq!(open(&keys, &context, &sealed)?.as_slice(), b"a module");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod context;
mod error;
pub mod hazmat;
mod header;
mod kdf;
mod key;
mod payload;

pub use context::Context;
pub use error::{OpenError, RandomError, SealError, WorkloadKeyError};
pub use header::{HEADER_LEN_SHARED_KEY, looks_like_envelope, sealed_with};
pub use key::{KeyId, Keyring, WorkloadKey};
pub use payload::{CHUNK_LEN, TAG_LEN, sealed_len};

use zeroize::{Zeroize as _, Zeroizing};

/// Seals `plain` to the sealing key of `keys`, bound to `context`.
///
/// # Errors
/// Fails if the system has no randomness or if `plain` is longer than 2³² chunks.
pub fn seal(keys: &Keyring, context: &Context<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    hazmat::seal_from(&hazmat::Entropy::fresh()?, keys.sealing(), context, plain)
}

/// Opens an envelope with any key of `keys`, if it was sealed for `context`.
///
/// Nothing is returned before every byte has been authenticated.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    keys: &Keyring,
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut plain = Zeroizing::new(Vec::new());
    open_in(keys, context, sealed, &mut plain)?;
    Ok(plain)
}

/// As [`open`], in memory that may have been used before: whoever opens many envelopes has it asked
/// for, and zeroed, once. What was in `plain` is gone, and after an error nothing is in it.
///
/// # Errors
/// See [`OpenError`].
pub fn open_in(
    keys: &Keyring,
    context: &Context<'_>,
    sealed: &[u8],
    plain: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let opened = header::Header::read(sealed).and_then(|(header, payload)| {
        let key = header.authenticate(keys, context)?;
        key.open_in(payload, plain)
    });
    // Also chunks that are authentic are no plaintext of an envelope that is not.
    opened.inspect_err(|_| plain.zeroize())
}
