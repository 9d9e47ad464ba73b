//! What is good enough: a policy, and what it finds in claims.

mod azure;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::Tee;
use crate::snp_report::SnpTcb;

use super::claims::{
    Claims, DcapTcb, Platform, SampleClaims, SgxClaims, SnpClaims, SnpKey, TcbStatus, TdxClaims,
};
use super::error::{Finding, Refused};
use super::measurement::{Approved, Measurement};
use super::verdict::{Checked, Verdict};

pub use azure::AzurePolicy;

/// Whether something is accepted that is not by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// No.
    #[default]
    Refuse,
    /// Yes.
    Allow,
}

/// Which evidence is accepted. [`Policy::default`] accepts none: each kind of hardware is named
/// together with what may run in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Evidence for tests, which proves nothing. Only ever for tests.
    pub sample: Rule,
    /// Trust domains, or none.
    pub tdx: Option<TdxPolicy>,
    /// Enclaves, or none.
    pub sgx: Option<SgxPolicy>,
    /// Guests of SEV-SNP, or none.
    pub snp: Option<SnpPolicy>,
    /// Virtual machines of Azure's on SEV-SNP, or none.
    pub azure_snp: Option<AzurePolicy<SnpPolicy>>,
    /// Virtual machines of Azure's on TDX, or none.
    pub azure_tdx: Option<AzurePolicy<TdxPolicy>>,
}

/// Which platforms of Intel are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DcapPolicy {
    /// What Intel may call their state.
    pub statuses: BTreeSet<TcbStatus>,
    /// The lowest `tcbEvaluationDataNumber` of collateral: older collateral may be valid still, and
    /// know less.
    pub evaluation_min: u32,
}

impl Default for DcapPolicy {
    /// Those that are up to date.
    fn default() -> Self {
        Self {
            statuses: BTreeSet::from([TcbStatus::UpToDate]),
            evaluation_min: 0,
        }
    }
}

/// Which trust domains are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxPolicy {
    /// MRTD. It is the firmware alone: what it starts is in the registers.
    pub measurements: Approved<Measurement<48>>,
    /// RTMR 0 to 3.
    pub registers: [Approved<Measurement<48>>; 4],
    /// The platform.
    pub platform: DcapPolicy,
    /// Those that their host can see into.
    pub debug: Rule,
}

impl TdxPolicy {
    /// Trust domains that started with one of these, on a platform that is up to date.
    #[must_use]
    pub fn new(measurements: Approved<Measurement<48>>) -> Self {
        Self {
            measurements,
            registers: [const { Approved::Any }; 4],
            platform: DcapPolicy::default(),
            debug: Rule::default(),
        }
    }
}

/// Which enclaves are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SgxPolicy {
    /// MRENCLAVE.
    pub measurements: Approved<Measurement<32>>,
    /// MRSIGNER.
    pub signers: Approved<Measurement<32>>,
    /// ISVPRODID, where a signer has more than one program.
    pub product: Option<u16>,
    /// The lowest ISVSVN.
    pub svn_min: u16,
    /// The platform.
    pub platform: DcapPolicy,
    /// Those that their host can see into.
    pub debug: Rule,
}

impl SgxPolicy {
    /// Enclaves that started as one of these, on a platform that is up to date.
    #[must_use]
    pub fn new(measurements: Approved<Measurement<32>>) -> Self {
        Self {
            measurements,
            signers: Approved::Any,
            product: None,
            svn_min: 0,
            platform: DcapPolicy::default(),
            debug: Rule::default(),
        }
    }
}

/// Which guests of SEV-SNP are accepted. A report must have been asked for at privilege level 0,
/// and no migration agent may be allowed to move the guest: there is no rule to change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpPolicy {
    /// Measurement at launch: the firmware, and what it was told to start.
    pub measurements: Approved<Measurement<48>>,
    /// The oldest TCB version, part by part. AMD does not say which have holes in a form that could
    /// be checked here: its bulletins do, and whoever reads them raises this.
    pub tcb_min: SnpTcb,
    /// Versions of the report's format. Version 2 does not say what processor it is from.
    pub versions: RangeInclusive<u32>,
    /// Those signed with a key that AMD gave to a cloud's operator.
    pub vlek: Rule,
    /// Those that their host can see into.
    pub debug: Rule,
}

impl SnpPolicy {
    /// Guests that started with one of these, on a platform with this TCB version or a newer one.
    #[must_use]
    pub fn new(measurements: Approved<Measurement<48>>, tcb_min: SnpTcb) -> Self {
        Self {
            measurements,
            tcb_min,
            versions: 3..=5,
            vlek: Rule::default(),
            debug: Rule::default(),
        }
    }
}

/// What one piece of evidence has to be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The report data, 1 to 64 bytes, without padding: a platform with room for more fills up with
    /// zeros. No evidence is about nothing.
    pub report_data: &'a [u8],
    /// Digest of the init-data that the guest must have been started with, if it must. A platform
    /// with less room keeps its beginning, and one with more fills up with zeros.
    ///
    /// Sample evidence says nothing about it, and is not asked.
    pub init_data: Option<&'a [u8]>,
}

impl Policy {
    /// Holds claims against the policy.
    ///
    /// # Errors
    /// With everything that speaks against them.
    pub fn judge(&self, claims: &Claims, expected: &Expected<'_>) -> Result<Verdict, Refused> {
        let mut findings = Vec::new();
        let checked = match &claims.platform {
            Platform::Sample(claims) => self.sample(claims, expected, &mut findings),
            Platform::Tdx(claims) => self.tdx(claims, expected, &mut findings),
            Platform::Sgx(claims) => self.sgx(claims, expected, &mut findings),
            Platform::Snp(claims) => self.snp(claims, expected, &mut findings),
            Platform::Azure(claims) => self.azure(claims, expected, &mut findings),
        };
        match Refused::for_any(findings) {
            Some(refused) => Err(refused),
            None => Ok(Verdict::new(claims.clone(), checked)),
        }
    }

    fn sample(
        &self,
        claims: &SampleClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        if self.sample == Rule::Refuse {
            findings.push(Finding::Sample);
        }
        let is_empty = claims.report_data.is_empty();
        if is_empty || claims.report_data != expected.report_data {
            findings.push(Finding::ReportData);
        }
        Checked::default()
    }

    fn tdx(
        &self,
        claims: &TdxClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        let Some(policy) = &self.tdx else {
            findings.push(Finding::Kind { tee: Tee::Tdx });
            return Checked::default();
        };
        findings.extend(about(&claims.report_data, expected));
        findings.extend(started_with(&claims.config_id.0, "MRCONFIGID", expected));
        findings.extend(policy.against(claims));
        let [_, kernel, system, _] = &policy.registers;
        let software = policy.measurements.is_pinned() && kernel.is_pinned() && system.is_pinned();
        Checked {
            software,
            init_data: expected.init_data.is_some(),
        }
    }

    fn sgx(
        &self,
        claims: &SgxClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        let Some(policy) = &self.sgx else {
            findings.push(Finding::Kind { tee: Tee::Sgx });
            return Checked::default();
        };
        findings.extend(about(&claims.report_data, expected));
        if expected.init_data.is_some() {
            findings.push(Finding::NoInitData { tee: Tee::Sgx });
        }
        findings.extend(approved(
            &policy.measurements,
            claims.measurement,
            "MRENCLAVE",
        ));
        findings.extend(approved(&policy.signers, claims.signer, "MRSIGNER"));
        if let Some(expected) = policy.product.filter(|product| *product != claims.product) {
            let found = claims.product;
            findings.push(Finding::Product { found, expected });
        }
        if claims.svn < policy.svn_min {
            findings.push(Finding::SecurityVersion {
                found: claims.svn,
                min: policy.svn_min,
            });
        }
        findings.extend(open(claims.is_debug(), policy.debug));
        findings.extend(policy.platform.against(&claims.tcb));
        Checked {
            software: policy.measurements.is_pinned() || policy.signers.is_pinned(),
            init_data: false,
        }
    }

    fn snp(
        &self,
        claims: &SnpClaims,
        expected: &Expected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Checked {
        let Some(policy) = &self.snp else {
            findings.push(Finding::Kind { tee: Tee::Snp });
            return Checked::default();
        };
        let report = &claims.report;
        findings.extend(about(&report.report_data(), expected));
        findings.extend(started_with(&report.host_data(), "HOST_DATA", expected));
        findings.extend(policy.against(claims));
        Checked {
            software: policy.measurements.is_pinned(),
            init_data: expected.init_data.is_some(),
        }
    }
}

impl TdxPolicy {
    fn against(&self, claims: &TdxClaims) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(approved(&self.measurements, claims.measurement, "MRTD"));
        let names = ["RTMR0", "RTMR1", "RTMR2", "RTMR3"];
        for ((approvals, value), name) in self.registers.iter().zip(claims.registers).zip(names) {
            findings.extend(approved(approvals, value, name));
        }
        findings.extend(open(claims.is_debug(), self.debug));
        findings.extend(self.platform.against(&claims.tcb));
        findings
    }
}

impl DcapPolicy {
    fn against(&self, tcb: &DcapTcb) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.statuses.contains(&tcb.status) {
            findings.push(Finding::TcbStatus {
                status: tcb.status,
                advisories: tcb.advisories.clone(),
            });
        }
        if tcb.evaluation < self.evaluation_min {
            findings.push(Finding::Evaluation {
                found: tcb.evaluation,
                min: self.evaluation_min,
            });
        }
        findings
    }
}

impl SnpPolicy {
    fn against(&self, claims: &SnpClaims) -> Vec<Finding> {
        let SnpClaims { report, key } = claims;
        let mut findings = Vec::new();
        let measurement = claims.measurement();
        findings.extend(approved(&self.measurements, measurement, "the measurement"));
        findings.extend(open(claims.is_debug(), self.debug));
        let (min, max) = (*self.versions.start(), *self.versions.end());
        let found = report.version();
        if !self.versions.contains(&found) {
            findings.push(Finding::ReportVersion { found, min, max });
        }
        let found = report.vmpl();
        if found != 0 {
            findings.push(Finding::Vmpl { found });
        }
        if report.policy().allows_migration() {
            findings.push(Finding::Migration);
        }
        let found = report.reported_tcb();
        if !found.is_at_least(&self.tcb_min) {
            let min = self.tcb_min;
            findings.push(Finding::Tcb { found, min });
        }
        if matches!(key, SnpKey::Vlek { .. }) && self.vlek == Rule::Refuse {
            findings.push(Finding::Vlek);
        }
        findings
    }
}

fn about(report_data: &[u8; 64], expected: &Expected<'_>) -> Option<Finding> {
    let is_expected = padded(expected.report_data) == Some(*report_data);
    (!is_expected).then_some(Finding::ReportData)
}

/// What is expected, filled up to the room that hardware has. `None` if there is nothing, or no such
/// room.
fn padded(report_data: &[u8]) -> Option<[u8; 64]> {
    let mut padded = [0; 64];
    let room = padded.get_mut(..report_data.len())?;
    room.copy_from_slice(report_data);
    (!report_data.is_empty()).then_some(padded)
}

fn started_with(room: &[u8], place: &'static str, expected: &Expected<'_>) -> Option<Finding> {
    let digest = expected.init_data?;
    let (kept, filled) = room.split_at(digest.len().min(room.len()));
    let is_filled = filled.iter().all(|byte| *byte == 0);
    let is_expected = !digest.is_empty() && digest.starts_with(kept) && is_filled;
    (!is_expected).then_some(Finding::InitData { place })
}

fn approved<const N: usize>(
    approvals: &Approved<Measurement<N>>,
    found: Measurement<N>,
    register: impl Into<Cow<'static, str>>,
) -> Option<Finding> {
    (!approvals.contains(&found)).then(|| Finding::Measurement {
        register: register.into(),
        found: found.to_string(),
    })
}

fn open(is_open: bool, rule: Rule) -> Option<Finding> {
    (is_open && rule == Rule::Refuse).then_some(Finding::Debug)
}

#[cfg(test)]
mod tests;
