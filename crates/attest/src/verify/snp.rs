//! Reports of SEV-SNP: the signature of the chip's key, and the chain from it to AMD.
//!
//! Every byte of a report counts: what the signature does not cover must be zero. The signature is
//! one of ECDSA, of which there is a second valid form: whoever sees a report can write another
//! one that says the same. Evidence is known by what it says, and not by its hash.
//!
//! AMD's lists of revoked certificates are not looked at. What keeps a platform with known holes
//! out is the oldest TCB version that a policy accepts.

use std::time::Duration;

use rustls_pki_types::UnixTime;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::Tee;
use crate::snp_report::{SnpReport, SnpTcb};

use super::Basis;
use super::anchors::AmdAnchor;
use super::certificate::{Certificate, Part};
use super::claims::{Claims, Platform, SnpClaims, SnpKey};
use super::collateral::{Collateral, SnpChain};
use super::error::{AuthenticError, ChainError};

/// How many certificates of one piece of evidence are looked at. A whole chain has three.
const CERTIFICATES_MAX: usize = 16;
/// `SIGNATURE_ALGO` for ECDSA on P-384 with SHA-384, the only one there is.
const ECDSA_P384: u32 = 1;
/// Bytes of a number on P-384.
const NUMBER: usize = 48;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpEvidence {
    attestation_report: Value,
    #[serde(default)]
    cert_chain: Option<Vec<Entry>>,
}

/// One entry of the table of certificates that a host gives to its guests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cert_type: Kind,
    data: Vec<u8>,
}

/// What an entry is. Of the kinds that no report is signed with, nothing is read: a host puts there
/// what it likes.
#[derive(Deserialize)]
enum Kind {
    Empty,
    #[serde(rename = "ARK")]
    Ark,
    #[serde(rename = "ASK")]
    Ask,
    #[serde(rename = "VCEK")]
    Vcek,
    #[serde(rename = "VLEK")]
    Vlek,
    #[serde(rename = "CRL")]
    Crl,
    #[serde(rename = "OTHER")]
    Other(IgnoredAny),
}

pub(super) fn snp(value: &Value, basis: &Basis<'_>) -> Result<Claims, AuthenticError> {
    let evidence = SnpEvidence::deserialize(value).map_err(|source| AuthenticError::Shape {
        tee: Tee::Snp,
        source,
    })?;
    let report = SnpReport::from_json(&evidence.attestation_report)?;
    let brought = evidence.cert_chain.map(chain).transpose()?;
    let chain = match basis.collateral {
        Collateral::Snp(chain) => chain,
        Collateral::Dcap(_) => return Err(AuthenticError::OtherCollateral { tee: Tee::Snp }),
        Collateral::None => brought.as_ref().ok_or(AuthenticError::NoCollateral {
            tee: Tee::Snp,
            fix: "the host gave its guest no certificates, so fetch the VCEK of this chip and TCB from AMD",
        })?,
    };
    let (claims, until) = authentic(report, chain, basis)?;
    Ok(Claims {
        platform: Platform::Snp(claims),
        valid_until: Some(until),
    })
}

/// What a report says that the chip's key has signed, and until when that is vouched for.
pub(super) fn authentic(
    report: SnpReport,
    chain: &SnpChain,
    basis: &Basis<'_>,
) -> Result<(SnpClaims, UnixTime), AuthenticError> {
    let (key, until) = signer(&report, chain, &basis.anchors.amd, basis.now)?;
    let until = UnixTime::since_unix_epoch(Duration::from_secs(until));
    Ok((SnpClaims { report, key }, until))
}

/// The certificates that came with the evidence.
fn chain(entries: Vec<Entry>) -> Result<SnpChain, AuthenticError> {
    if entries.len() > CERTIFICATES_MAX {
        return Err(AuthenticError::TooLong {
            what: "cert_chain",
            bytes: entries.len(),
            max: CERTIFICATES_MAX,
        });
    }
    let mut chain = SnpChain::default();
    for Entry { cert_type, data } in entries {
        let (place, which) = match cert_type {
            Kind::Ark => (&mut chain.ark, "ARK"),
            Kind::Ask => (&mut chain.ask, "ASK"),
            Kind::Vcek => (&mut chain.vcek, "VCEK"),
            Kind::Vlek => (&mut chain.vlek, "VLEK"),
            Kind::Empty | Kind::Crl | Kind::Other(_) => continue,
        };
        if place.replace(data).is_some() {
            return Err(ChainError::Doubled { which }.into());
        }
    }
    Ok(chain)
}

/// Who signed the report, and until when that is vouched for, in seconds since 1970.
fn signer(
    report: &SnpReport,
    chain: &SnpChain,
    anchors: &[AmdAnchor],
    now: UnixTime,
) -> Result<(SnpKey, u64), AuthenticError> {
    let (name, der, subject) = match report.key_info().signing_key() {
        0 => ("VCEK", &chain.vcek, "SEV-VCEK"),
        1 => ("VLEK", &chain.vlek, "SEV-VLEK"),
        _ => return Err(ChainError::NoKey { signer: "unknown" }.into()),
    };
    let der = der.as_deref().ok_or(ChainError::NoKey { signer: name })?;
    let key = Certificate::read(name, der)?;
    if key.common_name() != Some(subject) {
        return Err(ChainError::Unusable {
            which: name,
            why: "its name says that it is something else",
        }
        .into());
    }
    let until = vouched(&key, chain, anchors, now)?;
    let kind = fits(&key, name, report)?;
    let is_signed = report.signature_algorithm() == ECDSA_P384
        && signature(report)
            .is_some_and(|signature| key.has_signed_report(report.signed(), &signature));
    if is_signed {
        Ok((kind, until))
    } else {
        Err(AuthenticError::Signature { key: name })
    }
}

/// That the chain from `key` ends in one of `anchors`. Gives the first end of a certificate's time.
fn vouched(
    key: &Certificate<'_>,
    chain: &SnpChain,
    anchors: &[AmdAnchor],
    now: UnixTime,
) -> Result<u64, ChainError> {
    let ask = match &chain.ask {
        Some(der) => Certificate::read("ASK", der)?,
        None => known_ask(key, anchors)?,
    };
    let ark = root(&ask, anchors)?;
    if let Some(der) = &chain.ark {
        let brought = Certificate::read("ARK", der)?;
        if !brought.has_key_of(&ark) {
            return Err(ChainError::ForeignRoot);
        }
        brought.is_issued_by(&brought)?;
        brought.is_valid_at(now)?;
    }
    ask.is_issued_by(&ark)?;
    key.is_issued_by(&ask)?;
    let ends = [
        ark.is_valid_at(now)?,
        ask.is_valid_at(now)?,
        key.is_valid_at(now)?,
    ];
    Ok(ends.into_iter().fold(u64::MAX, u64::min))
}

/// The root whose name the issuer of `ask` has. Whether it signed is another question.
fn root<'a>(
    ask: &Certificate<'_>,
    anchors: &'a [AmdAnchor],
) -> Result<Certificate<'a>, ChainError> {
    for anchor in anchors {
        let ark = Certificate::read("ARK", &anchor.ark)?;
        if ask.names(&ark) {
            return Ok(ark);
        }
    }
    Err(ChainError::ForeignRoot)
}

fn known_ask<'a>(
    key: &Certificate<'_>,
    anchors: &'a [AmdAnchor],
) -> Result<Certificate<'a>, ChainError> {
    for anchor in anchors {
        let ask = Certificate::read("ASK", &anchor.ask)?;
        if key.names(&ask) {
            return Ok(ask);
        }
    }
    Err(ChainError::NoIssuer { which: key.which() })
}

/// That the certificate is about the chip, and the state of it, that the report is from.
fn fits(
    key: &Certificate<'_>,
    name: &'static str,
    report: &SnpReport,
) -> Result<SnpKey, ChainError> {
    let other = |what| ChainError::OtherChip { what };
    if tcb(key)? != Some(report.reported_tcb()) {
        return Err(other("TCB version"));
    }
    let product = key.product()?;
    if let Some(expected) = report.product()
        && product.as_deref() != Some(expected.name())
    {
        return Err(other("product"));
    }
    match (key.hardware_id()?, key.operator()?) {
        (Some(id), None) if name == "VCEK" => {
            if is_chip(&report.chip_id(), id) {
                Ok(SnpKey::Vcek)
            } else {
                Err(other("chip"))
            }
        }
        (None, Some(operator)) if name == "VLEK" => Ok(SnpKey::Vlek { operator }),
        _ => Err(ChainError::Unusable {
            which: name,
            why: "a VCEK names a chip, and a VLEK an operator",
        }),
    }
}

/// The TCB version that `key` was derived from. `None` if a part of it is not said.
fn tcb(key: &Certificate<'_>) -> Result<Option<SnpTcb>, ChainError> {
    let parts = key
        .part(Part::Bootloader)?
        .zip(key.part(Part::Tee)?)
        .zip(key.part(Part::Snp)?)
        .zip(key.part(Part::Microcode)?);
    let fmc = key.part(Part::Fmc)?;
    Ok(parts.map(|(((bootloader, tee), snp), microcode)| SnpTcb {
        fmc,
        bootloader,
        tee,
        snp,
        microcode,
    }))
}

/// From Turin on, an identifier has eight bytes and the report fills it up with zeros.
fn is_chip(chip_id: &[u8; 64], hardware_id: &[u8]) -> bool {
    let is_whole = matches!(hardware_id.len(), 8 | 64);
    let rest = chip_id.strip_prefix(hardware_id);
    is_whole && rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

/// `r ‖ s`, big-endian. `None` if one of them is no number on P-384.
fn signature(report: &SnpReport) -> Option<[u8; 2 * NUMBER]> {
    let mut signature = [0; 2 * NUMBER];
    let (r, s) = report.signature();
    for (half, number) in signature.chunks_exact_mut(NUMBER).zip([r, s]) {
        let (number, rest) = number.split_at(NUMBER);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        half.copy_from_slice(number);
        half.reverse();
    }
    Some(signature)
}
