//! What authentic evidence says.

mod json;

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::UnixTime;
use serde_json::Value;

use crate::Tee;
use crate::snp_report::SnpReport;

use super::measurement::Measurement;

/// What evidence says, all of it signed by hardware whose vendor vouches for it, unless its kind is
/// [`Sample`](Platform::Sample). [`authenticate`](super::authenticate) is the only way to get one.
///
/// Claims are true, which does not make them good: what is wanted is for a
/// [`Policy`](super::Policy) to say.
#[derive(Debug, Clone)]
pub struct Claims {
    pub(super) platform: Platform,
    pub(super) valid_until: Option<UnixTime>,
}

/// Claims by kind of evidence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Platform {
    /// Nobody signed these.
    Sample(SampleClaims),
    /// Of a trust domain.
    Tdx(Box<TdxClaims>),
    /// Of an enclave.
    Sgx(Box<SgxClaims>),
    /// Of a guest.
    Snp(SnpClaims),
    /// Of a virtual machine of Azure's.
    Azure(Box<AzureClaims>),
}

/// What evidence for tests says. Anybody can write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleClaims {
    /// A number, as text.
    pub svn: String,
    /// What it is about, without padding.
    pub report_data: Vec<u8>,
}

/// What a quote of TDX says.
#[derive(Debug, Clone)]
pub struct TdxClaims {
    /// MRTD: the firmware that the trust domain started with.
    pub measurement: Measurement<48>,
    /// RTMR 0 to 3: what was measured since. By convention 0 is the firmware's configuration, 1 the
    /// kernel, 2 its command line and initial file system, and 3 whatever the system adds.
    pub registers: [Measurement<48>; 4],
    /// MRCONFIGID: what the host bound it to at the start, such as a digest of its init-data.
    pub config_id: Measurement<48>,
    /// MROWNER: who owns it, as its host said.
    pub owner: Measurement<48>,
    /// MROWNERCONFIG: what the owner set, as its host said.
    pub owner_config: Measurement<48>,
    /// MRSEAM: the TDX module.
    pub module: Measurement<48>,
    /// TDATTRIBUTES.
    pub attributes: u64,
    /// XFAM: which extensions of the processor it may use.
    pub xfam: u64,
    /// What it bound the quote to.
    pub report_data: [u8; 64],
    /// What Intel says about the platform.
    pub tcb: DcapTcb,
}

impl TdxClaims {
    /// Whether any bit of the group "TD under debug" is set: then the host can see inside.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.attributes & 0xff != 0
    }
}

/// What a quote of SGX says.
#[derive(Debug, Clone)]
pub struct SgxClaims {
    /// MRENCLAVE: what the enclave started with.
    pub measurement: Measurement<32>,
    /// MRSIGNER: the key of the enclave's author.
    pub signer: Measurement<32>,
    /// ISVPRODID: which of the author's enclaves.
    pub product: u16,
    /// ISVSVN: the author's security version of it.
    pub svn: u16,
    /// ATTRIBUTES, flags.
    pub attributes: u64,
    /// What it bound the quote to.
    pub report_data: [u8; 64],
    /// What Intel says about the platform.
    pub tcb: DcapTcb,
}

impl SgxClaims {
    /// Whether its host can read its memory.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.attributes & 0b10 != 0
    }
}

/// What Intel says about the state of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DcapTcb {
    /// The worse of the platform's and the quoting enclave's.
    pub status: TcbStatus,
    /// Identifiers of the advisories behind it, such as `INTEL-SA-00615`.
    pub advisories: Vec<String>,
    /// `tcbEvaluationDataNumber`: grows when Intel raises the bar.
    pub evaluation: u32,
    /// Family of processors.
    pub fmspc: [u8; 6],
}

/// What Intel calls the state of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcbStatus {
    /// Nothing is known against it.
    UpToDate,
    /// Software has to be built with a mitigation.
    SwHardeningNeeded,
    /// Its owner has to change a setting.
    ConfigurationNeeded,
    /// Both of these.
    ConfigurationAndSwHardeningNeeded,
    /// Firmware or microcode with known holes.
    OutOfDate,
    /// The same, and a setting to change.
    OutOfDateConfigurationNeeded,
    /// Up to date since the trust domain started, so that it should start again.
    TdRelaunchAdvised,
    /// The same, and a setting to change.
    TdRelaunchAdvisedConfigurationNeeded,
    /// Its keys count no more. No quote of such a platform is authentic.
    Revoked,
}

impl TcbStatus {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::TdRelaunchAdvised,
        Self::TdRelaunchAdvisedConfigurationNeeded,
        Self::Revoked,
    ];

    /// As Intel spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::Revoked => "Revoked",
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a status that Intel gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a TCB status of Intel, such as `UpToDate`, `SWHardeningNeeded` or `OutOfDate`")]
pub struct NoTcbStatus;

impl FromStr for TcbStatus {
    type Err = NoTcbStatus;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |status: &Self| status.name() == name;
        Self::ALL.into_iter().find(named).ok_or(NoTcbStatus)
    }
}

/// What a report of SEV-SNP says, and who signed it.
#[derive(Debug, Clone)]
pub struct SnpClaims {
    /// The report.
    pub report: SnpReport,
    /// The key that signed it.
    pub key: SnpKey,
}

impl SnpClaims {
    /// The firmware, and what it was told to start.
    #[must_use]
    pub fn measurement(&self) -> Measurement<48> {
        Measurement(self.report.measurement())
    }

    /// Whether its host can read its memory.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.report.policy().allows_debugging()
    }
}

/// Kinds of keys that sign reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnpKey {
    /// Derived in the chip, from a secret of its own.
    Vcek,
    /// Given by AMD to the operator of a cloud, who loads it into his chips.
    Vlek {
        /// Who that is, as AMD's certificate says.
        operator: String,
    },
}

/// What the quote of a virtual TPM of Azure's says, and the hardware about whoever made that TPM.
///
/// The registers are worth what the paravisor is: who has not approved of its measurement knows
/// nothing about them.
#[derive(Debug, Clone)]
pub struct AzureClaims {
    /// The hardware, and the paravisor that it started.
    pub guest: AzureGuest,
    /// PCR 0 to 23: what was measured since the guest's own firmware started.
    pub registers: [Measurement<32>; 24],
    /// What the paravisor says about the machine, such as `secure-boot`.
    pub configuration: Value,
    /// What the quote is about, without padding.
    pub report_data: Vec<u8>,
}

/// Kinds of hardware below Azure's paravisor.
#[derive(Debug, Clone)]
pub enum AzureGuest {
    /// SEV-SNP.
    Snp(SnpClaims),
    /// TDX.
    Tdx(Box<TdxClaims>),
}

impl Claims {
    /// What is claimed, by kind.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Until when what vouches for them is valid: certificates, lists of revoked ones, TCB levels.
    /// `None` if nothing does.
    #[must_use]
    pub fn valid_until(&self) -> Option<UnixTime> {
        self.valid_until
    }

    /// Kind of the evidence.
    #[must_use]
    pub fn tee(&self) -> Tee {
        match &self.platform {
            Platform::Sample(_) => Tee::Sample,
            Platform::Tdx(_) => Tee::Tdx,
            Platform::Sgx(_) => Tee::Sgx,
            Platform::Snp(_) => Tee::Snp,
            Platform::Azure(claims) => match claims.guest {
                AzureGuest::Snp(_) => Tee::AzSnpVtpm,
                AzureGuest::Tdx(_) => Tee::AzTdxVtpm,
            },
        }
    }

    /// What measures the start of it, in hexadecimal: MRTD, MRENCLAVE, or SEV-SNP's, which on Azure
    /// is the paravisor's. `None` for `sample`.
    #[must_use]
    pub fn measurement(&self) -> Option<String> {
        match &self.platform {
            Platform::Sample(_) => None,
            Platform::Tdx(claims) => Some(claims.measurement.to_string()),
            Platform::Sgx(claims) => Some(claims.measurement.to_string()),
            Platform::Snp(claims) => Some(claims.measurement().to_string()),
            Platform::Azure(claims) => Some(match &claims.guest {
                AzureGuest::Snp(claims) => claims.measurement().to_string(),
                AzureGuest::Tdx(claims) => claims.measurement.to_string(),
            }),
        }
    }

    /// What the evidence is about: 64 bytes of hardware, or as many as there are in `sample` and in a
    /// quote of a TPM.
    #[must_use]
    pub fn report_data(&self) -> Vec<u8> {
        match &self.platform {
            Platform::Sample(claims) => claims.report_data.clone(),
            Platform::Tdx(claims) => claims.report_data.to_vec(),
            Platform::Sgx(claims) => claims.report_data.to_vec(),
            Platform::Snp(claims) => claims.report.report_data().to_vec(),
            Platform::Azure(claims) => claims.report_data.clone(),
        }
    }

    /// Whether the host can see inside, or where there is no inside.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.platform {
            Platform::Sample(_) => true,
            Platform::Tdx(claims) => claims.is_debug(),
            Platform::Sgx(claims) => claims.is_debug(),
            Platform::Snp(claims) => claims.is_debug(),
            Platform::Azure(claims) => match &claims.guest {
                AzureGuest::Snp(claims) => claims.is_debug(),
                AzureGuest::Tdx(claims) => claims.is_debug(),
            },
        }
    }

    /// All of it for people and for policies of others; bytes are hexadecimal.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.platform {
            Platform::Sample(claims) => json::sample(claims),
            Platform::Tdx(claims) => json::tdx(claims),
            Platform::Sgx(claims) => json::sgx(claims),
            Platform::Snp(claims) => json::snp(claims),
            Platform::Azure(claims) => json::azure(claims),
        }
    }
}
