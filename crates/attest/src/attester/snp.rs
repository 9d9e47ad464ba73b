//! Evidence of AMD SEV-SNP: the firmware's report, with the certificates of the key that signed it
//! where the host has them.

use serde_json::{Value, json};

use super::configfs::{self, Request};
use super::{AttestError, certificates, padded, sev_guest};
use crate::Tee;
use crate::detect::Machine;
use crate::snp_report::SnpReport;

const REQUEST: Request = Request {
    tee: Tee::Snp,
    driver: "sev_guest",
    module: "sev-guest",
    // Brokers take reports of no other level.
    privlevel: Some("0"),
    auxblob: true,
    report_data,
};

pub(super) fn evidence(machine: &dyn Machine, data: &[u8]) -> Result<Value, AttestError> {
    let data = padded(data)?;
    let (report, table) = match configfs::report(machine, &REQUEST, &data) {
        // A kernel before 6.7.
        Err(none @ AttestError::NoReports { .. }) => {
            sev_guest::report(machine, &data)?.ok_or(none)?
        }
        made => made?,
    };
    let report = SnpReport::from_bytes(&report);
    let report = report.map_err(|error| AttestError::Malformed {
        tee: Tee::Snp,
        what: "its report cannot be read",
        source: Some(error.into()),
    })?;
    Ok(json!({
        "attestation_report": report.to_json(),
        "cert_chain": certificates::chain(&table)?,
    }))
}

/// The report data of a report of any version.
fn report_data(report: &[u8]) -> Option<&[u8]> {
    report.get(0x50..)?.get(..64)
}
