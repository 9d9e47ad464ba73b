//! Layers are encrypted and decrypted as ocicrypt does it: held against vectors, against a second
//! implementation in Python, and against skopeo.
#![cfg(test)]

mod independent;
mod key_files;
mod keys;
mod round_trip;
mod skopeo;
mod vectors;
