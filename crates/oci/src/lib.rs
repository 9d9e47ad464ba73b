//! Images: what is in an OCI registry, how it gets there and back, and what protects it.

pub mod crypt;
pub mod media;
pub mod sign;
