//! Judges evidence: whether its hardware's vendor vouches for it, and whether it is what is wanted.
//!
//! ```text
//!  Evidence ─▶ authenticate ─▶ Claims ─▶ Policy::judge ─▶ Verdict ─▶ ear
//!               Collateral                Expected
//!               Anchors, now
//! ```
//!
//! All of it is pure: no clock, no network and no file. Time, [`Collateral`] and [`Anchors`] are
//! arguments, and the same arguments give the same answer. [`Claims`] and [`Verdict`] are proofs:
//! there is one way to get each.
//!
//! | kind | authentic if |
//! |---|---|
//! | `tdx`, `sgx` | the quote verifies under Intel's root with the collateral given, by `dcap-qvl` |
//! | `snp` | the report is signed by a VCEK or VLEK for its chip and TCB, whose chain ends in AMD's root |
//! | `az-tdx-vtpm`, `az-snp-vtpm` | the same of the hardware's report, which vouches for the key with which the TPM signed |
//! | `sample` | it has the form: nobody signed it, and **it proves nothing** |
//! | others | never: they cannot be judged here |
//!
//! Of SEV-SNP reports every byte counts. Of quotes some do not, which say nothing: see the list in
//! `crates/attest/tests/verify/quote_bytes.rs`, which a test holds against every byte.
//!
//! Evidence says what ran at one moment. Whoever judges it makes it fresh by what he lets it be
//! bound to: the report data must contain a nonce of his, or a key that he has just seen used.

mod anchors;
mod azure;
mod certificate;
mod claims;
mod collateral;
mod dcap;
mod error;
mod measurement;
mod policy;
mod sample;
mod snp;
mod verdict;

use serde_json::Value;

pub use rustls_pki_types::UnixTime;

pub use anchors::{AmdAnchor, Anchors};
pub use claims::{
    AzureClaims, AzureGuest, Claims, DcapTcb, NoTcbStatus, Platform, SampleClaims, SgxClaims,
    SnpClaims, SnpKey, TcbStatus, TdxClaims,
};
pub use collateral::{COLLATERAL_BYTES_MAX, Collateral, CollateralError, DcapCollateral, SnpChain};
pub use error::{AuthenticError, AzureError, ChainError, Finding, Refused, VerifyError};
pub use measurement::{Approved, Measurement, NoMeasurement};
pub use policy::{
    AzurePolicy, DcapPolicy, Expected, Policy, Rule, SgxPolicy, SnpPolicy, TdxPolicy,
};
pub use verdict::{EAR_PROFILE, EarFrame, EarStatus, Verdict};

use crate::Tee;

/// Evidence as it is handed to a key broker (`primary_evidence`).
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What it is said to be.
    pub tee: Tee,
    /// The JSON of that kind.
    pub value: &'a Value,
}

/// What evidence is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// What the vendor says about the platform.
    pub collateral: &'a Collateral,
    /// Whom to believe; [`Anchors::vendors`] outside of tests.
    pub anchors: &'a Anchors,
    /// The time to judge for: what is not valid then does not count.
    pub now: UnixTime,
}

/// What the evidence says, if its hardware's vendor vouches for it.
///
/// Nothing is said yet about whether that is good: see [`Policy::judge`].
///
/// # Errors
/// If it is not of a kind that can be judged, not of its kind's form, or if anything between it and
/// an anchor does not hold.
pub fn authenticate(evidence: &Evidence<'_>, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let Evidence { tee, value } = *evidence;
    match tee {
        Tee::Tdx => dcap::tdx(value, basis),
        Tee::Sgx => dcap::sgx(value, basis),
        Tee::Snp => snp::snp(value, basis),
        Tee::Sample => sample::sample(value, basis),
        Tee::AzTdxVtpm => azure::tdx(value, basis),
        Tee::AzSnpVtpm => azure::snp(value, basis),
        Tee::Cca => Err(AuthenticError::Unsupported { tee }),
    }
}

/// Judges evidence: [`authenticate`], and then [`Policy::judge`].
///
/// # Errors
/// If it is not authentic, or not what is wanted.
pub fn verify(
    evidence: &Evidence<'_>,
    basis: &Basis<'_>,
    policy: &Policy,
    expected: &Expected<'_>,
) -> Result<Verdict, VerifyError> {
    let claims = authenticate(evidence, basis)?;
    Ok(policy.judge(&claims, expected)?)
}
