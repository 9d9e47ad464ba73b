//! JSON Web Encryption (RFC 7516) and JSON Web Keys (RFC 7517), as far as images and key brokers
//! need them.
//!
//! ```text
//!  plaintext ──AES-GCM──> ciphertext
//!      │ content key
//!      └──RSA-OAEP, or ECDH-ES with AES Key Wrap──> encrypted key, one for every recipient
//! ```
//!
//! ocicrypt wraps the key of a layer this way, and a key broker (RCAR) hands out its resources this
//! way, to a key that was attested. Whoever has a recipient's public key can make a message that
//! opens: a JWE hides, and proves nothing about where it came from.

mod curve;
mod error;
mod gcm;
mod jwe;
mod jwk;
mod kdf;
mod keys;
mod wrap;

pub use curve::Curve;
pub use error::{KeyError, SealError};
pub use jwe::{Message, seal};
pub use jwk::Jwk;
pub use keys::{PrivateKey, PublicKey, RsaBits};
