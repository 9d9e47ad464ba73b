//! Why evidence is not authentic, and why authentic evidence is refused.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::Tee;
use crate::snp_report::{SnpReportError, SnpTcb};

use super::claims::TcbStatus;

/// Evidence that nobody vouches for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticError {
    /// A kind that is not judged here.
    #[error(
        "evidence of kind `{tee}` cannot be judged here: only `tdx`, `sgx`, `snp`, `az-tdx-vtpm`, `az-snp-vtpm` and `sample` can; give it to a verifier that knows this kind, such as Trustee"
    )]
    Unsupported {
        /// The kind.
        tee: Tee,
    },
    /// Not the JSON of its kind.
    #[error("not the JSON of `{tee}` evidence")]
    Shape {
        /// The kind.
        tee: Tee,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A member that is not base64, with padding.
    #[error("member `{member}` of the evidence is not base64 with padding")]
    Base64 {
        /// Its name.
        member: &'static str,
    },
    /// More bytes than anything of its kind has.
    #[error("`{what}` has {bytes} bytes, and no more than {max} are looked at")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How many bytes there are.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// Nothing says what the platform of this evidence is worth.
    #[error("evidence of kind `{tee}` cannot be judged without collateral: {fix}")]
    NoCollateral {
        /// The kind.
        tee: Tee,
        /// What to give.
        fix: &'static str,
    },
    /// Collateral of another vendor, or for evidence that has none.
    #[error("the collateral is not of the kind that evidence of kind `{tee}` is judged with")]
    OtherCollateral {
        /// The kind of the evidence.
        tee: Tee,
    },
    /// The quote does not hold.
    #[error(
        "the quote does not verify with this collateral at this time: it was changed, the collateral is for another platform or has expired, or the platform is one that no policy accepts"
    )]
    Quote(#[source] Box<dyn Error + Send + Sync>),
    /// A quote of another kind than the evidence says.
    #[error("evidence of kind `{tee}` with a quote of another kind")]
    OtherQuote {
        /// What the evidence says.
        tee: Tee,
    },
    /// Not a report of SEV-SNP.
    #[error("the evidence has no report of SEV-SNP")]
    Report(#[from] SnpReportError),
    /// Not what Azure's virtual machines send.
    #[error("the evidence is none of a virtual machine of Azure's")]
    Azure(#[from] AzureError),
    /// The key of the report is not AMD's.
    #[error("the key that signed the report is not vouched for")]
    Chain(#[from] ChainError),
    /// The key fits, the signature does not.
    #[error(
        "the report's signature is not one of the {key} over the report: one of them was changed"
    )]
    Signature {
        /// VCEK or VLEK.
        key: &'static str,
    },
}

/// What is between a quote of Azure's virtual TPM and the hardware, and does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AzureError {
    /// A form of evidence that is not known here.
    #[error("it has version {found} of its form, and 1 and 2 of `{tee}` are known")]
    Version {
        /// The kind.
        tee: Tee,
        /// What it says.
        found: u32,
    },
    /// A member in another encoding.
    #[error("member `{member}` is not {encoding}")]
    Encoding {
        /// Its name.
        member: &'static str,
        /// What it should be.
        encoding: &'static str,
    },
    /// No report of a paravisor, or one of another kind or with another hash.
    #[error("`hcl_report` is no report of a paravisor of this kind, with SHA-256")]
    Report,
    /// Nothing says what the TPM signs with.
    #[error("the runtime data name no RSA key `HCLAkPub` of the TPM, or more than one")]
    Key,
    /// Changed, or signed with another key.
    #[error("the quote is not signed with the TPM's key: one of them was changed")]
    Signature,
    /// Signed, and no quote of all registers.
    #[error("what the TPM has signed is no quote of the registers 0 to 23 of SHA-256")]
    Quote,
    /// Other registers than those that are signed.
    #[error("`pcrs` are not the 24 registers that the quote is about")]
    Registers,
    /// The TPM is another machine's.
    #[error("the hardware's report is about other runtime data: the TPM is not this machine's")]
    RuntimeData,
}

/// Why certificates do not lead from a report to AMD.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The key is missing, or it is not said which key signed.
    #[error(
        "the report says that its signer is {signer}, and no certificate of that kind is there"
    )]
    NoKey {
        /// VCEK, VLEK, or what no report of a guest says.
        signer: &'static str,
    },
    /// Two of a kind.
    #[error("more than one certificate `{which}`")]
    Doubled {
        /// Which.
        which: &'static str,
    },
    /// Not a certificate as AMD makes them.
    #[error("certificate `{which}` is unusable: {why}")]
    Unusable {
        /// Which.
        which: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Before or after its time.
    #[error("certificate `{which}` is not valid at this time")]
    Expired {
        /// Which.
        which: &'static str,
    },
    /// Nobody to ask about this certificate.
    #[error("no certificate of who issued `{which}` is there: give the whole chain")]
    NoIssuer {
        /// Which.
        which: &'static str,
    },
    /// The chain ends in somebody else.
    #[error("the chain ends in a root that is none of AMD's: nothing it says is believed")]
    ForeignRoot,
    /// Changed, or issued by somebody else under the same name.
    #[error("certificate `{which}` is not signed by its issuer")]
    Signature {
        /// Which.
        which: &'static str,
    },
    /// The certificate is about another chip, or another state of it.
    #[error(
        "the certificate is about another {what} than the report: fetch the one for this report"
    )]
    OtherChip {
        /// What differs.
        what: &'static str,
    },
}

/// One thing that a policy does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// Evidence for tests.
    #[error("evidence of kind `sample` proves nothing, and the policy does not allow it")]
    Sample,
    /// The policy does not know this kind.
    #[error("the policy accepts no evidence of kind `{tee}`")]
    Kind {
        /// The kind.
        tee: Tee,
    },
    /// Evidence about something else.
    #[error(
        "the report data is not the expected one: the evidence is about another key, nonce or attempt"
    )]
    ReportData,
    /// Another configuration.
    #[error(
        "{place} is not the digest of the expected init-data: the guest was started with another configuration"
    )]
    InitData {
        /// Where the platform keeps it.
        place: &'static str,
    },
    /// Nothing to hold init-data against.
    #[error("evidence of kind `{tee}` says nothing about init-data, and the policy demands it")]
    NoInitData {
        /// The kind.
        tee: Tee,
    },
    /// Something else runs.
    #[error("{register} is {found}, which is not approved")]
    Measurement {
        /// Which measurement.
        register: Cow<'static, str>,
        /// Its value in hexadecimal.
        found: String,
    },
    /// The host can look inside.
    #[error("it runs in debug mode, in which its host can read its memory")]
    Debug,
    /// The guest may be moved by somebody.
    #[error("its owner allows a migration agent to move it")]
    Migration,
    /// Intel does not call the platform up to date.
    #[error("the TCB status is {status}{}", because(.advisories))]
    TcbStatus {
        /// What Intel calls it.
        status: TcbStatus,
        /// Why.
        advisories: Vec<String>,
    },
    /// Judged by an old list of TCB levels.
    #[error(
        "the collateral is of TCB evaluation {found}, and {min} is the oldest accepted: fetch it again"
    )]
    Evaluation {
        /// Its number.
        found: u32,
        /// The lowest accepted.
        min: u32,
    },
    /// Firmware or microcode with known holes.
    #[error("the reported TCB ({found}) is older than the oldest accepted ({min})")]
    Tcb {
        /// What the report says.
        found: SnpTcb,
        /// The lowest accepted.
        min: SnpTcb,
    },
    /// A version of the report's format.
    #[error("the report is in version {found} of its format, and {min} to {max} are accepted")]
    ReportVersion {
        /// What the report says.
        found: u32,
        /// The oldest accepted.
        min: u32,
        /// The newest accepted.
        max: u32,
    },
    /// Asked for by less than the most privileged part of the guest.
    #[error("the report was asked for at privilege level {found}, and only 0 is accepted")]
    Vmpl {
        /// What the report says.
        found: u32,
    },
    /// Signed with the key of a cloud's operator.
    #[error(
        "the report is signed with a VLEK, a key in the hands of a cloud's operator, and the policy demands the chip's own"
    )]
    Vlek,
    /// Another program of the same author.
    #[error("the enclave is product {found} of its author, and {expected} is expected")]
    Product {
        /// ISVPRODID.
        found: u16,
        /// What the policy says.
        expected: u16,
    },
    /// An old version of the program.
    #[error("the enclave has security version {found}, and {min} is the oldest accepted")]
    SecurityVersion {
        /// ISVSVN.
        found: u16,
        /// What the policy says.
        min: u16,
    },
}

/// ` (INTEL-SA-00001, INTEL-SA-00002)`, or nothing.
fn because(ids: &[String]) -> String {
    if ids.is_empty() {
        String::new()
    } else {
        format!(" ({})", ids.join(", "))
    }
}

/// That a policy does not accept authentic evidence, with everything that it does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    findings: Vec<Finding>,
}

impl Refused {
    /// `None` if there is nothing to say against it.
    pub(super) fn for_any(findings: Vec<Finding>) -> Option<Self> {
        (!findings.is_empty()).then_some(Self { findings })
    }

    /// Each reason; there is at least one.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy refuses the evidence: ")?;
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(finding, f)?;
        }
        Ok(())
    }
}

impl Error for Refused {}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nobody vouches for it.
    #[error("the evidence is not authentic")]
    NotAuthentic(#[from] AuthenticError),
    /// It is authentic, and not what is wanted.
    #[error("the evidence is authentic and not accepted")]
    NotAccepted(#[from] Refused),
}
