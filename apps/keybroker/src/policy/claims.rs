//! What a rule is held against: the claims of a token, in the shape in which tokens have them.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use propeller_attest::Tee;
use propeller_attest::verify::TcbStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What has been verified about somebody, and, of kind `sample`, only said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Kind of the evidence.
    pub tee: Tee,
    /// What it said, by the names that tokens use, such as `mr_td`.
    #[serde(default)]
    pub evidence: Map<String, Value>,
    /// Values of the init-data.
    #[serde(default)]
    pub init_data: Map<String, Value>,
    /// Digest of the init-data, in hexadecimal.
    #[serde(default)]
    pub init_data_digest: Option<String>,
}

impl Claims {
    /// What measures the start of it, in hexadecimal; sample evidence has none.
    #[must_use]
    pub fn measurement(&self) -> Option<&str> {
        let name = match self.tee {
            Tee::Tdx | Tee::AzTdxVtpm => "mr_td",
            Tee::Sgx => "mr_enclave",
            Tee::Snp | Tee::AzSnpVtpm => "measurement",
            _ => return None,
        };
        self.evidence.get(name)?.as_str()
    }

    /// A claim by its name, with a dot for every level below the first: `tcb.status`.
    #[must_use]
    pub fn evidence(&self, name: &str) -> Option<&Value> {
        let mut parts = name.split('.');
        let first = self.evidence.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// What Intel says about the platform. One that says nothing that is known here counts as revoked.
    pub(super) fn tcb_status(&self) -> Option<TcbStatus> {
        if !matches!(self.tee, Tee::Tdx | Tee::Sgx | Tee::AzTdxVtpm) {
            return None;
        }
        let status = self.evidence("tcb.status").and_then(Value::as_str);
        let status = status.and_then(|status| status.parse().ok());
        Some(status.unwrap_or(TcbStatus::Revoked))
    }

    /// Whether its host can look inside. Evidence that does not say counts as if it could.
    pub(super) fn is_debug(&self) -> bool {
        self.evidence("debug") != Some(&Value::Bool(false))
    }

    /// Whether a report of SEV-SNP is signed with another key than the chip's own.
    pub(super) fn is_of_operators_key(&self) -> bool {
        let signer = self.evidence("signer").and_then(Value::as_str);
        matches!(self.tee, Tee::Snp | Tee::AzSnpVtpm) && signer != Some("vcek")
    }

    /// Names a workload: the same for everybody who runs the same with the same init-data.
    #[must_use]
    pub fn workload(&self) -> String {
        let measurement = self.measurement().unwrap_or_default();
        let init_data = self.init_data_digest.as_deref().unwrap_or_default();
        let text = format!("{}\n{measurement}\n{init_data}", self.tee);
        let hash = digest(&SHA256, text.as_bytes());
        HEXLOWER.encode(&hash.as_ref()[..16])
    }
}
