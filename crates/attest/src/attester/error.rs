//! Why there is no evidence, and what the operator can do about it.

use std::fmt;
use std::io;

use super::REPORT_DATA_BYTES_MAX;
use crate::Tee;
use crate::detect::TPM;
use crate::detect::entry::REPORTS;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// Left out of this build.
    #[error(
        "this build cannot make evidence of {tee}: build it with the cargo feature `{feature}`"
    )]
    NotBuilt {
        /// Of what.
        tee: Tee,
        /// What has it.
        feature: &'static str,
    },
    /// In no build.
    #[error("this build cannot make evidence of {tee}, because {because}")]
    Unsupported {
        /// Of what.
        tee: Tee,
        /// Why, and what does.
        because: &'static str,
    },
    /// Evidence that proves nothing is not made in place of another.
    #[error(
        "evidence of kind `sample` proves nothing and is for tests: it has to be asked for by name"
    )]
    SampleUnasked,
    /// Hardware takes less.
    #[error(
        "{bytes} bytes of report data, and hardware takes {REPORT_DATA_BYTES_MAX}: hash them first"
    )]
    ReportDataTooLong {
        /// How many there were.
        bytes: usize,
    },
    /// The kernel makes no reports, or does not show it.
    #[error(
        "there is no {REPORTS}, through which {tee} attests: it takes Linux 6.7 with \
         CONFIG_TSM_REPORTS, the driver `{driver}`, and `mount -t configfs none \
         /sys/kernel/config`{}",
        older(*.tee)
    )]
    NoReports {
        /// Who attests.
        tee: Tee,
        /// What makes its reports.
        driver: &'static str,
    },
    /// The kernel could make reports, and nobody does.
    #[error(
        "no driver makes reports: load it with `modprobe {module}`, which takes a guest of {tee}"
    )]
    NoDriver {
        /// Who would attest.
        tee: Tee,
        /// The module.
        module: &'static str,
    },
    /// Reports are made, of something else.
    #[error("the kernel's reports come from `{found}` and not from `{driver}`: this is no {tee}")]
    OtherDriver {
        /// What was looked for.
        tee: Tee,
        /// What makes its reports.
        driver: &'static str,
        /// What makes them here.
        found: String,
    },
    /// Not ours to touch.
    #[error(
        "{path} may not be touched: run as root, or give this user the folder, and a container needs \
         it with write access"
    )]
    Denied {
        /// What.
        path: String,
    },
    /// The guest runs below another.
    #[error(
        "the firmware makes no report for privilege level 0, and brokers take no other: a paravisor \
         or an SVSM above this guest holds that level, and has to attest for it"
    )]
    Level(#[source] io::Error),
    /// Somebody else was always in the way.
    #[error("{contention}, {tries} times in a row: {}", .contention.advice())]
    Contended {
        /// How, the last time.
        contention: Contention,
        /// How often.
        tries: u32,
    },
    /// A report of no bytes.
    #[error("the hardware's answer is empty: {}", advice(*.tee))]
    Empty {
        /// Whose.
        tee: Tee,
    },
    /// No report.
    #[error("the hardware makes no report: {}", advice(*.tee))]
    Refused {
        /// Whose.
        tee: Tee,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// Another step of the kernel's failed.
    #[error("cannot {step} {path}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// Bytes that are no evidence, which no broker would take either.
    #[error("what should be evidence of {tee} is not: {what}")]
    Malformed {
        /// Of what.
        tee: Tee,
        /// What about it.
        what: &'static str,
        /// Details, where a parser has some.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No TPM, or not shown.
    #[error(
        "there is no {TPM}, through which {tee} attests: a container needs that device, and a guest \
         the kernel's drivers for TPM 2.0"
    )]
    NoTpm {
        /// Who attests.
        tee: Tee,
    },
    /// A TPM that does not do its part.
    #[error(
        "the virtual TPM makes no quote: it needs the paravisor's report at index 0x01400001 and its \
         key at 0x81000003, both without a password, as Azure sets them up"
    )]
    Tpm {
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A host that does not do its part.
    #[error(
        "Azure's metadata service gives no {what}: this machine has to reach 169.254.169.254, port \
         80, which containers and firewalls may keep from it"
    )]
    Metadata {
        /// What it was asked for.
        what: &'static str,
        /// Why it did not answer.
        #[source]
        source: io::Error,
    },
    /// Not in an enclave of Gramine's.
    #[error(
        "there is no /dev/attestation, through which sgx attests: run in Gramine, with \
         sgx.remote_attestation = \"dcap\" in the manifest; Occlum's quotes are not made here"
    )]
    NoGramine,
    /// Gramine attests in another way, or not at all.
    #[error("Gramine attests by `{found}`: set sgx.remote_attestation = \"dcap\" in its manifest")]
    OtherGramine {
        /// How.
        found: String,
    },
}

/// What was in the way of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contention {
    /// The kernel makes another one.
    Busy,
    /// Somebody else wrote into the same request.
    Raced,
    /// Somebody removed the request.
    Vanished,
    /// The report is about somebody else's data.
    Foreign,
    /// A register of the TPM changed between the quote and reading it.
    Measured,
}

impl Contention {
    fn advice(self) -> &'static str {
        match self {
            Self::Busy => "wait for the other program that attests, and try again",
            Self::Measured => "wait until what measures into it has started, and try again",
            Self::Raced | Self::Vanished | Self::Foreign => {
                "another program with root's rights touches what is not its own; find it, because \
                 evidence that it had a hand in cannot be used"
            }
        }
    }
}

impl fmt::Display for Contention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "the kernel was busy with another report",
            Self::Raced => "another program wrote into our request for a report",
            Self::Vanished => "another program removed our request for a report",
            Self::Foreign => "the report was about another program's data",
            Self::Measured => "something was measured into the TPM while it was quoted",
        })
    }
}

/// What makes hardware answer.
fn advice(tee: Tee) -> &'static str {
    match tee {
        Tee::Tdx | Tee::AzTdxVtpm => {
            "the quote generation service (QGS) of the host has to run, and the guest has to reach \
             it; the host's operator sees why in its log"
        }
        Tee::Snp | Tee::AzSnpVtpm => {
            "the host's firmware refuses or is busy; `dmesg` has its code, after `sev-guest`"
        }
        Tee::Sgx => "the host needs aesmd with its quoting enclaves, and a certificate for them",
        Tee::Cca => "the realm management monitor refuses; `dmesg` has its code",
        Tee::Sample => "it needs nothing",
    }
}

/// What else there is on older kernels.
fn older(tee: Tee) -> &'static str {
    match tee {
        Tee::Snp => ", or /dev/sev-guest of an older kernel, which is not there either",
        _ => "",
    }
}
