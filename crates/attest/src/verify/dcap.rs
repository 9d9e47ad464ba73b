//! Quotes of TDX and SGX. The cryptography, and Intel's rules for it, are those of `dcap-qvl`.
//!
//! Of a quote, some bytes may change without anybody noticing, because nothing is made of them: how
//! the certificates in it are written down (line breaks of PEM, and the copy of Intel's root, as the
//! one that counts is among the [anchors](super::Anchors)), types and lengths around them, and what
//! follows the quote's end. `crates/attest/tests/verify/quote_bytes.rs` has the list. So evidence is
//! known by what it says, and not by its hash.

use data_encoding::BASE64;
use dcap_qvl::configs::RustCryptoConfig;
use dcap_qvl::quote::{EnclaveReport, Report, TDReport10};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuotePolicy, TcbStatus as Status};
use rustls_pki_types::UnixTime;
use serde::Deserialize;
use serde_json::Value;

use crate::Tee;

use super::Basis;
use super::claims::{Claims, DcapTcb, Platform, SgxClaims, TcbStatus, TdxClaims};
use super::collateral::{Collateral, DcapCollateral};
use super::error::AuthenticError;
use super::measurement::Measurement;

/// The longest quote that is looked at. One has some 5 KB, of which its certificates are most.
const QUOTE_BYTES_MAX: usize = 64 * 1024;

/// `{"quote": …}`, and for TDX the log of events.
///
/// The log is not signed. The registers of the quote are, and nothing is taken from the log, so
/// that it is not looked into.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxEvidence<'a> {
    #[serde(borrow)]
    quote: &'a str,
    #[serde(default, rename = "cc_eventlog")]
    _log: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SgxEvidence<'a> {
    #[serde(borrow)]
    quote: &'a str,
}

pub(super) fn tdx(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let evidence = TdxEvidence::deserialize(value).map_err(shape(Tee::Tdx))?;
    let quote = decode(evidence.quote)?;
    let (claims, until) = trust_domain(&quote, Tee::Tdx, basis)?;
    Ok(Claims {
        platform: Platform::Tdx(Box::new(claims)),
        valid_until: Some(until),
    })
}

/// What a quote of TDX says that is authentic, in evidence of a kind, and until when.
pub(super) fn trust_domain(
    quote: &[u8],
    tee: Tee,
    basis: &Basis<'_>,
) -> Result<(TdxClaims, UnixTime), AuthenticError> {
    let claims = verified(quote, tee, basis)?;
    let report = claims.report.as_td10();
    let report = report.ok_or(AuthenticError::OtherQuote { tee })?;
    Ok((tdx_claims(report, tcb(&claims)), until(&claims)))
}

pub(super) fn sgx(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let evidence = SgxEvidence::deserialize(value).map_err(shape(Tee::Sgx))?;
    let claims = verified(&decode(evidence.quote)?, Tee::Sgx, basis)?;
    let tcb = tcb(&claims);
    let Report::SgxEnclave(report) = &claims.report else {
        return Err(AuthenticError::OtherQuote { tee: Tee::Sgx });
    };
    Ok(Claims {
        platform: Platform::Sgx(Box::new(enclave(report, tcb))),
        valid_until: Some(until(&claims)),
    })
}

fn shape(tee: Tee) -> impl FnOnce(serde_json::Error) -> AuthenticError {
    move |source| AuthenticError::Shape { tee, source }
}

/// What an authentic quote says.
///
/// Debug mode is let through: it is a claim, and the policy refuses it. What `dcap-qvl` refuses
/// stays refused whatever a policy says: revoked platforms, trust domains that can migrate, that
/// another trust domain serves, or whose page faults its host may inject (SEPT_VE_DISABLE).
fn verified(quote: &[u8], tee: Tee, basis: &Basis<'_>) -> Result<QuoteClaims, AuthenticError> {
    let collateral = collateral(tee, basis)?;
    let now = basis.now.as_secs();
    let verifier: QuoteVerifier<RustCryptoConfig> =
        QuoteVerifier::new_with_config(basis.anchors.intel.clone()).allow_debug(true);
    verifier
        .verify_with_policy(
            quote,
            collateral.inner(),
            now,
            &QuotePolicy::claims_only(now),
        )
        .map_err(|error| AuthenticError::Quote(error.into()))
}

fn decode(text: &str) -> Result<Vec<u8>, AuthenticError> {
    let bytes = text.len() / 4 * 3;
    if bytes > QUOTE_BYTES_MAX {
        return Err(AuthenticError::TooLong {
            what: "quote",
            bytes,
            max: QUOTE_BYTES_MAX,
        });
    }
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| AuthenticError::Base64 { member: "quote" })
}

fn collateral<'a>(tee: Tee, basis: &Basis<'a>) -> Result<&'a DcapCollateral, AuthenticError> {
    match basis.collateral {
        Collateral::Dcap(collateral) => Ok(collateral),
        Collateral::None => Err(AuthenticError::NoCollateral {
            tee,
            fix: "give what Intel's PCS, or a PCCS, says about its platform",
        }),
        Collateral::Snp(_) => Err(AuthenticError::OtherCollateral { tee }),
    }
}

/// When the first thing that vouches for it ends.
fn until(claims: &QuoteClaims) -> UnixTime {
    let until = std::time::Duration::from_secs(claims.earliest_expiration_date);
    UnixTime::since_unix_epoch(until)
}

fn tcb(claims: &QuoteClaims) -> DcapTcb {
    DcapTcb {
        status: status(claims.tcb.status),
        advisories: claims.tcb.advisory_ids.clone(),
        evaluation: claims.tcb.eval_data_number,
        fmspc: claims.platform.pck.fmspc,
    }
}

fn status(status: Status) -> TcbStatus {
    match status {
        Status::UpToDate => TcbStatus::UpToDate,
        Status::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        Status::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Status::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSwHardeningNeeded,
        Status::OutOfDate => TcbStatus::OutOfDate,
        Status::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        Status::TDRelaunchAdvised => TcbStatus::TdRelaunchAdvised,
        Status::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::TdRelaunchAdvisedConfigurationNeeded
        }
        Status::Revoked => TcbStatus::Revoked,
    }
}

fn tdx_claims(report: &TDReport10, tcb: DcapTcb) -> TdxClaims {
    TdxClaims {
        measurement: Measurement(report.mr_td),
        registers: [
            Measurement(report.rt_mr0),
            Measurement(report.rt_mr1),
            Measurement(report.rt_mr2),
            Measurement(report.rt_mr3),
        ],
        config_id: Measurement(report.mr_config_id),
        owner: Measurement(report.mr_owner),
        owner_config: Measurement(report.mr_owner_config),
        module: Measurement(report.mr_seam),
        attributes: u64::from_le_bytes(report.td_attributes),
        xfam: u64::from_le_bytes(report.xfam),
        report_data: report.report_data,
        tcb,
    }
}

fn enclave(report: &EnclaveReport, tcb: DcapTcb) -> SgxClaims {
    let (flags, _xfrm) = report.attributes.split_at(8);
    let flags = flags.try_into().expect("the flags are eight bytes");
    SgxClaims {
        measurement: Measurement(report.mr_enclave),
        signer: Measurement(report.mr_signer),
        product: report.isv_prod_id,
        svn: report.isv_svn,
        attributes: u64::from_le_bytes(flags),
        report_data: report.report_data,
        tcb,
    }
}
