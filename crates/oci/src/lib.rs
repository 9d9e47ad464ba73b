//! Images: what is in an OCI registry, how it gets there and back, and what protects it.
//!
//! ```text
//!  Reference ─▶ Registry ─▶ Document ─▶ Descriptor ─▶ bytes ─▶ layers ─▶ module
//!  (name)       (HTTP,      (manifest)  (digest,      (checked) (decrypt,
//!               credentials)            size)                   unpack)
//! ```
//!
//! A registry is trusted with nothing: every blob is held against the digest and the size that the
//! manifest says, and the manifest against the digest of the reference, if that has one.

pub mod artifact;
pub mod credentials;
pub mod crypt;
mod digest;
mod excerpt;
pub mod image;
pub mod layer;
pub mod manifest;
pub mod media;
mod pieces;
mod reference;
pub mod registry;
mod room;
pub mod sign;
pub mod signatures;
mod source;

pub use credentials::{Credential, Credentials};
pub use digest::sha256;
pub use excerpt::chain;
pub use pieces::{Consumed, Pieces};
pub use reference::{Reference, ReferenceError};
pub use registry::{Registry, RegistryError, RegistryOptions};
pub use room::Room;
pub use source::{Coming, Source, hold};
