//! What a machine is found to be, over trees of files as machines have them.
#![cfg(test)]

mod outcomes;
#[path = "../support/soft_tpm.rs"]
#[allow(dead_code, reason = "made for those who attest, too")]
mod soft_tpm;
mod tpm;
mod tree;
mod trees;
