//! That evidence is authentic and accepted, and the same as an attestation result (EAR).

use serde_json::{Value, json};

use crate::Tee;

use super::claims::{AzureGuest, Claims, Platform, TcbStatus};

/// What `eat_profile` says: the members of the result are those of
/// `draft-ietf-rats-ear`, and the claims in `ear.veraison.annotated-evidence` those of
/// [`Claims::to_json`].
pub const EAR_PROFILE: &str = "tag:github.com,2026:absmach/propeller/ear";

/// What a policy held against its own opinion. What it did not look at is not vouched for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// What runs is what was approved.
    pub(super) software: bool,
    /// What it was configured with is what was expected.
    pub(super) init_data: bool,
}

/// The proof that evidence is authentic and that a policy accepts it.
/// [`Policy::judge`](super::Policy::judge) is the only way to get one.
#[derive(Debug, Clone)]
pub struct Verdict {
    claims: Claims,
    checked: Checked,
}

/// How far a verifier trusts what it judged (draft-ietf-rats-ear, `ear.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarStatus {
    /// It says nothing.
    None,
    /// It vouches for it.
    Affirming,
    /// It knows something against it.
    Warning,
    /// It would not trust it.
    Contraindicated,
}

impl EarStatus {
    /// As a result says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

/// What an attestation result says beside the verdict. The times are seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct EarFrame<'a> {
    /// `iss`: who issues it.
    pub issuer: &'a str,
    /// `iat`: when it is issued.
    pub issued_at: u64,
    /// `exp`: when it ends.
    pub expires_at: u64,
    /// `ear.verifier-id`, `build`: which program judged.
    pub build: &'a str,
    /// `ear.appraisal-policy-id`: by which policy.
    pub policy: &'a str,
    /// What the report data is a hash of, such as `{"nonce": …, "tee-pubkey": …}`, if that was
    /// checked.
    pub runtime_data: Option<&'a Value>,
    /// What the init-data says. It is left out of a result about hardware that was not asked for it
    /// (see [`Verdict::binds_init_data`]); what `sample` evidence is worth, its status says.
    pub init_data: Option<&'a Value>,
}

impl Verdict {
    pub(super) fn new(claims: Claims, checked: Checked) -> Self {
        Self { claims, checked }
    }

    /// What the evidence says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Kind of the evidence.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.claims.tee()
    }

    /// What a person is told: `sample: not hardware` for evidence that proves nothing.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.tee().label()
    }

    /// Whether the guest was shown to have been started with the expected init-data.
    #[must_use]
    pub fn binds_init_data(&self) -> bool {
        self.checked.init_data
    }

    /// How far the evidence is vouched for. A policy may accept what this warns of, or what nobody
    /// should trust: it is accepted, and called what it is.
    #[must_use]
    pub fn status(&self) -> EarStatus {
        self.vector().status()
    }

    /// An attestation result: a claims set of `draft-ietf-rats-ear`, to be signed by whoever issues
    /// it.
    #[must_use]
    pub fn ear(&self, frame: &EarFrame<'_>) -> Value {
        let vector = self.vector();
        let mut evidence = json!({
            self.tee().name(): self.claims.to_json(),
            "report_data": data_encoding::HEXLOWER.encode(&self.claims.report_data()),
        });
        if let Some(claims) = frame.runtime_data {
            evidence["runtime_data_claims"] = claims.clone();
        }
        let is_bound = self.checked.init_data || !self.tee().is_hardware();
        if let Some(claims) = frame.init_data.filter(|_| is_bound) {
            evidence["init_data_claims"] = claims.clone();
        }
        json!({
            "eat_profile": EAR_PROFILE,
            "iss": frame.issuer,
            "iat": frame.issued_at,
            "exp": frame.expires_at,
            "ear.verifier-id": {
                "developer": "https://github.com/absmach/propeller",
                "build": frame.build,
            },
            "submods": {
                "cpu0": {
                    "ear.status": vector.status().name(),
                    "ear.trustworthiness-vector": vector.to_json(),
                    "ear.appraisal-policy-id": frame.policy,
                    "ear.veraison.annotated-evidence": evidence,
                },
            },
        })
    }

    fn vector(&self) -> Vector {
        let is_hardware = self.tee().is_hardware();
        let is_open = self.claims.is_open();
        let configuration = match (is_hardware, is_open, self.checked.init_data) {
            (true, true, _) => UNSAFE,
            (true, false, true) => APPROVED,
            _ => NO_CLAIM,
        };
        Vector {
            hardware: hardware(&self.claims.platform),
            runtime: if is_open { VISIBLE } else { OPAQUE },
            executables: if self.checked.software {
                APPROVED_AT_BOOT
            } else {
                NO_CLAIM
            },
            configuration,
        }
    }
}

/// Nothing is said.
const NO_CLAIM: i8 = 0;
/// Hardware: genuine. Configuration: known and approved.
const APPROVED: i8 = 2;
/// Executables: only approved ones were loaded when it started.
const APPROVED_AT_BOOT: i8 = 3;
/// Runtime: encrypted, and nobody outside can look in.
const OPAQUE: i8 = 2;
/// Hardware: genuine, with known security holes.
const KNOWN_HOLES: i8 = 32;
/// Runtime: memory can be seen from outside. Configuration: open to attack.
const VISIBLE: i8 = 96;
/// The same number in the list of configurations.
const UNSAFE: i8 = 96;
/// Hardware: none that is known, though there should be some.
const UNKNOWN_HARDWARE: i8 = 97;

/// A trustworthiness vector (draft-ietf-rats-ar4si, section 2.3). What is not in it, such as file
/// systems and storage, is never claimed.
#[derive(Debug, Clone, Copy)]
struct Vector {
    hardware: i8,
    runtime: i8,
    executables: i8,
    configuration: i8,
}

fn hardware(platform: &Platform) -> i8 {
    let by_status = |status| match status {
        TcbStatus::UpToDate => APPROVED,
        _ => KNOWN_HOLES,
    };
    match platform {
        Platform::Sample(_) => UNKNOWN_HARDWARE,
        Platform::Tdx(claims) => by_status(claims.tcb.status),
        Platform::Sgx(claims) => by_status(claims.tcb.status),
        Platform::Snp(_) => APPROVED,
        Platform::Azure(claims) => match &claims.guest {
            AzureGuest::Snp(_) => APPROVED,
            AzureGuest::Tdx(claims) => by_status(claims.tcb.status),
        },
    }
}

impl Vector {
    /// The worst of what is claimed. It is not affirmed while nobody says what runs: genuine
    /// hardware runs anything.
    fn status(self) -> EarStatus {
        let Self {
            hardware,
            runtime,
            executables,
            configuration,
        } = self;
        let worst = hardware.max(runtime).max(executables).max(configuration);
        match worst {
            96.. => EarStatus::Contraindicated,
            32.. => EarStatus::Warning,
            _ if executables == NO_CLAIM => EarStatus::None,
            _ => EarStatus::Affirming,
        }
    }

    fn to_json(self) -> Value {
        let Self {
            hardware,
            runtime,
            executables,
            configuration,
        } = self;
        json!({
            "instance-identity": NO_CLAIM,
            "configuration": configuration,
            "executables": executables,
            "file-system": NO_CLAIM,
            "hardware": hardware,
            "runtime-opaque": runtime,
            "storage-opaque": NO_CLAIM,
            "sourced-data": NO_CLAIM,
        })
    }
}
