//! Kinds of trusted execution environments, under the names that key brokers know them by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of trusted execution environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tee {
    /// None: evidence for tests, which anybody can make.
    Sample,
    /// Intel Trust Domain Extensions.
    Tdx,
    /// AMD Secure Encrypted Virtualization with Secure Nested Paging.
    Snp,
    /// Intel Software Guard Extensions.
    Sgx,
    /// TDX behind the virtual TPM of Azure.
    AzTdxVtpm,
    /// SEV-SNP behind the virtual TPM of Azure.
    AzSnpVtpm,
    /// Arm Confidential Compute Architecture.
    Cca,
}

impl Tee {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sample,
        Self::Tdx,
        Self::Snp,
        Self::Sgx,
        Self::AzTdxVtpm,
        Self::AzSnpVtpm,
        Self::Cca,
    ];

    /// What a request to a key broker calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Tdx => "tdx",
            Self::Snp => "snp",
            Self::Sgx => "sgx",
            Self::AzTdxVtpm => "az-tdx-vtpm",
            Self::AzSnpVtpm => "az-snp-vtpm",
            Self::Cca => "cca",
        }
    }

    /// What a person is told: nobody is to take `sample` for more than it is.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sample => "sample: not hardware",
            hardware => hardware.name(),
        }
    }

    /// Whether hardware vouches for it.
    #[must_use]
    pub fn is_hardware(self) -> bool {
        self != Self::Sample
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No kind that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of TEE: `sample`, `tdx`, `snp`, `sgx`, `az-tdx-vtpm`, `az-snp-vtpm` or `cca`")]
pub struct UnknownTee;

impl FromStr for Tee {
    type Err = UnknownTee;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |tee: &Self| tee.name() == name;
        Self::ALL.into_iter().find(named).ok_or(UnknownTee)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_text_and_in_json_are_the_same() {
        for tee in Tee::ALL {
            assert_eq!(tee.name().parse(), Ok(tee));
            assert_eq!(serde_json::to_value(tee).unwrap(), tee.name());
        }
        assert_eq!("sev".parse::<Tee>(), Err(UnknownTee));
    }
}
