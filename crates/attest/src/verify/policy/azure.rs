//! Which virtual machines of Azure's are accepted.

use aws_lc_rs::digest::{SHA256, digest};

use crate::Tee;
use crate::verify::claims::{AzureClaims, AzureGuest};
use crate::verify::error::Finding;
use crate::verify::measurement::{Approved, Measurement};
use crate::verify::verdict::Checked;

use super::{Expected, Policy, approved};

/// The register into which a guest measures its init-data.
const INIT_DATA: usize = 8;
/// What the firmware started, and the initial file system.
const SOFTWARE: [usize; 2] = [4, 9];

/// Which virtual machines of Azure's are accepted, on one kind of hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzurePolicy<P> {
    /// The hardware, and by its measurement the paravisor.
    pub guest: P,
    /// PCR 0 to 23. They say nothing where any paravisor is accepted, which makes them.
    pub registers: [Approved<Measurement<32>>; 24],
}

impl<P> AzurePolicy<P> {
    /// Whatever runs above such a paravisor.
    #[must_use]
    pub fn new(guest: P) -> Self {
        Self {
            guest,
            registers: [const { Approved::Any }; 24],
        }
    }

    fn against(
        &self,
        claims: &AzureClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        // The TPM does not pad.
        if claims.report_data.is_empty() || claims.report_data != expected.report_data {
            findings.push(Finding::ReportData);
        }
        if let Some(digest) = expected.init_data
            && measured(digest) != Some(claims.registers[INIT_DATA])
        {
            findings.push(Finding::InitData { place: "PCR8" });
        }
        for (number, approvals) in self.registers.iter().enumerate() {
            let register = format!("PCR{number}");
            findings.extend(approved(approvals, claims.registers[number], register));
        }
        Checked {
            software: SOFTWARE.iter().all(|one| self.registers[*one].is_pinned()),
            init_data: expected.init_data.is_some(),
        }
    }
}

impl Policy {
    pub(super) fn azure(
        &self,
        claims: &AzureClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        let (checked, is_pinned) = match (&claims.guest, &self.azure_snp, &self.azure_tdx) {
            (AzureGuest::Snp(guest), Some(policy), _) => {
                let checked = policy.against(claims, expected, findings);
                findings.extend(policy.guest.against(guest));
                (checked, policy.guest.measurements.is_pinned())
            }
            (AzureGuest::Tdx(guest), _, Some(policy)) => {
                let checked = policy.against(claims, expected, findings);
                findings.extend(policy.guest.against(guest));
                (checked, policy.guest.measurements.is_pinned())
            }
            (AzureGuest::Snp(_), None, _) => {
                let tee = Tee::AzSnpVtpm;
                findings.push(Finding::Kind { tee });
                return Checked::default();
            }
            (AzureGuest::Tdx(_), _, None) => {
                let tee = Tee::AzTdxVtpm;
                findings.push(Finding::Kind { tee });
                return Checked::default();
            }
        };
        Checked {
            software: checked.software && is_pinned,
            ..checked
        }
    }
}

/// What a register is once a digest of 32 bytes was measured into it, and nothing else.
fn measured(init_data: &[u8]) -> Option<Measurement<32>> {
    let init_data: &[u8; 32] = init_data.try_into().ok()?;
    let value = digest(&SHA256, &[[0; 32], *init_data].concat());
    value.as_ref().try_into().ok().map(Measurement)
}
