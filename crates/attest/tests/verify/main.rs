//! Evidence is judged: genuine quotes of TDX and SGX, genuine reports of SEV-SNP, reports of a chip
//! that is made here, and everything that none of them is.
#![cfg(test)]

mod azure;
#[cfg(feature = "azure-attester")]
#[path = "../support/azure.rs"]
#[allow(dead_code, reason = "made for those who attest, too")]
mod azure_machine;
#[cfg(feature = "azure-attester")]
mod azure_tpm;
mod azure_vm;
mod chains;
mod chip;
mod claims;
mod der;
mod ear;
mod hostile;
mod kinds;
mod policy_azure;
mod policy_dcap;
mod policy_snp;
mod quote_bytes;
mod quotes;
mod report_bytes;
mod report_forms;
mod reports;
mod samples;
#[cfg(feature = "azure-attester")]
#[path = "../support/soft_tpm.rs"]
#[allow(dead_code, reason = "made for detection, too")]
mod soft_tpm;
