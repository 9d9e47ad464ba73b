//! Evidence, made with a kernel that follows a script, and taken from an agent that does.
#![cfg(test)]

mod agent;
#[cfg(feature = "azure-attester")]
#[path = "../support/azure.rs"]
#[allow(dead_code, reason = "made for those who judge, too")]
mod azure;
#[cfg(feature = "azure-attester")]
#[path = "azure.rs"]
mod azure_evidence;
mod built;
#[cfg(any(
    feature = "tdx-attester",
    feature = "snp-attester",
    feature = "sgx-attester",
    feature = "azure-attester"
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
#[cfg(feature = "azure-attester")]
#[path = "../support/soft_tpm.rs"]
#[allow(dead_code, reason = "made for detection, too")]
mod soft_tpm;
#[cfg(feature = "tdx-attester")]
mod tdx;
