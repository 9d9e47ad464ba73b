//! Who makes evidence: that this machine is a TEE, in the JSON that key brokers take.
//!
//! ```text
//!  report data, at most 64 bytes ─▶ Attester ─▶ `primary_evidence` of RCAR
//!     sample  nobody: anybody can make it
//!     tdx     configfs ─▶ a quote of the host's quoting service, with the event log of the firmware
//!     snp     configfs, or /dev/sev-guest ─▶ a report of the firmware, with the certificates that
//!             the host gives along
//!     sgx     Gramine's files ─▶ a quote
//!     az-…    the virtual TPM ─▶ a quote of it, beside the report that its paravisor left in it, and
//!             what Azure's metadata service says to that
//! ```
//!
//! Which of them a build has is said by cargo features. What a build does not have, and what nobody
//! here can make, is refused by name; there is no falling back to another kind, least of all to
//! [`Tee::Sample`], which has to be asked for.
//!
//! [`agent`] is the other way to evidence: a program on the same machine that attests for others.

pub mod agent;
#[cfg(feature = "azure-attester")]
mod azure;
#[cfg(feature = "snp-attester")]
mod certificates;
#[cfg(any(feature = "tdx-attester", feature = "snp-attester"))]
mod configfs;
mod error;
#[cfg(feature = "tdx-attester")]
mod event_log;
#[cfg(feature = "sample-attester")]
mod sample;
#[cfg(feature = "snp-attester")]
mod sev_guest;
#[cfg(feature = "sgx-attester")]
mod sgx;
#[cfg(feature = "snp-attester")]
mod snp;
#[cfg(feature = "tdx-attester")]
mod tdx;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::Tee;
use crate::detect::{Host, Machine};

pub use error::{AttestError, Contention};

/// What hardware has room for; RCAR's report data are 48 bytes.
pub const REPORT_DATA_BYTES_MAX: usize = 64;

/// Makes evidence over report data.
type Maker = fn(&dyn Machine, &[u8]) -> Result<Value, AttestError>;

/// What this build makes evidence of.
const MAKERS: &[(Tee, Maker)] = &[
    #[cfg(feature = "sample-attester")]
    (Tee::Sample, sample::evidence),
    #[cfg(feature = "tdx-attester")]
    (Tee::Tdx, tdx::evidence),
    #[cfg(feature = "snp-attester")]
    (Tee::Snp, snp::evidence),
    #[cfg(feature = "sgx-attester")]
    (Tee::Sgx, sgx::evidence),
    #[cfg(feature = "azure-attester")]
    (Tee::AzSnpVtpm, azure::snp),
    #[cfg(feature = "azure-attester")]
    (Tee::AzTdxVtpm, azure::tdx),
];

/// Makes evidence of one kind of TEE.
#[derive(Debug, Clone)]
pub struct Attester {
    tee: Tee,
    maker: Maker,
    machine: Arc<dyn Machine>,
    /// One at a time: hardware makes one, and whoever asks meanwhile is told that it is busy.
    turn: Arc<Mutex<()>>,
}

impl Attester {
    /// Evidence that proves nothing, for tests.
    #[cfg(feature = "sample-attester")]
    #[must_use]
    pub fn sample() -> Self {
        Self {
            tee: Tee::Sample,
            maker: sample::evidence,
            machine: Arc::new(Host::new()),
            turn: Arc::default(),
        }
    }

    /// Evidence of the hardware that was found.
    ///
    /// # Errors
    /// [`AttestError::SampleUnasked`] for [`Tee::Sample`], which nobody finds;
    /// [`AttestError::NotBuilt`] and [`AttestError::Unsupported`] where this build has none.
    pub fn of(tee: Tee) -> Result<Self, AttestError> {
        Self::on(tee, Arc::new(Host::new()))
    }

    /// [`of`](Self::of) another machine than this.
    ///
    /// # Errors
    /// As of [`of`](Self::of).
    pub fn on(tee: Tee, machine: Arc<dyn Machine>) -> Result<Self, AttestError> {
        match tee.is_hardware() {
            true => Self::built(tee, machine),
            false => Err(AttestError::SampleUnasked),
        }
    }

    /// Evidence of the kind that an operator asks for by name: unlike [`of`](Self::of), that may be
    /// [`Tee::Sample`].
    ///
    /// # Errors
    /// [`AttestError::NotBuilt`] and [`AttestError::Unsupported`] where this build has none.
    pub fn asked_for(tee: Tee) -> Result<Self, AttestError> {
        Self::built(tee, Arc::new(Host::new()))
    }

    fn built(tee: Tee, machine: Arc<dyn Machine>) -> Result<Self, AttestError> {
        let known = MAKERS.iter().find(|(made, _)| *made == tee);
        let (tee, maker) = *known.ok_or_else(|| missing(tee))?;
        Ok(Self {
            tee,
            maker,
            machine,
            turn: Arc::default(),
        })
    }

    /// What it makes evidence of.
    #[must_use]
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// Evidence over `report_data`, as RCAR's `primary_evidence`. Hardware pads with zeros to 64
    /// bytes; `sample` and the TPM of Azure do not, and that TPM takes no more than 50.
    ///
    /// Blocks: a quote of TDX takes the host's service for it, often tens of milliseconds. May be
    /// called from several threads at a time.
    ///
    /// # Errors
    /// See [`AttestError`]; what may go away by itself has been tried again a few times.
    pub fn evidence(&self, report_data: &[u8]) -> Result<Value, AttestError> {
        let bytes = report_data.len();
        match bytes > REPORT_DATA_BYTES_MAX {
            true => Err(AttestError::ReportDataTooLong { bytes }),
            false => {
                // Nothing is left half done by whoever panicked.
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                (self.maker)(self.machine.as_ref(), report_data)
            }
        }
    }
}

/// Why there is none.
fn missing(tee: Tee) -> AttestError {
    let unsupported = |because| AttestError::Unsupported { tee, because };
    let not_built = |feature| AttestError::NotBuilt { tee, feature };
    match tee {
        Tee::Sample => not_built("sample-attester"),
        Tee::Tdx => not_built("tdx-attester"),
        Tee::Snp => not_built("snp-attester"),
        Tee::Sgx => not_built("sgx-attester"),
        Tee::AzTdxVtpm | Tee::AzSnpVtpm => not_built("azure-attester"),
        Tee::Cca => unsupported(
            "nothing here can judge a realm's token: run an attestation-agent and take evidence and \
             tokens from it",
        ),
    }
}

/// Report data as hardware takes it.
#[cfg(any(
    feature = "tdx-attester",
    feature = "snp-attester",
    feature = "sgx-attester"
))]
fn padded(report_data: &[u8]) -> Result<[u8; REPORT_DATA_BYTES_MAX], AttestError> {
    let bytes = report_data.len();
    let mut padded = [0; REPORT_DATA_BYTES_MAX];
    let place = padded.get_mut(..bytes);
    place
        .ok_or(AttestError::ReportDataTooLong { bytes })?
        .copy_from_slice(report_data);
    Ok(padded)
}
