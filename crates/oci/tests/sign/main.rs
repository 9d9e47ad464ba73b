//! Signatures of images: vectors, a second implementation, and skopeo over a real registry.
#![cfg(test)]

mod interop;
mod live;
mod support;
mod vectors;
