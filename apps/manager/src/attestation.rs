//! The operator's policy on evidence of proplets: a TOML file.
//!
//! ```toml
//! sample = true                        # for tests: proves nothing
//! collateral = ["platform.json"]       # what Intel says, for tdx and sgx; beside this file
//! [tdx]
//! measurements = ["<96 hex digits>"]   # MRTD; left out, any
//! rtmr1 = ["<96 hex digits>"]
//! tcb = ["UpToDate"]
//! [snp]
//! measurements = ["<96 hex digits>"]
//! tcb_min = { bootloader = 4, tee = 0, snp = 23, microcode = 219 }
//! ```
//!
//! A kind that has no table is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Approved, COLLATERAL_BYTES_MAX, Collateral, DcapCollateral, DcapPolicy, Measurement, Policy,
    Rule, SgxPolicy, SnpPolicy, TcbStatus, TdxPolicy,
};
use serde::Deserialize;

use crate::judge::Judge;

/// Thousands of measurements.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Each is for one family of processors, and every quote is held against all until one fits.
const COLLATERAL_MAX: usize = 32;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sample: bool,
    #[serde(default)]
    collateral: Vec<PathBuf>,
    tdx: Option<Tdx>,
    sgx: Option<Sgx>,
    snp: Option<Snp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tdx {
    measurements: Option<BTreeSet<Measurement<48>>>,
    rtmr0: Option<BTreeSet<Measurement<48>>>,
    rtmr1: Option<BTreeSet<Measurement<48>>>,
    rtmr2: Option<BTreeSet<Measurement<48>>>,
    rtmr3: Option<BTreeSet<Measurement<48>>>,
    tcb: Option<Vec<String>>,
    #[serde(default)]
    debug: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sgx {
    measurements: Option<BTreeSet<Measurement<32>>>,
    signers: Option<BTreeSet<Measurement<32>>>,
    product: Option<u16>,
    #[serde(default)]
    svn_min: u16,
    tcb: Option<Vec<String>>,
    #[serde(default)]
    debug: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snp {
    measurements: Option<BTreeSet<Measurement<48>>>,
    tcb_min: SnpTcb,
    #[serde(default)]
    vlek: bool,
    #[serde(default)]
    debug: bool,
}

/// Reads a policy, and makes the judge that goes by it.
///
/// # Errors
/// Everything about it that cannot be, in words; of a mistake in TOML with its line.
pub fn read(path: &Path) -> Result<Judge, String> {
    let text = content(path, FILE_BYTES_MAX)?;
    let file: File = toml::from_str(&text).map_err(|error| error.to_string())?;
    if file.collateral.len() > COLLATERAL_MAX {
        return Err(format!("at most {COLLATERAL_MAX} files of collateral"));
    }
    let beside = path.parent().unwrap_or_else(|| Path::new(""));
    let collateral = file.collateral.iter().map(|name| {
        let path = beside.join(name);
        let json = content(&path, COLLATERAL_BYTES_MAX as u64)?;
        let parsed = DcapCollateral::from_json(json.as_bytes());
        let parsed = parsed.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Collateral::Dcap(Box::new(parsed)))
    });
    let collateral = collateral.collect::<Result<Vec<_>, String>>()?;
    Ok(Judge::new(Some(file.policy()?), collateral))
}

fn content(path: &Path, bytes_max: u64) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    match fs::metadata(path).map_err(failed)?.len() > bytes_max {
        true => Err(format!(
            "{} is too long for what it should be",
            path.display()
        )),
        false => fs::read_to_string(path).map_err(failed),
    }
}

impl File {
    fn policy(self) -> Result<Policy, String> {
        Ok(Policy {
            sample: rule(self.sample),
            tdx: self.tdx.map(Tdx::policy).transpose()?,
            sgx: self.sgx.map(Sgx::policy).transpose()?,
            snp: self.snp.map(Snp::policy),
        })
    }
}

impl Tdx {
    fn policy(self) -> Result<TdxPolicy, String> {
        Ok(TdxPolicy {
            registers: [self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3].map(approved),
            platform: platform(self.tcb)?,
            debug: rule(self.debug),
            ..TdxPolicy::new(approved(self.measurements))
        })
    }
}

impl Sgx {
    fn policy(self) -> Result<SgxPolicy, String> {
        Ok(SgxPolicy {
            signers: approved(self.signers),
            product: self.product,
            svn_min: self.svn_min,
            platform: platform(self.tcb)?,
            debug: rule(self.debug),
            ..SgxPolicy::new(approved(self.measurements))
        })
    }
}

impl Snp {
    fn policy(self) -> SnpPolicy {
        SnpPolicy {
            vlek: rule(self.vlek),
            debug: rule(self.debug),
            ..SnpPolicy::new(approved(self.measurements), self.tcb_min)
        }
    }
}

fn approved<T: Ord>(values: Option<BTreeSet<T>>) -> Approved<T> {
    values.map_or(Approved::Any, Approved::OneOf)
}

fn platform(tcb: Option<Vec<String>>) -> Result<DcapPolicy, String> {
    let Some(names) = tcb else {
        return Ok(DcapPolicy::default());
    };
    let statuses = names.iter().map(|name| {
        name.parse::<TcbStatus>()
            .map_err(|error| format!("tcb `{name}`: {error}"))
    });
    Ok(DcapPolicy {
        statuses: statuses.collect::<Result<_, _>>()?,
        ..DcapPolicy::default()
    })
}

fn rule(allowed: bool) -> Rule {
    match allowed {
        true => Rule::Allow,
        false => Rule::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, String> {
        toml::from_str::<File>(text)
            .map_err(|error| error.message().to_owned())?
            .policy()
    }

    #[test]
    fn an_empty_policy_accepts_nothing() {
        assert_eq!(policy(""), Ok(Policy::default()));
    }

    #[test]
    fn what_a_policy_says_is_what_is_held_against_evidence() {
        let digits = "ab".repeat(48);
        let text = format!(
            "[tdx]\nmeasurements = ['{digits}']\nrtmr2 = []\ntcb = ['UpToDate', 'SWHardeningNeeded']\n\
             [snp]\ntcb_min = {{ bootloader = 4, tee = 0, snp = 23, microcode = 219 }}\nvlek = true"
        );
        let policy = policy(&text).unwrap();
        let tdx = policy.tdx.unwrap();
        assert_eq!(
            tdx.measurements,
            Approved::from_iter([Measurement([0xab; 48])])
        );
        assert_eq!(tdx.registers[1], Approved::Any);
        assert_eq!(tdx.registers[2], Approved::OneOf(BTreeSet::new()));
        assert_eq!(tdx.platform.statuses.len(), 2);
        let snp = policy.snp.unwrap();
        assert_eq!(
            (snp.tcb_min.snp, snp.vlek, snp.debug),
            (23, Rule::Allow, Rule::Refuse)
        );
        assert!(policy.sgx.is_none() && policy.sample == Rule::Refuse);
    }

    #[test]
    fn what_it_cannot_mean_is_refused() {
        for wrong in [
            "sampel = true",
            "[tdx]\nmeasurements = ['ab']",
            "[tdx]\ntcb = ['Fine']",
            "[snp]",
            "[sgx]\nsigner = []",
        ] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }
}
