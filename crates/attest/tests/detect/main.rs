//! What a machine is found to be, over trees of files as machines have them.
#![cfg(test)]

mod outcomes;
mod tpm;
mod tree;
mod trees;
