//! Judges evidence: authentic, about this nonce and key, started with this init-data.
//!
//! What runs there, in which state of the platform, is for the policy to say when a resource is asked
//! for: here it is found out and not refused. What is refused here is what no rule could make good.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use propeller_attest::Tee;
use propeller_attest::rcar::{Attestation, Hash, RuntimeData, report_data};
use propeller_attest::snp_report::SnpTcb;
use propeller_attest::verify::{
    Anchors, Approved, AuthenticError, AzurePolicy, Basis, COLLATERAL_BYTES_MAX, Claims,
    Collateral, CollateralError, DcapCollateral, DcapPolicy, Evidence, Expected, Policy, Refused,
    Rule, SgxPolicy, SnpPolicy, TcbStatus, TdxPolicy, UnixTime, Verdict, authenticate,
};
use propeller_jose::KeyError;

use crate::init_data::{InitData, InitDataError};

/// Most files of collateral: each is for one family of processors, and every quote is held against
/// all of them until one fits.
const COLLATERALS_MAX: usize = 32;

/// Why a folder of collateral cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralFolderError {
    /// It, or a file in it, cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that is no collateral.
    #[error("{path}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: CollateralError,
    },
    /// More files than are looked at.
    #[error("{path} has more than {COLLATERALS_MAX} files of collateral")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    #[error("evidence of additional devices is not judged here")]
    Devices,
    #[error("the key to encrypt to cannot be used: {0}")]
    Key(KeyError),
    #[error(transparent)]
    InitData(#[from] InitDataError),
    #[error(
        "this broker cannot judge evidence of kind `{0}`: its operator has set no KEYBROKER_COLLATERAL"
    )]
    NoCollateral(Tee),
    #[error("{}", chain(.0))]
    NotAuthentic(AuthenticError),
    #[error(transparent)]
    NotAccepted(#[from] Refused),
}

/// Evidence that holds, and the init-data that came with it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) init_data: Option<InitData>,
}

/// Judges by roots of vendors and an operator's collateral.
#[derive(Debug)]
pub(crate) struct Judge {
    anchors: Anchors,
    collateral: Vec<Collateral>,
    policy: Policy,
}

impl Judge {
    /// Reads every `*.json` in the folder, if there is one.
    pub(crate) fn open(
        folder: Option<&Path>,
        anchors: Anchors,
    ) -> Result<Self, CollateralFolderError> {
        Ok(Self {
            anchors,
            collateral: match folder {
                Some(folder) => read(folder)?,
                None => Vec::new(),
            },
            policy: lenient(),
        })
    }

    pub(crate) fn judge(
        &self,
        tee: Tee,
        attestation: &Attestation,
        now: Timestamp,
    ) -> Result<Judged, Unproven> {
        let Attestation {
            init_data,
            runtime_data: RuntimeData { nonce, tee_pubkey },
            tee_evidence,
        } = attestation;
        if !tee_evidence.additional_evidence.is_empty() {
            return Err(Unproven::Devices);
        }
        // While there is somebody to tell, who would otherwise learn it from his first resource.
        tee_pubkey.to_key().map_err(Unproven::Key)?;
        let init_data = init_data.as_ref().map(InitData::read).transpose()?;
        let evidence = Evidence {
            tee,
            value: &tee_evidence.primary_evidence,
        };
        let claims = self.authentic(&evidence, now)?;
        let report_data = report_data(Hash::default(), nonce, tee_pubkey, "");
        let digest = init_data.as_ref().map(|one| one.digest.as_slice());
        let expected = Expected {
            report_data: &report_data,
            init_data: digest,
        };
        let verdict = self.policy.judge(&claims, &expected)?;
        Ok(Judged { verdict, init_data })
    }

    /// By any of the collateral, as evidence does not say which is its own.
    fn authentic(&self, evidence: &Evidence<'_>, now: Timestamp) -> Result<Claims, Unproven> {
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let with = |collateral| {
            let basis = Basis {
                collateral,
                anchors: &self.anchors,
                now,
            };
            authenticate(evidence, &basis)
        };
        if !matches!(evidence.tee, Tee::Tdx | Tee::Sgx | Tee::AzTdxVtpm) {
            return with(&Collateral::None).map_err(Unproven::NotAuthentic);
        }
        let mut last = Unproven::NoCollateral(evidence.tee);
        for collateral in &self.collateral {
            match with(collateral) {
                Ok(claims) => return Ok(claims),
                Err(error) => last = Unproven::NotAuthentic(error),
            }
        }
        Err(last)
    }
}

/// Accepts whatever a rule of the policy may yet accept: a rule that says nothing about debugging,
/// the state of the platform or the operator's key accepts none of these.
fn lenient() -> Policy {
    let platform = || DcapPolicy {
        statuses: TcbStatus::ALL.into_iter().collect(),
        evaluation_min: 0,
    };
    let tdx = || TdxPolicy {
        platform: platform(),
        debug: Rule::Allow,
        ..TdxPolicy::new(Approved::Any)
    };
    let snp = || SnpPolicy {
        vlek: Rule::Allow,
        debug: Rule::Allow,
        ..SnpPolicy::new(Approved::Any, SnpTcb::default())
    };
    Policy {
        sample: Rule::Allow,
        tdx: Some(tdx()),
        sgx: Some(SgxPolicy {
            platform: platform(),
            debug: Rule::Allow,
            ..SgxPolicy::new(Approved::Any)
        }),
        snp: Some(snp()),
        azure_snp: Some(AzurePolicy::new(snp())),
        azure_tdx: Some(AzurePolicy::new(tdx())),
    }
}

fn read(folder: &Path) -> Result<Vec<Collateral>, CollateralFolderError> {
    let unreadable = |path: &Path, cause| CollateralFolderError::Read {
        path: path.to_owned(),
        cause,
    };
    let entries = std::fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| unreadable(folder, cause))?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        if found.len() == COLLATERALS_MAX {
            let path = folder.to_owned();
            return Err(CollateralFolderError::TooMany { path });
        }
        let text = bounded(&path).map_err(|cause| unreadable(&path, cause))?;
        let read = DcapCollateral::from_json(&text);
        let read = read.map_err(|cause| CollateralFolderError::Malformed { path, cause })?;
        found.push(Collateral::Dcap(Box::new(read)));
    }
    Ok(found)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    // One byte more than there may be, so that it shows.
    file.take(COLLATERAL_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
