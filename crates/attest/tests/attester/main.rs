//! Evidence, made with a kernel that follows a script, and taken from an agent that does.
#![cfg(test)]

mod agent;
mod built;
#[cfg(any(
    feature = "tdx-attester",
    feature = "snp-attester",
    feature = "sgx-attester"
))]
#[cfg_attr(
    not(feature = "all-attesters"),
    allow(dead_code, reason = "each kind of TEE uses a part of it")
)]
mod kernel;
#[cfg(feature = "sgx-attester")]
mod sgx;
#[cfg(feature = "snp-attester")]
mod snp;
#[cfg(feature = "tdx-attester")]
mod tdx;
