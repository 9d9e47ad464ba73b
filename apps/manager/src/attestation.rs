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
//! [az-snp-vtpm]                        # or [az-tdx-vtpm]; what [snp] and [tdx] have, and
//! measurements = ["<96 hex digits>"]   # of Azure's paravisor, whose TPM has the registers
//! pcrs = { 4 = ["<64 hex digits>"] }   # 0 to 23
//! tcb_min = { bootloader = 4, tee = 0, snp = 23, microcode = 219 }
//! ```
//!
//! A kind that has no table is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Approved, AzurePolicy, COLLATERAL_BYTES_MAX, Collateral, DcapCollateral, DcapPolicy,
    Measurement, Policy, Rule, SgxPolicy, SnpPolicy, TcbStatus, TdxPolicy,
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
    #[serde(rename = "az-snp-vtpm")]
    azure_snp: Option<Snp>,
    #[serde(rename = "az-tdx-vtpm")]
    azure_tdx: Option<Tdx>,
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
    /// On Azure.
    #[serde(default)]
    pcrs: Registers,
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
    /// On Azure.
    #[serde(default)]
    pcrs: Registers,
    #[serde(default)]
    vlek: bool,
    #[serde(default)]
    debug: bool,
}

/// Values of a TPM's registers by their numbers.
type Registers = BTreeMap<String, BTreeSet<Measurement<32>>>;

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
            tdx: self.tdx.map(Tdx::on_hardware).transpose()?,
            sgx: self.sgx.map(Sgx::policy).transpose()?,
            snp: self.snp.map(Snp::on_hardware).transpose()?,
            azure_snp: self.azure_snp.map(Snp::on_azure).transpose()?,
            azure_tdx: self.azure_tdx.map(Tdx::on_azure).transpose()?,
        })
    }
}

impl Tdx {
    fn on_hardware(self) -> Result<TdxPolicy, String> {
        no_registers(&self.pcrs)?;
        self.policy()
    }

    fn on_azure(mut self) -> Result<AzurePolicy<TdxPolicy>, String> {
        let pcrs = std::mem::take(&mut self.pcrs);
        let registers = registers(pcrs, self.measurements.is_some())?;
        let guest = self.policy()?;
        Ok(AzurePolicy { guest, registers })
    }

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
    fn on_hardware(self) -> Result<SnpPolicy, String> {
        no_registers(&self.pcrs)?;
        Ok(self.policy())
    }

    fn on_azure(mut self) -> Result<AzurePolicy<SnpPolicy>, String> {
        let pcrs = std::mem::take(&mut self.pcrs);
        let registers = registers(pcrs, self.measurements.is_some())?;
        let guest = self.policy();
        Ok(AzurePolicy { guest, registers })
    }

    fn policy(self) -> SnpPolicy {
        SnpPolicy {
            vlek: rule(self.vlek),
            debug: rule(self.debug),
            ..SnpPolicy::new(approved(self.measurements), self.tcb_min)
        }
    }
}

/// Only Azure's evidence has a TPM's.
fn no_registers(pcrs: &Registers) -> Result<(), String> {
    match pcrs.is_empty() {
        true => Ok(()),
        false => Err("`pcrs` go into [az-snp-vtpm] and [az-tdx-vtpm] only".to_owned()),
    }
}

/// Registers of a TPM by their numbers.
fn registers(pcrs: Registers, is_pinned: bool) -> Result<[Approved<Measurement<32>>; 24], String> {
    if !pcrs.is_empty() && !is_pinned {
        return Err(
            "`pcrs` mean nothing without `measurements`: any paravisor makes them up".to_owned(),
        );
    }
    let mut registers = [const { Approved::Any }; 24];
    for (name, values) in pcrs {
        let number = name.parse::<usize>().ok();
        let register = number.and_then(|number| registers.get_mut(number));
        let register = register.ok_or_else(|| format!("pcrs `{name}`: there are 0 to 23"))?;
        *register = Approved::OneOf(values);
    }
    Ok(registers)
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
    fn registers_of_azures_tpm_have_numbers() {
        let digits = "cd".repeat(32);
        let text = format!("[az-tdx-vtpm]\nmeasurements = []\npcrs = {{ 4 = ['{digits}'] }}");
        let policy = policy(&text).unwrap();
        let registers = policy.azure_tdx.unwrap().registers;
        assert_eq!(registers[4], Approved::from_iter([Measurement([0xcd; 32])]));
        assert_eq!(registers[5], Approved::Any);
        assert!(policy.tdx.is_none() && policy.azure_snp.is_none());
    }

    #[test]
    fn what_it_cannot_mean_is_refused() {
        for wrong in [
            "sampel = true",
            "[tdx]\nmeasurements = ['ab']",
            "[tdx]\ntcb = ['Fine']",
            "[snp]",
            "[sgx]\nsigner = []",
            "[tdx]\npcrs = { 4 = [] }",
            "[az-tdx-vtpm]\npcrs = { 4 = [] }",
            "[az-tdx-vtpm]\nmeasurements = []\npcrs = { 24 = [] }",
            "[az-snp-vtpm]\nmeasurements = []",
        ] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }
}
